"""The rule of the labels: planted detectors get theirs, random networks are unselective at its rate."""

import numpy as np
import pytest
import xarray as xr
from scipy.stats import binom
from sklearn.metrics import cohen_kappa_score

from kernelstudy.analysis import deep, labels
from kernelstudy.data import stimuli
from kernelstudy.handcrafted import kernel

SIDE, EXAMPLES, CHANNELS = 16, 40, 32
GRATINGS = stimuli.gratings(SIDE, SIDE).reshape(-1, SIDE, SIDE)
NAMED, LOCAL = stimuli.local(SIDE, SIDE)


def layer(x, weights, bias):
    """conv 3 x 3 (SAME) - relu; x (n, H, W, cin), weights (3, 3, cin, cout)."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))
    rows = windows.reshape(*x.shape[:3], -1)  # cin, kh, kw
    return np.maximum(rows @ weights.transpose(2, 0, 1, 3).reshape(rows.shape[-1], -1) + bias, 0)


def pool(x):
    n, h, w, c = x.shape
    return x.reshape(n, h // 2, 2, w // 2, 2, c).max((2, 4))


def shown(first, second, bias):
    """What the trainer logs of layer 2: gratings, local stimuli, features."""
    images = np.concatenate([GRATINGS, LOCAL, EXAMPLE])[..., None]
    maps = layer(pool(layer(images, first, 0.0)), second, bias)
    h = maps.shape[1]
    middle = maps[:, h // 4 : h - h // 4, h // 4 : h - h // 4]
    curves = middle[: len(GRATINGS)].mean((1, 2)).reshape(16, 5, 4, -1).mean(2)
    local = middle[len(GRATINGS) : -EXAMPLES]
    both = np.stack([local.mean((1, 2)), local.max((1, 2))], 1)
    return curves, both, maps[-EXAMPLES:].mean((1, 2))[:, None]


EXAMPLE = np.random.default_rng(5).standard_normal((EXAMPLES, SIDE, SIDE))


def random_network(rng):
    first = rng.standard_normal((3, 3, 1, 16)) * np.sqrt(2 / 9)
    return first, rng.standard_normal((3, 3, 16, CHANNELS)) * np.sqrt(1 / 144), 0.0


def planted():
    """Layer 2, channels 0 .. 3: horizontal edge, vertical edge, corner, blob; the others stay silent.

    Layer 1 holds the four half-rectified derivatives, and the image's bright part.
    """
    gx, gy = kernel("sobel_x", 3) / 4, kernel("sobel_y", 3) / 4
    first = np.zeros((3, 3, 1, 16))
    for c, k in enumerate((gx, -gx, gy, -gy, kernel("identity", 3))):
        first[:, :, 0, c] = k
    second, bias = np.zeros((3, 3, 16, CHANNELS)), np.zeros(CHANNELS)
    for channel, (rows, columns, up, down) in enumerate(
        ((1, slice(None), 2, 3), (slice(None), 1, 0, 1))
    ):
        second[rows, columns, up, channel] = 1  # a row of derivatives of one sign,
        second[:, :, down, channel] = -0.5  # none of the other sign (that would be a bar)
        second[rows, columns, (0, 2)[channel] : (0, 2)[channel] + 2, channel] = -1  # or direction
    second[2, 1, 0, 2] = second[1, 2, 2, 2] = 1  # an edge below and one to the right, at once
    bias[2] = -3.4
    second[..., 4, 3] = -1 / 4  # bright in the middle, dark around
    second[1, 1, 4, 3] = 1
    return first, second, bias


@pytest.fixture(scope="module")
def measured():
    rng = np.random.default_rng(0)
    at_random = [[shown(*random_network(rng)) for _ in range(2)] for _ in range(6)]
    found = [at_random, [[at_random[0][0], shown(*planted())]] * 6]
    parts = [np.array([[[net[i] for net in s] for s in a] for a in found]) for i in range(3)]
    net, c = ("arm", "probe_seed", "step"), "channel_2"
    kinds, directions, polarities = zip(*NAMED, strict=True)
    trajectory = xr.Dataset(
        {
            "grating_2": ((*net, "orientation", "frequency", c), parts[0]),
            "stimulus_2": ((*net, "stimulus", "statistic", c), parts[1]),
            "feature_2": ((*net, "example", "cell_2", c), parts[2]),
            "example_label": ("example", np.arange(EXAMPLES) % 4),
        },
        coords={
            "arm": ["he_normal", "planted"],
            "probe_seed": range(6),
            "step": [0, 1],
            "orientation": np.rad2deg(stimuli.angles()),
            "frequency": list(stimuli.FREQUENCIES),
            "statistic": ["mean", "peak"],
            "stimulus_kind": ("stimulus", list(kinds)),
            "stimulus_direction": ("stimulus", list(directions)),
            "stimulus_polarity": ("stimulus", list(polarities)),
        },
    )
    return trajectory, deep.measure_channels(trajectory, [True, False])


def test_planted_detectors_get_their_labels(measured):
    _, found = measured
    got = found.sel(arm="planted", probe_seed=0, step=1).isel(channel_2=slice(4))
    assert [label.partition(",")[0] for label in got["label_2"].values] == [
        "horizontal edge",
        "vertical edge",
        "corner",
        "blob",
    ]
    np.testing.assert_allclose(got["orientation_2"][0], 90, atol=3)
    assert min(got["orientation_2"][1] % 180, 180 - got["orientation_2"][1] % 180) < 3
    assert got["on_off_2"][3] == 1


def test_without_a_random_start_all_arms_serve_and_it_is_said(measured):
    trajectory, found = measured
    assert found.attrs["random_starts"] == 1
    arms, channels = trajectory.sizes["arm"], found["threshold_channels"].item()
    without = deep.measure_channels(trajectory, [False, False])
    assert without.attrs["random_starts"] == 0
    assert arms == 2
    assert without["threshold_channels"].item() > channels
    every = deep.measure_channels(trajectory, [True, True])
    np.testing.assert_array_equal(without["label_2"], every["label_2"])


def test_silent_channels_are_dead(measured):
    _, found = measured
    got = found.sel(arm="planted", step=1).isel(channel_2=slice(4, None))
    assert (got["label_2"] == labels.DEAD).all()
    assert got["dead_2"].all()


def test_random_networks_are_unselective_at_the_declared_rate(measured):
    """At step 0 by construction; other random networks within what 192 channels allow."""
    _, found = measured
    rows = found["label_2"].sel(arm="he_normal").values.reshape(6, 2, -1)
    for step in (0, 1):
        alive = rows[:, step][rows[:, step] != labels.DEAD]
        odd = (alive != labels.UNSELECTIVE).sum()
        low, high = binom.interval(0.999, len(alive), 1 - labels.RATE)
        assert low <= odd <= high, (odd, len(alive))


def test_agreement_and_its_chance(measured):
    trajectory, found = measured
    got = deep.label_agreement(trajectory, found)
    same = got.sel(arm="planted")  # six times one network
    np.testing.assert_allclose(same["observed"], 1)
    assert (same["chance"] < 1).all()
    a, b = np.array(list("aabbbc")), np.array(list("abbbac"))
    one = labels.agreement(a, b)
    assert one.kappa == pytest.approx(cohen_kappa_score(a, b))
    rng = np.random.default_rng(0)
    shuffled = np.mean([(a == rng.permutation(b)).mean() for _ in range(4000)])
    assert one.chance == pytest.approx(shuffled, abs=0.01)
    assert np.isnan(labels.agreement(["x"], ["x"]).kappa)


def test_matching_finds_a_permutation():
    rng = np.random.default_rng(0)
    x, order = rng.standard_normal((40, 6)), rng.permutation(6)
    rows, columns = labels.matched(x, 3 * x[:, order] + 1)
    np.testing.assert_array_equal(order[columns], rows)
