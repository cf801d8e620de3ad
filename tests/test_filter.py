"""The filter command: what it draws, and what it says to input that it cannot use."""

import os
import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from matplotlib import image as mpl_image
from PIL import Image
from skimage import color, data

from kernelstudy.conv import apply_bank
from kernelstudy.data.image_files import read_image
from kernelstudy.filter import InputError, main
from kernelstudy.handcrafted import bank
from kernelstudy.reporting import maps

GREY = data.camera()[::8, ::8]
COLOUR = data.astronaut()[::8, ::8]


def saved(folder, name, pixels, **options):
    path = folder / name
    Image.fromarray(pixels).save(path, **options)
    return path


def said(capsys, *words):
    """Exit status and what was written to stdout and stderr."""
    status = main([str(word) for word in words])
    return status, *capsys.readouterr()


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.jpg"])
def test_grey_and_colour_8_bit(tmp_path, name):
    tolerance = 0.03 if name.endswith("jpg") else 1e-6
    options = {"quality": 98} if name.endswith("jpg") else {}
    found = read_image(saved(tmp_path, name, GREY, **options))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, GREY / 255, atol=tolerance)
    luma = COLOUR @ np.array([0.2126, 0.7152, 0.0722]) / 255
    np.testing.assert_allclose(
        read_image(saved(tmp_path, name, COLOUR, **options)), luma, atol=2 * tolerance
    )
    # scikit-image rounds the same weights to 0.2125, 0.7154, 0.0721.
    np.testing.assert_allclose(luma, color.rgb2gray(COLOUR), atol=1e-3)


def test_16_bit(tmp_path):
    deep = (GREY.astype(np.uint16) << 8) + 37
    for name in ("a.png", "a.tif"):
        np.testing.assert_allclose(read_image(saved(tmp_path, name, deep)), deep / 65535, atol=1e-6)
    tifffile = pytest.importorskip("tifffile")
    colours = (COLOUR.astype(np.uint16) << 8) + 37
    for layout, pixels in {"contig": colours, "separate": np.moveaxis(colours, -1, 0)}.items():
        path = tmp_path / f"{layout}.tif"
        tifffile.imwrite(path, pixels, photometric="rgb", planarconfig=layout)
        wanted = colours @ np.array([0.2126, 0.7152, 0.0722]) / 65535
        np.testing.assert_allclose(read_image(path), wanted, atol=1e-5)


def test_transparency_is_laid_over_white_and_palettes_are_looked_up(tmp_path):
    clear = np.dstack([COLOUR, np.zeros(COLOUR.shape[:2], np.uint8)])
    np.testing.assert_allclose(read_image(saved(tmp_path, "clear.png", clear)), 1, atol=1e-6)
    Image.fromarray(GREY).convert("P").save(tmp_path / "palette.png")
    np.testing.assert_allclose(read_image(tmp_path / "palette.png"), GREY / 255, atol=1e-6)
    Image.fromarray(GREY > 128).save(tmp_path / "bits.png")
    np.testing.assert_allclose(read_image(tmp_path / "bits.png"), GREY > 128, atol=1e-6)
    values = (GREY / 300).astype(np.float32)
    np.testing.assert_array_equal(read_image(saved(tmp_path, "float.tif", values)), values)


