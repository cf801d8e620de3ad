"""What an array of a checkpoint is: a weight, or an optimiser's state, an average, a mask, a factor.

By structure and by the field's names for such things; arrays that remain are weights.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from .effective import effective, turned
from .layer import DIMENSIONS, Layer

LONGEST = 1024  # taps of a kernel of one dimension: what is longer is a matrix among many
OPTIMISER, AVERAGE = "an optimiser's state", "an average of the weights (EMA or SWA)"
MASK, FACTOR, GRADIENT = "a mask", "a factor of an adapter's increment (LoRA)", "a gradient"
# Of these a network may bear the name too: they decide only between arrays that are otherwise alike.
_DOUBTFUL = frozenset(
    {"mu", "nu", "m", "v", "k", "key", "trace", "momentum", "velocity", "moving", "shadow", "slow"}
    | {"avg", "average", "averaging", "teacher", "target", "frozen", "reference", "ref"}
    | {"copy", "old", "initial", "init", "previous", "backup"}
)
_AVERAGES = frozenset({"ema", "emas", "swa", "polyak", "averaged"})
_SLOTS = re.compile(
    r"(exp_avg|exp_avg_sq|max_exp_avg_sq|exp_inf|momentum_buffer|square_avg|acc_delta|grad_avg|grad_ema|"
    r"grad_sq_ema|slow_buffer|slow_ema|exp_avg_(slow|fast|diff|var|sq_\w+)|moment_?[12]|momentums?|"
    r"velocity|accumulator|hessian|precond\w*|param_states?)"
)
_OPTIMISERS = re.compile(
    r"(.*optimi[sz]ers?([_-]?(states?|weights|state_dict|\d+))*|optims?([_-]\w+)?|optim[._-]?state|"
    r"opt([_-]?(states?|[a-z]|gen|disc|\d+))?|param_states|\.?OPTIMIZER_SLOT|adam(w|ax)?|rmsprop|sgd)",
    re.IGNORECASE,
)
_TRANSPOSED = re.compile(
    r"(deconv(olution)?\d*|convt(ranspose)?\d*|transposed?\d*|tconv\d*|trans_?conv\d*|conv_?trans\w*|"
    r"\w*conv2d_?transpose\w*|\w*convtranspose\w*|\w*conv_transpose\w*|\w*deconv\w*)",
    re.IGNORECASE,
)
_DEPTHWISE = re.compile(
    r"(\w*depth_?wise\w*|(\w+_)?dw(_?conv)?\d*(_\w+)?|conv_?dw\d*)", re.IGNORECASE
)


def weights_among(arrays: Sequence[Layer]) -> tuple[Layer, ...]:
    """The convolutions among all arrays of a file, whatever their rank, each with its role.

    Those with four axes, with five (3-D), and with three that may be a 1-D convolution's: of these only
    a graph knows, so that without one they are measured where they are named.
    """
    marked = [_marked(array, role_of(array)) for array in arrays]
    names = {a.name for a in arrays}
    # of torch.optim.swa_utils.AveragedModel; beside Lightning's current_model_state stands the average
    averaged = tuple(n.removesuffix("n_averaged") for n in names if n.endswith("n_averaged"))
    marked = [
        _marked(a, AVERAGE)
        if not a.role and (a.name.startswith(averaged) or f"current_model_state.{a.name}" in names)
        else a
        for a in marked
    ]
    kinds = _directions(marked)
    return tuple(
        _measurable(layer)
        for layer in effective(kinds)
        if _may_convolve(layer) and 0 not in layer.shape
    )


def _may_convolve(layer: Layer) -> bool:
    if len(layer.shape) == 3 and layer.sees is None:
        shape = layer.shape_of_kernels()
        named = _parts(layer.name)[-1] in ("weight", "kernel", "depthwise_kernel")
        return named and shape is not None and 1 < shape[0] <= LONGEST
    return len(layer.shape) in (4, 5) or (layer.sees is not None and len(layer.shape) in (0, 3))


def role_of(array: Layer) -> str:
    """What an array is by its name, where it is no weight; '' otherwise."""
    if array.role:
        return array.role
    parts = _parts(array.name)
    if _is_optimisers(parts):
        return OPTIMISER
    leaf = parts[-1]
    if any(re.match(r"(lora|hada|lokr|oft|dora)_", part, re.IGNORECASE) for part in parts):
        return FACTOR
    if any(part.lower() in ("grad", "grads", "gradient", "gradients") for part in parts):
        return GRADIENT
    if leaf in ("mask", "weight_mask") or parts[0] in ("mask", "masks"):
        return MASK
    if any(words(part) & _AVERAGES for part in parts):
        return AVERAGE
    return ""


def doubtful(name: str) -> bool:
    """Whether the name could be that of a copy: a teacher, a target network, a moment."""
    return any(words(part) & _DOUBTFUL for part in _parts(name)[:-1])


def named_depthwise(name: str) -> bool:
    return any(_DEPTHWISE.fullmatch(part) for part in _parts(name))


def words(part: str) -> set[str]:
    """`model_ema` -> model, ema; `emaModel` -> ema, model."""
    return {w.lower() for w in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+", part)}


def in_sequence(name: str, other: str) -> bool:
    """Whether two names are told apart by a number first: `0.weight` and `2.weight`, conv1 and conv2."""
    for a, b in zip(_parts(name), _parts(other), strict=False):
        if a != b:
            return re.sub(r"\d+", "0", a) == re.sub(r"\d+", "0", b) or {a, b} <= _ordinals(a, b)
    return False


def _ordinals(a: str, b: str) -> set[str]:
    """Flax and Keras 3 leave out the number of the first: conv2d, conv2d_1."""
    short, long = sorted((a, b), key=len)
    return {a, b} if re.fullmatch(re.escape(short) + r"_\d+", long) else set()


def _is_optimisers(parts: list[str]) -> bool:
    for index, part in enumerate(parts):
        if _OPTIMISERS.fullmatch(part):
            # flax.optim's and nnx's optimisers hold the weights too
            if parts[index + 1 : index + 2] in (["target"], ["model"]) and "opt_state" not in parts:
                continue
            return True
        inner = parts[index + 1 :]
        if part == "state" and len(inner) >= 2 and _SLOTS.fullmatch(inner[-1]):
            return True
    return bool(_SLOTS.fullmatch(parts[-1]))


def _parts(name: str) -> list[str]:
    return re.split(r"[./]", name)


def _marked(array: Layer, role: str) -> Layer:
    return replace(array, role=role) if role != array.role else array


def _measurable(layer: Layer) -> Layer:
    if len(layer.shape) in (0, *DIMENSIONS) or layer.refused:
        return layer
    return replace(layer, refused=f"{layer.kind()}, which is not measured")


def _directions(arrays: list[Layer]) -> list[Layer]:
    """Depthwise and transposed layers known as such: by their names, their biases, and their order."""
    biases = {a.name: a.shape[0] for a in arrays if len(a.shape) == 1}
    kernels = [a for a in arrays if len(a.shape) == 4 and not a.role]
    backwards = _runs_backwards(kernels)

    def directed(a: Layer) -> Layer:
        if len(a.shape) not in DIMENSIONS or a.transposed or a.layout not in ("oihw", "hwio"):
            return a
        out, cin = a.shape[:2] if a.layout == "oihw" else a.shape[:-3:-1]
        bias = _bias_of(a.name, biases)
        if a.layout == "oihw" and not a.depthwise:
            by_bias = bias is not None and bias == cin != out
            named = any(_TRANSPOSED.fullmatch(p) for p in _parts(a.name)) and bias in (None, cin)
            if by_bias or named or (bias is None and id(a) in backwards):
                return turned(a)
        if a.layout == "hwio" and any(_TRANSPOSED.fullmatch(p) for p in _parts(a.name)):
            return replace(a, transposed=True)  # Flax keeps inputs before outputs
        if cin == 1 and out > 1 and named_depthwise(a.name):
            return replace(a, depthwise=True)
        return a

    return [directed(a) for a in arrays]


def _bias_of(name: str, biases: dict[str, int]) -> int | None:
    return next(iter(_found(name, biases)), None)


def _found(name: str, biases: dict[str, int]) -> Iterator[int]:
    head = re.sub(r"([./]?)(weight(_orig|_v)?|kernel)$", r"\1bias", name)
    head = re.sub(r"parametrizations[./]weight[./]original1?$", "bias", head)
    if head != name and head in biases:
        yield biases[head]


def _runs_backwards(kernels: list[Layer]) -> set[int]:
    """Layers (out, in, kh, kw) that follow each other only if inputs and outputs are exchanged."""
    found: set[int] = set()
    for before, after in pairwise(kernels):
        if before.layout != "oihw" or after.layout != "oihw" or before.shape[2:] == (1, 1):
            continue
        if not in_sequence(before.name, after.name):
            continue
        a, b = before.shape, after.shape
        if a[1] == b[0] and a[0] != b[1] and max(a[1], b[0]) > 1 and a[2:] == b[2:]:
            found |= {id(before), id(after)}
        elif a[0] == b[1] and a[1] != b[0]:
            found -= {id(before), id(after)}
    return found
