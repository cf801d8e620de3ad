"""Figures on a dark page: greys change places, colours and pictures stay."""

import numpy as np
import pytest
from matplotlib.colors import to_rgba, to_rgba_array
from matplotlib.figure import Figure
from PIL import Image

from kernelstudy.reporting import style
from kernelstudy.reporting.dark import AS_IT_IS, GROUND, TEXT, darken, in_dark


@pytest.mark.parametrize(
    ("light", "dark"),
    [("white", GROUND), ("black", TEXT), ("#0072B2", "#0072B2"), ("grey", "grey")],
)
def test_white_is_the_ground_and_black_the_text(light, dark):
    np.testing.assert_allclose(in_dark(to_rgba_array([light])), to_rgba_array([dark]))


def test_transparency_stays_and_greys_keep_their_order():
    greys = np.linspace(0, 1, 11)
    changed = in_dark(np.column_stack([greys, greys, greys, np.full(11, 0.3)]))
    assert (changed[:, 3] == 0.3).all()
    ends = changed[[0, 1, 2, 3, 8, 9, 10], 0]  # the middle stays
    assert (np.diff(ends) < 0).all()


@pytest.fixture
def figure():
    made = Figure()
    axes = made.subplots()
    axes.plot([0, 1], [0, 1], "|", color="black", label="line")
    axes.plot([0, 1], [1, 0], "D", color="#E69F00", mec="white")
    axes.imshow(np.eye(2), cmap="gray")
    axes.text(0, 0, "kept", color="black", gid=AS_IT_IS)
    axes.scatter([0, 1], [0, 1], c=[0.0, 1.0], cmap="gray")
    axes.legend()
    return made


def test_all_artists_but_pictures_and_what_stands_on_a_colour(figure):
    (axes,) = figure.axes
    before = axes.images[0].to_rgba(np.eye(2)), axes.collections[0].to_rgba([0.0, 1.0])
    darken(figure)
    bars, diamonds = axes.lines
    assert to_rgba(bars.get_markeredgecolor()) == to_rgba(TEXT)  # once, though it is its line's
    assert to_rgba(diamonds.get_markeredgecolor()) == to_rgba(GROUND)
    assert to_rgba(diamonds.get_markerfacecolor()) == to_rgba("#E69F00")
    assert to_rgba(axes.get_facecolor()) == to_rgba(figure.get_facecolor()) == to_rgba(GROUND)
    assert to_rgba(axes.xaxis.get_ticklabels()[0].get_color()) == to_rgba(TEXT)
    assert to_rgba(axes.get_legend().get_texts()[0].get_color()) == to_rgba(TEXT)
    assert axes.texts[0].get_color() == "black"
    after = axes.images[0].to_rgba(np.eye(2)), axes.collections[0].to_rgba([0.0, 1.0])
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


def test_files_are_alike_in_size_and_have_a_palette(figure, tmp_path):
    style.save(figure, tmp_path, "it", dark=True)
    with Image.open(tmp_path / "it.png") as light, Image.open(tmp_path / "it-dark.png") as dark:
        assert light.mode == dark.mode == "P"
        assert light.size == dark.size
        corners = [np.asarray(one.convert("RGB"))[0, 0] for one in (light, dark)]
    assert np.abs(corners[0] - 255.0).max() <= 2
    assert np.abs(corners[1] / 255 - to_rgba(GROUND)[:3]).max() < 0.02
    assert "#15181b" not in (tmp_path / "it.svg").read_text()


def test_a_palette_keeps_grounds_exactly_and_a_few_dots():
    """A band between a thousand other colours, and nine pixels of a colour that no other is near."""
    rng = np.random.default_rng(0)
    pixels = np.full((120, 160, 3), 255, np.uint8)
    pixels[20:60] = (230, 231, 233)
    pixels[80:, :100] = rng.integers(0, 256, (40, 100, 3))
    pixels[5:8, 5:8] = (200, 0, 255)
    shown = np.asarray(style.with_palette(Image.fromarray(pixels)).convert("RGB")).astype(int)
    assert (shown[65:80] == 255).all()
    assert (shown[20:60] == (230, 231, 233)).all()
    assert np.abs(shown[6, 6] - (200, 0, 255)).max() < 48
    assert len(np.unique(shown.reshape(-1, 3), axis=0)) <= style.FREQUENT + style.SPREAD


def test_few_colours_stay_as_they_are():
    pixels = np.zeros((20, 20, 3), np.uint8)
    pixels[:10], pixels[10:, :10] = (255, 255, 255), (0, 114, 178)
    shown = np.asarray(style.with_palette(Image.fromarray(pixels)).convert("RGB"))
    np.testing.assert_array_equal(shown, pixels)