def test_the_orientation_tag_is_obeyed(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned clockwise by 90 degrees when shown
    path = saved(tmp_path, "turned.png", GREY[:, :40], exif=exif)
    np.testing.assert_allclose(read_image(path), np.rot90(GREY[:, :40], -1) / 255, atol=1e-6)


def test_strongest_keeps_sign_and_one_place_for_a_pair():
    x = np.array([[0.0, 1.0, 0, 0], [-3.0, 2.0, 0, 9.0]])
    y = np.array([[0.0, 0.0, 5, 0], [0.5, 2.9, 0, -9.0]])
    found = maps.block_strongest(np.dstack([x, y]), 2)
    assert found.tolist() == [[[2.0, 2.9], [9.0, -9.0]]]
    assert maps.block_mean(x, 2).tolist() == [[0.0, 2.25]]


def test_groups_of_a_bank():
    found = maps.groups(bank(["box", "sobel_x", "gauss_dx", "gauss_dy", "sobel_y", "scharr_x"]))
    assert found == [("sobel_x", "sobel_y"), ("gauss_dx", "gauss_dy"), ("box",), ("scharr_x",)]


def test_direction_colours_are_told_apart_and_fade_to_black():
    angles = np.linspace(-np.pi, np.pi, 8, endpoint=False)
    colours = maps.direction_colours(angles, np.ones(8))
    assert colours.min() >= 0
    assert colours.max() <= 1
    gaps = [np.linalg.norm(a - b) for a, b in zip(colours, np.roll(colours, 1, 0), strict=True)]
    assert min(gaps) > 0.1
    np.testing.assert_array_equal(maps.direction_colours(angles, np.zeros(8)), np.zeros((8, 3)))


def test_the_figure_shows_the_maps(monkeypatch, tmp_path):
    drawn = {}
    real = maps.feature_maps

    def spy(image, kernels, shown, **words):
        drawn.update(image=image, shown=shown)
        return real(image, kernels, shown, **words)

    monkeypatch.setattr(maps, "feature_maps", spy)
    path = saved(tmp_path, "a.png", GREY)
    assert main([str(path), "--out", str(tmp_path / "o.png"), "--padding", "reflect"]) == 0
    wanted = np.asarray(apply_bank(read_image(path), "derivative", padding="reflect"))
    for i, name in enumerate(bank("derivative")):
        np.testing.assert_allclose(drawn["shown"][name], wanted[..., i], atol=1e-5)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--bank", "smoothing", "--padding", "valid"],
        ["--bank", "all"],
        ["--bank", "blob", "--size", "7"],
        ["--bank", "sobel_x"],
    ],
)
def test_draws_every_kind_of_bank(tmp_path, capsys, words):
    out = tmp_path / "new" / "maps.png"
    path = saved(tmp_path, "a.png", COLOUR)
    status, printed, errors = said(capsys, path, "--out", out, *words)
    assert (status, errors) == (0, "")
    assert printed.splitlines()[-1] == f"maps: {out}"
    pixels = mpl_image.imread(out)
    assert min(pixels.shape[:2]) > 300
    assert pixels[..., :3].std() > 0.05
    assert sorted(p.name for p in out.parent.iterdir()) == ["maps.png"]


def test_without_an_image_it_uses_a_photo(tmp_path, capsys):
    status, printed, _ = said(capsys, "--bank", "box", "--out", tmp_path / "m.pdf")
    assert (status, printed) == (0, f"maps: {tmp_path / 'm.pdf'}\n")
    assert (tmp_path / "m.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 2)])
def test_tiny_and_constant_images(tmp_path, capsys, shape):
    path = saved(tmp_path, "tiny.png", np.full(shape, 9, np.uint8))
    assert said(capsys, path, "--out", tmp_path / "o.png")[0] == 0
    status, _, errors = said(capsys, path, "--out", tmp_path / "p.png", "--padding", "valid")
    assert status == 2
    assert "at least 3 pixels" in errors


def png(width, height):
    """The head of a PNG file that promises width x height pixels."""

    def chunk(kind, body):
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n"
        + head
        + chunk(b"IDAT", zlib.compress(b"\0" * 99))
        + chunk(b"IEND", b"")
    )


