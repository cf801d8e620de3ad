"""The kernels that arms start from, out of files and finished runs (`arms.path`).

Both may come from anybody: files are read as `compare` reads them, runs by the readers of `runs`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from kernelstudy.config import Arm, ConfigError, Study
from kernelstudy.system.errors import listed, printable

if TYPE_CHECKING:
    from kernelstudy.comparison.run_directory import RunKernels

_COVARIANCE = 3  # a seed's stream of Gaussian kernels, apart from those of training
_PLAIN = (".npy", ".npz")  # they do not tell the order of their axes, which is to be Flax's


class Start(NamedTuple):
    """Of one arm.

    `kernels` (seed, kh, kw, cin, cout) float32; `facts`: of the source, with the sha256 of what was taken.
    """

    kernels: np.ndarray
    facts: dict[str, Any]


class _Source(NamedTuple):
    """`kernels` (net, kh, kw, cin, cout) float32 of a file, one network, or of a run's arm, its `seeds`."""

    kernels: np.ndarray
    seeds: tuple[int, ...]
    facts: dict[str, Any]


def of_study(study: Study, image_shape: tuple[int, int, int]) -> dict[str, Start]:
    """By name, of the arms that start from a file or a run.

    Raises:
        ConfigError: one cannot be read, or does not fit the first layer or the seeds.
    """
    size = study.model.kernel_size
    colours = 1 if study.model.first == "depthwise" else image_shape[-1]
    shape = (size, size, colours, study.model.width)
    found = {}
    for key, arm in _reading(study):
        source = _read(key, arm)
        is_drawn = arm.init == "run" and arm.how == "covariance"
        _check_shape(key, arm, source.kernels.shape[1:], shape[: 3 if is_drawn else 4])
        if is_drawn:
            kernels = np.stack([drawn(source.kernels, seed, shape[3]) for seed in study.seed_list])
        elif arm.init == "run":
            kernels = source.kernels[_rows(key, source.seeds, study.seed_list)]
        else:
            kernels = np.broadcast_to(source.kernels, (len(study.seed_list), *shape))
        found[arm.name] = Start(kernels, source.facts)
    return found


def facts_of(study: Study) -> dict[str, dict[str, Any]]:
    """By name, of the arms whose file or run can still be read."""
    found = {}
    for key, arm in _reading(study):
        try:
            found[arm.name] = _read(key, arm).facts
        except ConfigError:
            continue
    return found


def drawn(kernels: np.ndarray, seed: int, count: int) -> np.ndarray:
    """Gaussian kernels with the second moment about 0 of `kernels` (net, kh, kw, cin, cout).

    All kernels of all networks count alike, colours together, as in Trockman et al. 2023 and Guth et al. 2023;
    the mean squared norm is that of `kernels`.

    Returns:
        (kh, kw, cin, count) float32.
    """
    shape = kernels.shape[1:4]
    flat = np.moveaxis(kernels, -1, 1).reshape(-1, int(np.prod(shape))).astype(float)
    values, axes = np.linalg.eigh(flat.T @ flat / len(flat))
    # The symmetric root, for the axes' signs, and those of equal values, are the library's choice.
    root = axes * np.sqrt(np.maximum(values, 0)) @ axes.T
    noise = np.random.default_rng((seed, _COVARIANCE)).standard_normal((len(root), count))
    return (root @ noise).reshape(*shape, count).astype(np.float32)


def _reading(study: Study) -> list[tuple[str, Arm]]:
    return [(f"arms[{i}].path", arm) for i, arm in enumerate(study.arms) if arm.reads]


def _read(key: str, arm: Arm) -> _Source:
    from kernelstudy.weights import WeightsError

    path = Path(str(arm.path)).expanduser()
    try:
        source = _of_run(path) if arm.init == "run" else _of_file(path)
    except (WeightsError, OSError) as error:
        raise ConfigError(f"{key}: {error}") from error
    if not np.isfinite(source.kernels).all():
        raise ConfigError(f"{key}: {arm.path} holds kernels that are not finite float32 numbers")
    digest = hashlib.sha256(str((source.kernels.shape, source.seeds)).encode())
    digest.update(np.ascontiguousarray(source.kernels, "<f4").data)
    facts = {"path": printable(str(arm.path)), **source.facts, "sha256": digest.hexdigest()}
    return source._replace(facts=facts)


def _of_file(path: Path) -> _Source:
    from kernelstudy.comparison import run_directory
    from kernelstudy.weights import Limits, WeightsError, with_layout
    from kernelstudy.weights.isolated import read_isolated

    if run_directory.is_run(path):
        raise WeightsError(f"{path} is a run: {{init: run, path: {path}}} starts from it")
    layout = "hwio" if path.suffix.lower() in _PLAIN else "auto"
    found = read_isolated(path, Limits(), layout=layout)
    layer = with_layout(found.network.layers[found.chosen or 0], layout)
    facts = {"format": found.network.format, "layer": layer.name}
    return _Source(_float32(layer.hwio()[None]), (), facts)


def _of_run(path: Path) -> _Source:
    from kernelstudy.comparison import run_directory
    from kernelstudy.weights import WeightsError

    run, parts = run_directory.split(str(path))
    if len(parts) > 1:
        raise WeightsError(f"{run}: after the run comes one of its arms, no more")
    if not run_directory.is_run(run):
        held = run_directory.runs_in(run)
        hint = f"; it holds some, {held[0]} for instance" if held else ""
        raise WeightsError(f"{run} is no run directory{hint}")
    found: RunKernels = run_directory.read(run, parts)
    if not any(parts) and len(found.arms) > 1:
        raise WeightsError(
            f"{run} has {len(found.arms)} arms: name one, as {run}:{found.arms[0]}; there are "
            f"{listed(found.arms)}"
        )
    facts = {"arm": found.arm, "step": found.step, "networks": len(found.seeds)}
    return _Source(_float32(found.kernels), found.seeds, facts)


def _float32(kernels: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # what is not finite is told
        return kernels.astype(np.float32)


def _check_shape(key: str, arm: Arm, found: tuple[int, ...], needed: tuple[int, ...]) -> None:
    """Axes (kh, kw, cin, cout); `needed`: as many of the first as must fit."""
    if found[: len(needed)] == needed:
        return
    names = ("model.kernel_size twice", "the images' colours", "model.width")
    turned = arm.init == "file" and tuple(found[i] for i in (2, 3, 1, 0)) == needed
    hint = "; kernels of PyTorch are turned by transpose(2, 3, 1, 0)" if turned else ""
    raise ConfigError(
        f"{key}: the kernels of {arm.path} are {_by(found)} (kh, kw, cin, cout), where "
        f"{_by(needed)} is needed: {listed(names[: len(needed) - 1])}{hint}"
    )


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _rows(key: str, seeds: tuple[int, ...], wanted: list[int]) -> list[int]:
    """Where the seeds of a study are among those of a run."""
    if absent := [seed for seed in wanted if seed not in seeds]:
        raise ConfigError(
            f"{key}: seed s starts from that run's seed s, and it has no seed {absent[0]} that did not "
            f"diverge, only {len(seeds)}: choose seeds that it has, or how: covariance, which serves any seed"
        )
    return [seeds.index(seed) for seed in wanted]
