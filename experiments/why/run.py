"""python experiments/why/run.py RUN [RUN ...] [--out DIR]: the report of this study."""

import sys

import numpy as np
import pandas as pd
from figures import derivative_share, profile
from measures import METRIC, Theory, measured

from kernelstudy.config.study import Arm
from kernelstudy.studies import equal_memory, plan_report
from kernelstudy.studies.hypotheses import (
    FAILS,
    HOLDS,
    OPEN,
    above,
    above_chance,
    not_above_chance,
    not_from_chance,
    within,
)
from kernelstudy.studies.inputs_figure import r2_by_inputs
from kernelstudy.studies.plan import StudyRuns, paired, rung, with_q
from kernelstudy.studies.plan_report import Answer, Claim, Drawn, Number
from kernelstudy.studies.plan_words import above_noise

DATA = ("mnist5k", "photo_patches")
INPUTS = ("natural", "phase_scrambled", "whitened", "permuted", "iid")
CORRELATED = ("natural", "phase_scrambled")
LABELS = "What true labels add to R² of the update, beside shuffled ones"

OF_R2 = "R² of the update, less that of"
NUMBERS = {
    "R² of the update is within 0.15 of natural inputs'": Number(
        f"{OF_R2} natural inputs", "higher than natural ones'", "lower than natural ones'"
    ),
    "true labels give a higher R² of the update": Number(
        "R² of the update with true labels less that with shuffled ones",
        "higher with true labels",
        "higher with shuffled labels",
    ),
    "natural inputs are higher by 0.1 at least": Number(
        "R² of the update with natural inputs less that with whitened ones",
        "higher with natural inputs",
        "higher with whitened inputs",
    ),
    "it is above i.i.d. inputs": Number(f"{OF_R2} independent pixels", "higher", "lower"),
    **{
        claim: Number(f"{OF_R2} chance", "above chance", "below chance")
        for claim in (
            *("the update is at chance (N0)", "the update is above chance (N0)"),
            "N3 matches the update in R²",
        )
    },
    "profile correlates with the prediction at r > 0.9": Number("the correlation r"),
    "the derivative share rises from the first log point": Number(
        "the share at its peak less the first"
    ),
    "it falls from its peak to the last log point": Number("the share at its peak less the last"),
}


def arm(inputs: str, labels: str = "true") -> str:
    return Arm(init="he_normal", scale=0.1, labels=labels, inputs=inputs).name


def answer(found: StudyRuns) -> Answer:
    theory = measured(found)
    # N3 in the primary measure, as hypothesis 5 has it, is one more test of the declared family
    ladder = with_q(pd.concat([found.ladder.drop(columns="q"), theory.n3], ignore_index=True))
    found = found._replace(ladder=ladder)
    parts = [part for data in DATA for part in tested(found, theory, data)]
    labels = equal_memory.compared(found, {arm(i): arm(i, "shuffled") for i in INPUTS}, "update")
    return Answer(
        runs=found,
        parts=allowed_exception(parts),
        tables={
            "ladder": ladder,
            "linear_theory": theory.fits,
            "derivative_share": theory.curves,
            "profiles": theory.profiles,
            "labels": labels,
        },
        shown={LABELS: equal_memory.shown(labels, plan_report.arm_words(found.plan))},
        numbers=NUMBERS,
        figures=[
            Drawn(
                "update",
                above_noise(ladder, "update"),
                "R² of the update by inputs and labels. Dots: networks; diamonds: means with their 95% "
                "interval; squares: Gaussian kernels with the layer's own energies on the patches' axes (N3). "
                "Grey: networks of random kernels (N0).",
                r2_by_inputs(found, INPUTS, arm, "update", METRIC),
            ),
            Drawn(
                "derivative_share",
                rise_and_fall(theory.curves),
                "The share of the update that is odd (gradient-like) against step. Solid: measured, mean with "
                "its 95% interval; dashed: the closed form at the run's learning rate, with labels unrelated "
                "to patches. Dotted: chance, 4 of 9 dimensions.",
                derivative_share(theory.shares, CORRELATED, arm),
            ),
            Drawn(
                "profile",
                as_predicted(theory.fits),
                "Energy of the update over the patches' principal axes, measured and predicted. Axes from the "
                "largest variance to the smallest; those that are mostly odd are shaded.",
                profile(theory.profiles, CORRELATED, arm),
            ),
        ],
        readings=[
            "'At chance': the ladder does not find the update above N0; where it lies below, the interval "
            "says so. 'Above chance': above N0.",
            equal_memory.READING,
            "Inputs are compared under true labels, where phases are scrambled (hypothesis 1) and where "
            "inputs are whitened (3); shuffled labels are in the figure.",
            f"That N3 matches the updates (hypothesis 5) is tested in the primary measure ({METRIC}), as it "
            "says; the ladder's own N3, in the concentration of R², is in ladder.csv. All its tests are "
            "within the declared family.",
            "The closed form needs a rate, a time and the labels' coupling to patches, and the plan fixes "
            "none. Taken are the run's learning rate, its steps, and labels unrelated to patches; no "
            "parameter is fitted. linear_theory.csv also has the best r over all rates, and r without the "
            "first axis.",
            "'First rises, then falls': the share at the peak of the *other* networks' mean curve exceeds the "
            "network's own at the first logged step, and at the last.",
        ],
        limits=[
            "The closed form is of a linear network with a global average pool and plain gradient descent; "
            "these networks pool maxima, rectify, and are trained by Adam.",
            "A correlation over nine axes of which the first holds most energy is high for many shapes: see r "
            "without the first axis.",
            "N3 has the layer's own energies: that it matches says that kernels are as random as their "
            "energies allow, not that the images alone fix those energies.",
            "One width, one depth, one optimiser, and two sets of images.",
        ],
    )