def bad_files(folder):
    whole = saved(folder, "whole.jpg", COLOUR).read_bytes()
    whole_png = saved(folder, "whole.png", COLOUR).read_bytes()
    tiff = saved(folder, "whole.tif", COLOUR).read_bytes()
    contents = {
        "empty.png": (b"", "is empty"),
        "cut.jpg": (whole[: len(whole) // 2], "truncated or damaged"),
        "cut.png": (whole_png[: len(whole_png) // 2], "truncated or damaged"),
        "cut.tif": (tiff[: len(tiff) // 2], "truncated or damaged|not an image"),
        "head.png": (whole_png[:20], "truncated or damaged|not an image"),
        "text.png": (b"not an image at all", "not an image"),
        "bomb.png": (png(60_000, 60_000), "million|pixels: scale it down"),
        "large.png": (png(10_000, 10_000), "pixels: scale it down"),
    }
    for name, (content, words) in contents.items():
        (folder / name).write_bytes(content)
        yield folder / name, words
    yield folder, "is a directory"
    yield folder / "missing.png", "cannot be read: No such file"
    yield folder / "text.png" / "below.png", "cannot be read"
    yield folder / ("n" * 300), "cannot be read"
    Image.fromarray(np.full((4, 4), np.nan, np.float32)).save(folder / "nan.tif")
    yield folder / "nan.tif", "not finite"


def test_bad_images_are_told_in_one_sentence(tmp_path, capsys):
    for path, words in bad_files(tmp_path):
        status, printed, errors = said(capsys, path, "--out", tmp_path / "o.png")
        assert (status, printed) == (2, ""), path
        assert re.search(words, errors), errors
        assert len(errors.splitlines()) == 1, errors
        assert not (tmp_path / "o.png").exists()
    with pytest.raises(InputError):
        read_image(Path(tmp_path / "missing.png"))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--bank", "sobell"], "did you mean sobel"),
        (["--bank", "compass", "--size", "5"], "allowed is 3"),
        (["--size", "4"], "allowed is 3, 5"),
        (["--size", "x"], "invalid int"),
        (["--padding", "full"], "valid"),
        (["--out", "maps.xyz"], ".png, .pdf, .svg"),
        (["--out", "maps"], ".png, .pdf, .svg"),
        (["--nonsense"], "unrecognized"),
    ],
)
def test_bad_options(capsys, words, told):
    status, printed, errors = said(capsys, *words)
    assert (status, printed) == (2, "")
    assert told in errors
    assert len(errors.splitlines()) == 1


def test_places_that_cannot_be_written(tmp_path, capsys):
    image = saved(tmp_path, "a.png", GREY)
    (tmp_path / "d.png").mkdir()
    for out, told in [
        (tmp_path / "d.png", "is a directory"),
        (image / "o.png", "cannot be written"),
        (image, "overwrite the image"),
        (Path("/proc/none/o.png"), "cannot be written"),
    ]:
        status, _, errors = said(capsys, image, "--out", out)
        assert status == 2
        assert told in errors
        assert len(errors.splitlines()) == 1
    assert read_image(image).shape == GREY.shape


def test_as_a_program():
    def run(*words):
        command = [sys.executable, "-m", "kernelstudy.filter", *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    example = run("--worked-example")
    assert example.returncode == 0
    assert "154 157\n  200 233" in example.stdout
    assert "146" in example.stdout
    for words in (["astro.png"], ["--bank", "blob"]):  # which it would not use
        ignored = run("--worked-example", *words)
        assert (ignored.returncode, ignored.stdout) == (2, "")
        assert f"leave out {' '.join(words)}" in ignored.stderr
    refused = run("no-such-image.png")
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["grey", "white is zero", "colour", "uint32", "float"])
def test_tiff_of_any_orientation_and_sense(tmp_path, kind, orientation):
    tifffile = pytest.importorskip("tifffile")
    deep = (GREY[:, :40].astype(np.uint16) << 8) + 37
    pixels, photometric, white = deep, "minisblack", 65535
    if kind == "white is zero":
        pixels, photometric = 65535 - deep, "miniswhite"
    elif kind == "colour":
        pixels, photometric = np.stack([deep] * 3, axis=-1), "rgb"
    elif kind == "uint32":
        pixels, white = deep.astype(np.uint32) << 16, 2**32 - 1
    elif kind == "float":
        pixels, photometric, white = np.stack([deep / 65535] * 3, -1).astype("f4"), "rgb", 1
    path = tmp_path / "a.tif"
    tag = [(274, "H", 1, orientation, True)]
    tifffile.imwrite(path, pixels, photometric=photometric, extratags=tag)
    seen = {  # TIFF 6.0, page 36: where the 0th row and column are
        **{1: lambda a: a, 2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1]},
        **{4: lambda a: a[::-1], 5: lambda a: a.T, 6: lambda a: a[::-1].T},
        **{7: lambda a: a[::-1, ::-1].T, 8: lambda a: a.T[::-1]},
    }
    stored = pixels[..., 0] if pixels.ndim == 3 else pixels
    stored = white - stored if kind == "white is zero" else stored
    np.testing.assert_allclose(read_image(path), seen[orientation](stored) / white, atol=1e-6)


def test_tiff_with_alpha_lies_over_white(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    half = np.full((8, 9, 4), 65535, np.uint16)
    half[..., :3], half[..., 3] = 0, 32768
    tifffile.imwrite(tmp_path / "a.tif", half, photometric="rgb", extrasamples=["unassalpha"])
    np.testing.assert_allclose(read_image(tmp_path / "a.tif"), 32767 / 65535, atol=1e-6)


def test_pixels_that_are_not_read_are_named(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(tmp_path / "a.tif", np.ones((8, 9), np.complex64))
    with pytest.raises(InputError, match="complex64 pixels"):
        read_image(tmp_path / "a.tif")


def test_a_name_that_is_no_utf8(tmp_path, capsys):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png"))
    Image.fromarray(GREY).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(path)
    status, out, _ = said(capsys, path, "--out", tmp_path / "maps.png")
    assert (status, out) == (0, f"maps: {tmp_path / 'maps.png'}\n")


@pytest.mark.parametrize(
    ("variable", "value", "match"),
    [
        ("MPLBACKEND", "module://no_such_package.backend", "maps: "),
        ("JAX_PLATFORMS", "cuda", "JAX_PLATFORMS=cuda: no such device here"),
    ],
)
def test_variables_of_another_environment(tmp_path, variable, value, match):
    words = [sys.executable, "-m", "kernelstudy.filter", "--out", str(tmp_path / "m.png")]
    done = subprocess.run(
        words, env={**os.environ, variable: value}, capture_output=True, text=True, check=False
    )
    assert done.returncode == (2 if variable.startswith("JAX") else 0), done.stderr
    assert match in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_postscript_by_another_name_starts_no_program(tmp_path, capsys, monkeypatch):
    """Pillow would give it to Ghostscript."""
    from PIL import EpsImagePlugin

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *a, **k: pytest.fail("started"))
    path = tmp_path / "x.png"
    path.write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n(x) run\n%%EOF\n"
    )
    assert main([str(path), "--out", str(tmp_path / "o.png")]) == 2
    assert "not an image that can be read" in capsys.readouterr().err


@pytest.mark.parametrize("planes", ["samples", "depth"])
def test_planes_are_counted_before_they_are_decoded(tmp_path, planes, capsys):
    """A TIFF of 64 x 64 pixels that says it has so many samples a pixel, or images in depth."""
    import tifffile

    path = tmp_path / "deep.tif"
    if planes == "depth":
        zeros = np.zeros((2048, 64, 64, 3), np.uint16)
        options = {"volumetric": True, "tile": (64, 64, 64), "compression": "zlib"}
        tifffile.imwrite(path, zeros, photometric="rgb", **options)
    else:
        tifffile.imwrite(path, np.zeros((64, 64, 3), np.uint16), photometric="rgb")
        with tifffile.TiffFile(path, mode="r+b") as file:
            file.pages.first.tags[277].overwrite(60_000)
    assert main([str(path), "--out", str(tmp_path / "o.png")]) == 2
    told = capsys.readouterr().err
    assert len(told.splitlines()) == 1


def test_images_that_are_no_files(tmp_path, capsys):
    import os

    os.mkfifo(tmp_path / "pipe.png")
    assert main([str(tmp_path / "pipe.png"), "--out", str(tmp_path / "o.png")]) == 2
    assert "not a regular file" in capsys.readouterr().err


def test_a_line_of_pixels_has_maps(tmp_path):
    from PIL import Image

    path = tmp_path / "thin.png"
    Image.fromarray(np.arange(100_000, dtype=np.uint8)[None]).save(path)
    assert main([str(path), "--out", str(tmp_path / "o.png")]) == 0


def test_a_full_disk_is_one_sentence(tmp_path, capsys, monkeypatch):
    import errno

    from matplotlib.figure import Figure

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Figure, "savefig", full)
    assert main(["--out", str(tmp_path / "o.png")]) == 1
    told = capsys.readouterr().err
    assert len(told.splitlines()) == 1
    assert "No space left on device" in told
