"""What the layers of a recorded network show at a log point: `analysis.variables.of_layer`, by NumPy.

The images are the same as of `kernelstudy.run`: probes, synthetic stimuli, examples. Here the user's probes are
both; stimuli have the probes' mean and standard deviation in every colour channel. A map is what a convolution
answers, after a normalisation that directly takes it, and what of it is above zero.
"""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

import numpy as np

from kernelstudy.analysis.fields import Field, measured_field, middle, with_changed_rows
from kernelstudy.analysis.variables import (
    EXAMPLES,
    MAP_CHANNELS,
    MAP_SIDE,
    PROBES,
    TOP,
    quarters,
)
from kernelstudy.data import stimuli
from kernelstudy.recording.forward import Forward, in_chunks
from kernelstudy.runs.layout import MOST_LAYERS
from kernelstudy.system.errors import InputError
from kernelstudy.weights import modules, tape

UNKNOWN = -1  # class of a probe that came without one
_GRATINGS = stimuli.ORIENTATIONS * len(stimuli.FREQUENCIES) * stimuli.PHASES
_FLOAT16 = float(np.finfo(np.float16).max)


class Probes(NamedTuple):
    """`images` (n, ...) in the axes of the model, `labels` (n,), and the stimuli beside them."""

    images: np.ndarray
    labels: np.ndarray
    stimuli: np.ndarray

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.images.tobytes() + self.labels.tobytes()).hexdigest()


class Watch(NamedTuple):
    """How a network is watched: the chosen `layers`, in order, and the `fields` of each."""

    forward: Forward
    probes: Probes
    layers: list[str]
    fields: list[Field]
    convolutions: int  # of all, chosen or not

    @property
    def about(self) -> dict[str, Any]:
        """What is written down of it, as plain data."""
        return {
            "layers": self.layers,
            "fields": [list(field) for field in self.fields],
            "convolutions": self.convolutions,
            "probes": self.probes.digest,
        }

    @property
    def told(self) -> str:
        """What is watched, in words."""
        count, names = len(self.layers), ", ".join(self.layers)
        return f"{count} of {self.convolutions} convolutions on {len(self.probes.images)} probes: {names}"

    def __call__(self, model: Any) -> dict[str, np.ndarray]:
        """What `analysis.variables.of_layer` lists of every chosen layer, without kernels.

        Raises:
            InputError: the model does not run on the probes, or has lost one of the layers.
        """
        images, stimuli_ = self.probes.images, self.probes.stimuli
        maps = in_chunks(self.forward, model, np.concatenate([images, stimuli_]))
        missing = [name for name in self.layers if name not in maps]
        if missing:
            raise InputError(f"probes: {missing[0]}, which was watched so far, no longer answers")
        found = {}
        for number, name in enumerate(self.layers, 1):
            rectified = np.maximum(maps[name].astype(np.float32), 0)
            found |= reduced(rectified, number, len(images))
        return found


def prepare(images: Any, labels: Any, forward: Forward) -> Probes:
    """The images that a network is watched on.

    Args:
        images: (n, C, H, W) or (n, H, W, C), as the model takes them; `EXAMPLES` at most are used.
        labels: (n,) classes, or None.

    Raises:
        InputError: they are not of that form.
    """
    values = np.asarray(modules.as_numpy(images))[:EXAMPLES]
    if values.ndim != 4 or values.dtype.kind not in "fiu" or len(values) < 2:
        raise InputError(
            "probes: must be two images or more as the model takes them, (n, channels, height, width) in "
            f"PyTorch and Equinox, else (n, height, width, channels); not {values.dtype} {values.shape}"
        )
    values = values.astype(np.float32)
    colours = values.shape[1 if forward.channels_first else 3]
    if colours > min(values.shape[2:] if forward.channels_first else values.shape[1:3]):
        raise InputError(f"probes: {values.shape} holds {colours} channels: which axis is which?")
    if not np.isfinite(values).all():
        raise InputError("probes: must be finite")
    classes = np.full(len(values), UNKNOWN) if labels is None else np.asarray(labels)[:EXAMPLES]
    if classes.shape != (len(values),) or classes.dtype.kind not in "iu" or classes.max() >= 2**31:
        raise InputError(f"probe_labels: must be {len(values)} whole numbers, one an image")
    channels_last = np.moveaxis(values, 1, -1) if forward.channels_first else values
    mean, spread = channels_last.mean((0, 1, 2)), channels_last.std((0, 1, 2))
    made = _stimuli(*channels_last.shape[1:3])[..., None] * spread + mean
    made = np.moveaxis(made, -1, 1) if forward.channels_first else made
    return Probes(values, classes.astype(np.int64), made.astype(np.float32))