def rise_and_fall(curves: pd.DataFrame) -> str:
    """In how many arms the share is highest on the way. curves: data, arm, step, odd."""
    lines = [
        line.sort_values("step")["odd"].to_numpy() for _, line in curves.groupby(["data", "arm"])
    ]
    fallen = sum(bool(line[:-1].max() > line[-1]) for line in lines)
    return (
        f"The gradient-like share of what training added is higher on the way than at the end in {fallen} of "
        f"{len(lines)} combinations of arm and data set"
    )


def as_predicted(fits: pd.DataFrame) -> str:
    """How well the closed form predicts the energies. fits: data, arm, r."""
    means = fits.groupby(["data", "arm"])["r"].mean()
    return (
        f"Measured and predicted energies correlate by r = {means.min():.2f} to {means.max():.2f}"
    )


def tested(found: StudyRuns, theory: Theory, data: str) -> list[Claim]:
    nets, ladder, parts = found.networks, found.ladder, []

    def add(number: int, subject: str, outcome) -> None:
        parts.append(Claim(number, data, subject, outcome))

    def n0(inputs: str, labels: str = "true"):
        return rung(ladder, arm(inputs, labels), "update", "N0", data=data)

    def less(one: str, other: str):
        return paired(nets, "delta", one, other, data=data)

    natural, scrambled, whitened, _, iid = (arm(inputs) for inputs in INPUTS)
    claim = "R² of the update is within 0.15 of natural inputs'"
    add(1, scrambled, within(claim, less(scrambled, natural), 0.15))
    for inputs in ("iid", "permuted"):
        add(1, arm(inputs), not_above_chance("the update is at chance (N0)", n0(inputs)))
    for inputs in CORRELATED:
        shuffled = arm(inputs, "shuffled")
        claim = "true labels give a higher R² of the update"
        add(2, shuffled, above(claim, less(arm(inputs), shuffled), 0.0))
        claim = "the update is above chance (N0)"
        add(2, shuffled, above_chance(claim, n0(inputs, "shuffled")))
    add(
        3,
        whitened,
        above("natural inputs are higher by 0.1 at least", less(natural, whitened), 0.1),
    )
    add(3, whitened, above("it is above i.i.d. inputs", less(whitened, iid), 0.0))
    claim = "the update is at chance (N0)"
    add(4, arm("iid", "shuffled"), not_above_chance(claim, n0("iid", "shuffled")))
    for inputs in INPUTS:
        for labels in ("true", "shuffled"):
            name = arm(inputs, labels)
            of_n3 = rung(ladder, name, "update", "N3", data=data, measure=METRIC)
            add(5, name, not_from_chance("N3 matches the update in R²", of_n3))
    for inputs in CORRELATED:
        for name in (arm(inputs), arm(inputs, "shuffled")):
            fits = theory.fits[(theory.fits["data"] == data) & (theory.fits["arm"] == name)]
            add(6, name, above("profile correlates with the prediction at r > 0.9", fits["r"], 0.9))
    for name in (natural, arm("natural", "shuffled")):
        _, odd, _ = theory.shares.get((data, name), (None, np.empty((0, 2)), None))
        rise, fall = around_peak(odd)
        add(6, name, above("the derivative share rises from the first log point", rise, 0.0))
        add(6, name, above("it falls from its peak to the last log point", fall, 0.0))
    return parts


def around_peak(odd: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far each network (seed, step) lies at the peak of all others' mean above its first and its last."""
    others = [np.delete(odd, row, axis=0).mean(axis=0) for row in range(len(odd))]
    at_peak = np.array([line[int(mean.argmax())] for line, mean in zip(odd, others, strict=True)])
    return (at_peak - odd[:, 0], at_peak - odd[:, -1]) if len(odd) > 1 else (at_peak, at_peak)


def allowed_exception(parts: list[Claim]) -> list[Claim]:
    """Hypothesis 5 lets natural inputs with true labels differ from N3 on one data set."""
    mine = [p for p in parts if p.hypothesis == 5 and p.subject == arm("natural")]
    others = [p for p in mine if p.outcome.verdict in (FAILS, OPEN)]
    if len(others) != 1:
        return parts
    claim = "N3 matches the update in R², or this is the one data set that may differ"
    outcome = others[0].outcome._replace(verdict=HOLDS, claim=claim)
    return [p._replace(outcome=outcome) if p is others[0] else p for p in parts]


if __name__ == "__main__":
    sys.exit(plan_report.main(__file__, answer))
