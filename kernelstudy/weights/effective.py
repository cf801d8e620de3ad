"""Weights that a file holds in parts: pruned, weight-normalised, spectrally normalised, adapted.

Only rules that are known are applied; a parametrisation of another kind is refused by name.
Sources: torch.nn.utils (prune, weight_norm, spectral_norm, parametrizations), torch.ao.pruning,
flax.linen (WeightNorm, SpectralNorm).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from .layer import TURNED, Layer, WeightsError
from .limits import as_wide

_LEAF = re.compile(r"^(.*?)([^./]*)$", re.DOTALL)
_FLAX_NORM = re.compile(r"^(.*?)(WeightNorm|SpectralNorm)_\d+/(.+)/(scale|sigma)$", re.DOTALL)


def effective(arrays: Sequence[Layer]) -> list[Layer]:
    """The arrays of a file, with the weights that are computed from several of them in their place."""
    by_name = {array.name: array for array in arrays}
    normalised = _flax_norms(by_name)
    found: list[Layer] = []
    used: set[str] = set()
    for array in arrays:
        made, parts = _made(array, by_name, normalised)
        used |= parts
        if made is not None:
            used.add(made.name)  # as it was last computed, where a module was pickled whole
        found.append(array if made is None else made)
    return [a for a in found if a.name not in used or a.name not in by_name or _is_made(a, by_name)]


def _is_made(array: Layer, by_name: dict[str, Layer]) -> bool:
    return array is not by_name[array.name]


def _made(
    array: Layer, by_name: dict[str, Layer], normalised: dict[str, tuple[str, Layer]]
) -> tuple[Layer | None, set[str]]:
    """The weight of which `array` is the main part, and the names of its parts; None if it is whole."""
    head, leaf = _split(array.name)
    if array.name in normalised:
        kind, scale = normalised[array.name]
        return _flax(array, kind, scale), {scale.name}
    if len(array.shape) < 3:
        return None, set()
    if leaf.endswith("_orig"):
        return _reparametrised(array, f"{head}{leaf[:-5]}", by_name)
    if leaf.endswith("_v") and f"{head}{leaf[:-2]}_g" in by_name:
        g = by_name[f"{head}{leaf[:-2]}_g"]
        return _weight_norm(array, g, f"{head}{leaf[:-2]}"), {array.name, g.name}
    if parametrised := re.match(r"(.*?)parametrizations[./]([^./]+)[./]$", head, re.DOTALL):
        name = f"{parametrised[1]}{parametrised[2]}"
        if leaf in ("original", "original0", "original1"):
            return _parametrised(array, head, leaf, name, by_name)
    for mask in (f"{head}{leaf}_mask", f"{head}mask", f"{head}{leaf}.mask"):
        if mask in by_name and by_name[mask].shape == array.shape and mask != array.name:
            return _product(array, by_name[mask], array.name), {mask}
    if head.endswith(("base_layer.", "base_layer/")):
        note = "An adapter's increment (LoRA) beside it is not added: its scale is not in the file."
        return replace(array, notes=(*array.notes, note)), set()
    return None, set()


def _reparametrised(
    orig: Layer, name: str, by_name: dict[str, Layer]
) -> tuple[Layer | None, set[str]]:
    """`weight_orig` of torch.nn.utils.prune or of the older spectral_norm."""
    mask, u, v = (by_name.get(f"{name}_{end}") for end in ("mask", "u", "v"))
    if mask is not None and u is None and mask.shape == orig.shape:
        return _product(orig, mask, name), {orig.name, mask.name}
    if u is not None and mask is None:
        parts = {orig.name, u.name} | ({v.name} if v else set())
        return _spectral(orig, u, v, name), parts
    return _unknown(orig, name), {orig.name}


def _parametrised(
    part: Layer, head: str, leaf: str, name: str, by_name: dict[str, Layer]
) -> tuple[Layer | None, set[str]]:
    """`parametrizations.weight.original*` of torch.nn.utils.parametrize."""
    own = {n: a for n, a in by_name.items() if n.startswith(head)}
    names = set(own)
    numbers = {n[len(head) :].split(".")[0] for n in names if n[len(head) :][:1].isdigit()}
    get = lambda key: by_name.get(f"{head}{key}")  # noqa: E731
    if leaf != "original":
        g, v = get("original0"), get("original1")
        if part is not (v or part) or (v is None and leaf == "original0"):
            return None, set()  # told once, of the direction
        known = g is not None and v is not None and not numbers and _scales(g.shape, v.shape)
        made = _weight_norm(part, g, name) if known and g else _unknown(part, name)
        return made, names
    u, v, mask = get("0._u"), get("0._v"), get("0.mask")
    if numbers <= {"0"} and u is not None and v is not None:
        return _spectral(part, u, v, name), names
    if numbers <= {"0"} and mask is not None and mask.shape == part.shape:
        return _product(part, mask, name), names
    return _unknown(part, name), names


def _unknown(part: Layer, name: str) -> Layer:
    return replace(
        part,
        name=name,
        refused=f"{part.name} is the argument of a parametrisation that the file does not tell "
        "(orthogonal, for instance), not the weights; save the weights that it gives, after "
        "torch.nn.utils.parametrize.remove_parametrizations or torch.nn.utils.prune.remove",
    )


def _computed(main: Layer, name: str, rule: str, load: Callable[[], np.ndarray]) -> Layer:
    return replace(main, name=name, load=load, step=None, notes=(*main.notes, rule))


def _product(orig: Layer, mask: Layer, name: str) -> Layer:
    def load() -> np.ndarray:
        kept = np.asarray(mask.load())
        if not np.isin(kept, (0, 1)).all():
            raise WeightsError(f"{mask.name} is no mask of zeros and ones: {name} is not known")
        values = np.asarray(orig.load()).astype(np.float64)
        as_wide(values, (kept,), name)
        return values * kept

    return _computed(orig, name, f"Computed as {orig.name} * {mask.name} (pruned).", load)


def _scales(g: tuple[int, ...], v: tuple[int, ...]) -> bool:
    """Whether `g` can be the lengths of the directions `v`: one number, or one an entry of an axis."""
    if math.prod(g) == 1:
        return True
    return (
        len(g) == len(v)
        and sum(n != 1 for n in g) == 1
        and all(n in (1, m) for n, m in zip(g, v, strict=True))
    )


def _weight_norm(v: Layer, g: Layer, name: str) -> Layer:
    """g v / |v| (Salimans and Kingma 2016): the norm is over the axes that g has not."""
    if not _scales(g.shape, v.shape):
        return _unknown(v, name)

    def load() -> np.ndarray:
        direction, length = (np.asarray(a.load()).astype(np.float64) for a in (v, g))
        one = length.size == 1 and direction.shape[0] != 1
        axes = tuple(i for i in range(direction.ndim) if one or length.shape[i] == 1)
        norm = np.sqrt((direction**2).sum(axis=axes, keepdims=True))
        return np.divide(length.reshape(length.shape or (1,)) * direction, norm, where=norm > 0,
                         out=np.zeros_like(direction))  # fmt: skip

    rule = f"Computed as g v / |v| of {g.name} and {v.name} (weight normalisation)."
    return _computed(v, name, rule, load)


def _spectral(orig: Layer, u: Layer, v: Layer | None, name: str) -> Layer:
    """W / (u^T W v) (Miyato et al. 2018), u and v as the last power iteration left them."""
    if len(u.shape) != 1 or (v is not None and len(v.shape) != 1):
        return _unknown(orig, name)
    rows, total = u.shape[0], math.prod(orig.shape)
    axis = next((i for i in (0, 1) if orig.shape[i] == rows), None)
    if v is not None and axis == 0 and orig.shape[1] == rows and orig.transposed:
        axis = 1
    if axis is None or (v is not None and v.shape[0] * rows != total):
        return _unknown(orig, name)

    def load() -> np.ndarray:
        weight = np.asarray(orig.load()).astype(np.float64)
        matrix = np.moveaxis(weight, axis, 0).reshape(rows, -1)
        left = np.asarray(u.load()).astype(np.float64)
        if v is None:  # before PyTorch 1.0: the other vector follows from the first
            right = matrix.T @ left
            right /= np.linalg.norm(right)
        else:
            right = np.asarray(v.load()).astype(np.float64)
        return weight / (left @ matrix @ right)

    rule = f"Computed as {orig.name} over its largest singular value (spectral normalisation)."
    return _computed(orig, name, rule, load)


def _flax_norms(by_name: dict[str, Layer]) -> dict[str, tuple[str, Layer]]:
    """Kernel's name -> (WeightNorm or SpectralNorm, its scale or sigma)."""
    found = {}
    for name, array in by_name.items():
        if told := _FLAX_NORM.match(name):
            before, kind, inner, _ = told.groups()
            for start in (before, before.replace("batch_stats/", "params/", 1)):
                if f"{start}{inner}" in by_name:
                    found[f"{start}{inner}"] = (kind, array)
    return found


def _flax(kernel: Layer, kind: str, scale: Layer) -> Layer:
    def load() -> np.ndarray:
        values, by = (np.asarray(a.load()).astype(np.float64) for a in (kernel, scale))
        as_wide(values, (by,), kernel.name)
        if kind == "SpectralNorm":
            return values / np.where(by != 0, by, 1.0)
        axes = tuple(range(values.ndim - 1))
        return values / np.sqrt((values**2).sum(axis=axes, keepdims=True) + 1e-12) * by

    words = {"WeightNorm": "weight", "SpectralNorm": "spectral"}[kind]
    rule = f"Computed from {kernel.name} and {scale.name} ({words} normalisation)."
    return _computed(kernel, kernel.name, rule, load)


def turned(layer: Layer) -> Layer:
    """The layer as the transposed convolution that it is."""
    return replace(
        layer, transposed=True, layout=TURNED.get(layer.layout, layer.layout), depthwise=False
    )


def _split(name: str) -> tuple[str, str]:
    found = _LEAF.match(name)
    assert found is not None
    return found[1], found[2]