def shown(probes: Probes, channels_first: bool) -> dict[str, np.ndarray]:
    """The probes as a trajectory has them: channels last, standardised over all of them."""
    images = np.moveaxis(probes.images, 1, -1) if channels_first else probes.images
    images = (images - images.mean((0, 1, 2))) / (images.std((0, 1, 2)) + 1e-12)
    count = len(images[:PROBES])
    return {
        "probe_image": images[:PROBES],
        "probe_label": probes.labels[:PROBES],
        "probe_part": np.array(["test"] * count),
        "example_image": images.astype(np.float16),
        "example_label": probes.labels,
    }


def begin(model: Any, forward: Forward, probes: Probes, followed: str) -> Watch:
    """Find the convolutions that answer, from the followed layer on, and the fields of `MOST_LAYERS` of them.

    Raises:
        InputError: the model does not run on the probes, or the layer does not answer.
    """
    maps = in_chunks(forward, model, probes.images[:1])
    names = list(maps)
    own = [n for n in names if followed in (n, f"{n}.weight", f"{n}/kernel", f"{n}/weight")]
    own += [n for n in names if followed.startswith((f"{n}.", f"{n}/", f"params/{n}/"))]
    if not own:
        raise InputError(
            f"probes: {followed} is not among what answers: {', '.join(names) or 'nothing'}"
        )
    layers = tape.chosen(names, own[0], MOST_LAYERS)
    fields = _fields(model, forward, probes, layers)
    return Watch(forward, probes, layers, fields, len(names))


def reduced(maps: np.ndarray, number: int, count: int) -> dict[str, np.ndarray]:
    """`maps` (n, h, w, channels) of layer `number`, of which `count` are of probes, the rest of stimuli."""
    images, made = maps[:count], maps[count:]
    h, w = maps.shape[1:3]
    middle = made[:, h // 4 : h - h // 4, w // 4 : w - w // 4]
    mean, peak = np.abs(middle).mean((1, 2)), middle.max((1, 2))
    grid = (stimuli.ORIENTATIONS, len(stimuli.FREQUENCIES), stimuli.PHASES, -1)
    flat = images.reshape(count, h * w, -1)
    position, largest = flat.argmax(1), flat.max(1)  # (n, channels)
    order = np.argsort(-largest, axis=0, kind="stable")[:TOP]
    place = np.take_along_axis(position, order, 0)
    return {
        f"feature_map_{number}": _half(_block_mean(images[:PROBES])),
        f"grating_{number}": _half(mean[:_GRATINGS].reshape(grid).mean(2)),
        f"stimulus_{number}": _half(np.stack([mean[_GRATINGS:], peak[_GRATINGS:]], 1)),
        f"feature_{number}": _half(
            np.stack([images[:, r, c].mean((1, 2)) for r, c in quarters(h, w)], 1)
        ),
        f"top_value_{number}": _half(np.take_along_axis(largest, order, 0)),
        f"top_example_{number}": order.astype(np.int16),
        f"top_place_{number}": np.stack([place // w, place % w], 1).astype(np.int16),
    }


def _fields(model: Any, forward: Forward, probes: Probes, layers: list[str]) -> list[Field]:
    image = probes.images[0]
    if forward.channels_first:
        images = np.moveaxis(with_changed_rows(np.moveaxis(image, 0, -1)), -1, 1)
    else:
        images = with_changed_rows(image)
    maps = in_chunks(forward, model, images)
    return [measured_field(middle(maps[name]), maps[name].shape[1]) for name in layers]


def _stimuli(height: int, width: int) -> np.ndarray:
    made = (
        stimuli.gratings(height, width).reshape(-1, height, width),
        stimuli.local(height, width)[1],
    )
    return np.concatenate(made)


def _block_mean(maps: np.ndarray) -> np.ndarray:
    """The first channels, of larger maps the means over blocks of pixels."""
    _, h, w, _ = maps.shape
    step = min(-(-max(h, w) // MAP_SIDE), h, w)
    cut = maps[:, : h // step * step, : w // step * step, :MAP_CHANNELS]
    return cut.reshape(len(cut), h // step, step, w // step, step, -1).mean((2, 4))


def _half(values: np.ndarray) -> np.ndarray:
    return np.clip(values, -_FLOAT16, _FLOAT16).astype(np.float16)
