"""The page that explains convolution by doing it: its data (`contents`), and the page (`write`)."""

from __future__ import annotations

import base64
import gzip
import json
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from kernelstudy import handcrafted
from kernelstudy.analysis import r2_distribution
from kernelstudy.analysis.fields import crop, fields_of
from kernelstudy.analysis.variables import layers_of
from kernelstudy.handcrafted import worked_example
from kernelstudy.reporting.page import asset, script_hash
from kernelstudy.system.files import write_text

SIDE = 160  # pixels of the photos' longer side
CHANNELS, PATCHES, SHOWN_STEPS = 8, 5, 3  # of the second layer
STEERED = ("sobel", "prewitt", "scharr", "frei_chen")
LAYER = 36  # kernels of the layer whose best is spoken of
NETWORK = "small_network.json.gz"


def contents(
    photo: np.ndarray, title: str, colour: np.ndarray, network: dict[str, Any]
) -> dict[str, Any]:
    """All that the page's script needs, as what JSON can hold.

    photo: (H, W) from 0 to 1; colour: (H, W, 3); network: `network_of` or `small_network`.
    """
    known = handcrafted.names(3)
    pairs = {
        name: [handcrafted.kernel(f"{name}_{axis}", 3).tolist() for axis in "xy"]
        for name in STEERED
        if {f"{name}_x", f"{name}_y"} <= set(known)
    }
    return {
        "example": {
            "kernel": worked_example.KERNEL.tolist(),
            "image": worked_example.IMAGE.tolist(),
            "misread": [*worked_example.MISREAD, worked_example.READ_AS],
        },
        "photo": {**_picture(photo[..., None]), "title": title},
        "colour": _picture(colour),
        "bank": {
            name: {
                "kernel": handcrafted.kernel(name, 3).tolist(),
                "source": handcrafted.info(name).source,
            }
            for name in known
        },
        "pairs": pairs,
        "network": network,
    }


def network_of(run: xr.Dataset, arm: str, words: str, stride: int) -> dict[str, Any]:
    """The first network of an arm while it trains: its kernels, and what its second layer's channels detect.

    run: `open_run(..., measures=True)`. Of the second layer, if it was watched, the `CHANNELS` that have a
    label in the end, with the patches that excite them most at the start, halfway and at the end.
    """
    kept = np.flatnonzero(~run["diverged"].sel(arm=arm).values)
    if not len(kept):
        raise ValueError(f"every network of {arm} diverged")
    network = run.sel(arm=arm).isel(seed=int(kept[0]))
    kernels = network["kernel"].transpose("step", "cout", "cin", "ky", "kx").values
    kernels = kernels[:, :16].mean(axis=2).astype(float)
    found: dict[str, Any] = {
        "words": words,
        "steps": run["step"].values.tolist(),
        "accuracy": np.nan_to_num(network["test_accuracy"].values).round(3).tolist(),
        "size": kernels.shape[-1],
        # in units of the largest weight, whatever the kernels' scale
        "kernels": (kernels / (np.abs(kernels).max() or 1)).round(4).tolist(),
        "second": [],
    }
    if 2 not in layers_of(run) or "label_2" not in run:
        return found
    watched = run.sel(arm=arm).isel(probe_seed=0)
    labels = watched["label_2"].transpose("step", "channel_2").values.astype(str)
    order = np.argsort([label in ("unselective", "dead") for label in labels[-1]], kind="stable")
    steps = sorted({0, len(labels) // 2, len(labels) - 1})
    field, images = fields_of(run, stride)[1], watched["example_image"].values
    found["patch_steps"] = steps
    for channel in order[:CHANNELS]:
        patches = []
        for step in steps:
            top = watched["top_example_2"].isel(step=step, channel_2=channel).values[:PATCHES]
            places = (
                watched["top_place_2"].isel(step=step, channel_2=channel).transpose("rank", "axis")
            )
            seen = [
                crop(images[int(example)].astype(float).mean(-1), field, int(y), int(x))
                for example, (y, x) in zip(top, places.values, strict=False)
            ]
            patches.append([_bytes(patch) for patch in seen])
        found["second"].append(
            {"channel": int(channel), "labels": labels[:, channel].tolist(), "patches": patches}
        )
    found["patch_side"] = int(field.size)
    return found


def small_network() -> dict[str, Any]:
    """A `network_of` that comes with the package: digits, weight decay, 500 steps."""
    place = resources.files("kernelstudy") / "reporting/assets" / NETWORK
    return json.loads(gzip.decompress(place.read_bytes()))


def write(content: dict[str, Any], out: Path) -> None:
    """Write the page whole or not at all."""
    environment = Environment(
        loader=PackageLoader("kernelstudy", "reporting/templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = asset("explain.js")
    chance = r2_distribution(2, 8)  # of a steered pair among 3 x 3 kernels, their means removed
    text = environment.get_template("explain.html.j2").render(
        css=Markup(asset("report.css") + asset("explain.css")),
        script=Markup(script),
        script_hashes=Markup(script_hash(script)),
        title=content["photo"]["title"],
        layer=LAYER,
        layers_with={r2: round(100 * (1 - chance.cdf(r2) ** LAYER)) for r2 in (0.7, 0.8)},
        # in a script element '<' is all that could end it; JSON may write it another way
        data=Markup(json.dumps(content, allow_nan=False).replace("<", "\\u003c")),
    )
    write_text(out, text)


def _picture(image: np.ndarray) -> dict[str, Any]:
    """Bytes (height, width, channels) of an image whose longer side is `SIDE` at most, averaged over blocks."""
    step = -(-max(image.shape[:2]) // SIDE)
    height, width = (n // step * step for n in image.shape[:2])
    if not height or not width:  # a thin strip
        step, height, width = 1, min(image.shape[0], SIDE), min(image.shape[1], SIDE)
    cut = image[:height, :width].reshape(height // step, step, width // step, step, -1)
    small = cut.mean(axis=(1, 3))
    low, high = float(np.nanmin(small)), float(np.nanmax(small))
    scaled = (small - low) / (high - low) if high > low else np.zeros_like(small)
    pixels = np.round(255 * np.nan_to_num(scaled)).astype(np.uint8)
    return {
        "height": int(pixels.shape[0]),
        "width": int(pixels.shape[1]),
        "channels": int(pixels.shape[2]),
        "data": base64.b64encode(pixels.tobytes()).decode(),
    }


def _bytes(patch: np.ndarray) -> list[int]:
    """Grey levels on a scale of their own; -1 outside of the image."""
    inside = np.isfinite(patch)
    low, high = (float(end(patch[inside])) if inside.any() else 0.0 for end in (np.min, np.max))
    scaled = np.round(255 * (patch - low) / ((high - low) or 1))
    return np.where(inside, scaled, -1).astype(int).ravel().tolist()
