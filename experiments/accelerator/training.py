"""The main job in short: the same bits again, `lax` against `gemm`, several devices, lower precision."""

import hashlib
from collections.abc import Iterator
from typing import Any

import hydra
import jax
import numpy as np
from rows import MEASURED, NOT_HERE, Row, judged

from kernelstudy import kernel
from kernelstudy.analysis.similarity import steered_r2
from kernelstudy.analysis.trajectory import judge_arms, spatial_kernels
from kernelstudy.config import Study, compose
from kernelstudy.data.images import load
from kernelstudy.training.backend import start
from kernelstudy.training.population import train_population

SHORT = ["seeds=6", "steps=100", "log_points=2", "probe_seeds=0"]  # six: the fewest of a verdict
TINY = ["steps=8", "batch_size=32", "arms=[{init: he_normal},{init: he_normal,scale: 0.1}]"]
FEW = ["seeds=2", "steps=3", "batch_size=32", "arms=[{init: he_normal}]"]
# Two right ways to compute a step in float32 differ by rounding, and now and then by a near-tie.
ALIKE = 2e-3


def study_of(*words: str) -> Study:
    """`+exp=mnist` with these overrides."""
    compose.register()
    with hydra.initialize_config_dir(str(compose.conf_dir()), version_base="1.3"):
        return compose.from_hydra(hydra.compose("config", ["+exp=mnist", *SHORT, *words]))


def digest(trajectory: Any) -> str:
    """Of every kernel and loss, bit by bit."""
    content = b"".join(trajectory[name].values.tobytes() for name in ("kernel", "train_loss"))
    return hashlib.sha256(content).hexdigest()[:16]


def first(tiny: bool) -> tuple[Study, Any, Any]:
    """The study, its images and its trajectory in float32, on all devices."""
    study = study_of(*(TINY if tiny else []))
    data = load(study.data)
    return study, data, train_population(study, data)


def rows(tiny: bool) -> Iterator[Row]:
    start(None)
    words = TINY if tiny else []
    study, data, trajectory = first(tiny)
    bits = digest(trajectory)
    networks = len(study.arms) * len(study.seed_list)
    said = f"{networks} networks, {study.steps} steps, bits {bits}"
    yield Row("trained", MEASURED, said, {"digest": bits})
    yield judged("finite", not trajectory["diverged"].values.any(), "no network diverged")
    yield _implementations(data)
    yield _devices(study_of(*words, "devices=1"), data, trajectory)
    verdicts = _verdicts(study, trajectory)
    for precision in ("tensorfloat32", "bfloat16"):
        other = train_population(study_of(*words, f"precision={precision}"), data)
        yield _precision(precision, study, trajectory, other, verdicts)


def _implementations(data: Any) -> Row:
    found = [train_population(study_of(*FEW, f"impl={impl}"), data) for impl in ("lax", "gemm")]
    apart = _apart(*found)
    said = f"after 3 steps kernels are apart by {apart:.1e} at most (limit {ALIKE:.0e})"
    return judged("lax and gemm train alike", apart <= ALIKE, said)


def _devices(alone: Study, data: Any, trajectory: Any) -> Row:
    count = len(jax.local_devices())
    if count < 2:
        return Row("several devices", NOT_HERE, "there is one")
    one = train_population(alone, data)
    same, apart = digest(one) == digest(trajectory), _apart(one, trajectory)
    # Networks run one by one on a CPU; elsewhere how many run together may change how sums are ordered.
    right = same if jax.default_backend() == "cpu" else apart <= 10 * ALIKE
    words = "the same bits" if same else f"kernels apart by {apart:.1e} at most"
    return judged("several devices", right, f"{count} against 1: {words}")


def _precision(
    precision: str, study: Study, trajectory: Any, other: Any, verdicts: dict[Any, str]
) -> Row:
    """Whether the verdict of any arm is another, and how far the primary measure moves, seed by seed."""
    apart = _apart(other, trajectory)
    if apart == 0:
        said = (
            "the same bits as float32: this device has no lower precision, or does not use it here"
        )
        return Row(f"verdict in {precision}", NOT_HERE, said)
    changed = [
        f"{arm} ({part}): {verdicts[arm, part]} in float32, {verdict}"
        for (arm, part), verdict in _verdicts(study, other).items()
        if verdict != verdicts[arm, part]
    ]
    moved = _primary(other) - _primary(trajectory)
    said = (
        f"{'; '.join(changed) or 'that of float32 in every arm'}; R² of the update moves by "
        f"{moved.mean():+.3f} on average, {np.abs(moved).max():.3f} at most; kernels by {apart:.1e}"
    )
    return judged(f"verdict in {precision}", not changed, said)


def _verdicts(study: Study, trajectory: Any) -> dict[Any, str]:
    """(arm, part) -> tier and operator."""
    found = judge_arms(trajectory, study.controls)
    return {key: f"{verdict.tier}, operator {verdict.operator}" for key, verdict in found.items()}


def _primary(trajectory: Any) -> np.ndarray:
    """R² of the update with the steered Sobel pair, means over kernels: (arm, seed)."""
    kernels, sobel = spatial_kernels(trajectory), (kernel("sobel_x"), kernel("sobel_y"))
    return steered_r2(kernels[:, :, -1] - kernels[:, :, 0], *sobel, centered=True).mean(-1)


def _apart(one: Any, other: Any) -> float:
    """The largest difference of two trainings' kernels."""
    return float(np.abs(one["kernel"].values - other["kernel"].values).max())
