"""Our own runs: RUN[:arm[:seed[:step]]] as kernels of one network or of all seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kernelstudy.weights.layer import WeightsError


class RunKernels(NamedTuple):
    """`kernels`, `start` (net, kh, kw, in, out) at the step and at the first; `patch_basis` (d, d), grey, where
    the images are known."""

    kernels: np.ndarray
    start: np.ndarray | None
    patch_basis: np.ndarray | None
    seeds: tuple[int, ...]
    arm: str
    step: int
    arms: tuple[str, ...]
    steps: tuple[int, ...]


def split(text: str) -> tuple[Path, list[str]]:
    """A path that exists, and what follows it after colons (arm, seed, step)."""
    if Path(text).exists() or ":" not in text:
        return Path(text), []
    words = text.split(":")
    for count in range(len(words) - 1, 0, -1):
        path = Path(":".join(words[:count]))
        if path.exists():
            return path, words[count:]
    return Path(text), []


def is_run(path: Path) -> bool:
    """Whether a directory is that of a run, finished or not."""
    return path.is_dir() and ((path / "trajectory.zarr").is_dir() or _is_begun(path))


def runs_in(path: Path, depth: int = 2) -> list[Path]:
    """The runs that a directory holds, at most two levels down; links are not followed."""
    found = []
    for entry in sorted(path.iterdir()) if depth and path.is_dir() else []:
        if entry.is_dir() and not entry.is_symlink():
            found += [entry] if is_run(entry) else runs_in(entry, depth - 1)
    return found


def _is_begun(path: Path) -> bool:
    """Whether a run has begun in a directory; networks of others have files of the same names."""
    if not (path / "config.yaml").is_file():
        return False
    from kernelstudy import runs

    try:
        runs.read_settings(path)
    except runs.RunError:
        return False
    return True


def read(path: Path, parts: list[str]) -> RunKernels:
    """The first layer of a run's arm (the first one, unless named), all seeds or one, at a step.

    Raises:
        WeightsError: no finished run, or an arm, seed or step that it does not have.
    """
    from kernelstudy import runs  # it brings the config's libraries along
    from kernelstudy.runs import state
    from kernelstudy.system.errors import RunError

    if len(parts) > 3:
        raise WeightsError(
            f"{path}: after the run come arm, seed and step, no more: {':'.join(parts)}"
        )
    try:
        state.refuse_unfinished(path)
        trajectory = runs.read_trajectory(path)
    except RunError as error:
        raise WeightsError(str(error)) from error
    arms = [str(a) for a in trajectory["arm"].values]
    arm = _choice("arm", parts[0] if parts else "", arms, arms[0])
    networks = trajectory.sel(arm=arm)
    mask = ~networks["diverged"].values
    seeds = [int(s) for s in networks["seed"].values]
    steps = [int(s) for s in networks["step"].values]
    seed = _choice("seed", parts[1] if len(parts) > 1 else "", seeds, None)
    step = _choice("step", parts[2] if len(parts) > 2 else "", steps, steps[-1])
    if seed is not None:
        mask &= np.array([s == seed for s in seeds])
    if not mask.any():
        raise WeightsError(f"{path}: every network asked for diverged")
    values = networks["kernel"].transpose("seed", "step", "ky", "kx", "cin", "cout").values[mask]
    # of the arm's own images, where arms see them in several variants
    basis = None
    if "patch_basis" in networks:
        basis = networks["patch_basis"].transpose("component", "ky", "kx").values
        basis = basis.reshape(len(basis), -1)
    return RunKernels(
        kernels=values[:, steps.index(step)].astype(float),
        start=values[:, 0].astype(float) if step != steps[0] else None,
        patch_basis=basis,
        seeds=tuple(s for s, is_in in zip(seeds, mask, strict=True) if is_in),
        arm=arm,
        step=step,
        arms=tuple(arms),
        steps=tuple(steps),
    )


def _choice(key: str, word: str, allowed: list, default: Any) -> Any:
    """The entry of `allowed` that `word` writes; `default` for no word."""
    if not word:
        return default
    for value in allowed:
        if str(value) == word:
            return value
    listing = ", ".join(map(str, allowed[:12])) + (", ..." if len(allowed) > 12 else "")
    raise WeightsError(f"the run has no {key} {word!r}; allowed are {listing}")
