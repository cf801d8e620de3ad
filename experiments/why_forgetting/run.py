"""python experiments/why_forgetting/run.py RUN [RUN ...] [--out DIR]: the report of this study."""

import sys

from kernelstudy.config.study import Arm
from kernelstudy.studies import equal_memory, plan_report
from kernelstudy.studies.hypotheses import above, above_chance, below, not_above_chance, within
from kernelstudy.studies.inputs_figure import LABELLED, r2_by_inputs
from kernelstudy.studies.plan import StudyRuns, by_seed, paired, rung
from kernelstudy.studies.plan_report import Answer, Claim, Drawn, Number
from kernelstudy.studies.plan_words import above_noise

DATA = ("mnist5k", "photo_patches")
INPUTS = ("natural", "phase_scrambled", "whitened", "permuted", "iid")
FORGOTTEN = 0.25  # memory
LABELS = "What true labels add to R² of W, beside shuffled ones"


def arm(inputs: str, labels: str = "true") -> str:
    return Arm(init="he_normal", labels=labels, inputs=inputs).name


ARMS = [arm(inputs, labels) for inputs in INPUTS for labels in LABELLED]

NUMBERS = {
    "R² of W is within 0.15 of natural inputs'": Number(
        "R² of the kernels, less that of natural inputs",
        "higher than natural ones'",
        "lower than natural ones'",
    ),
    "true labels give a higher R² of W": Number(
        "R² of the kernels with true labels less that with shuffled ones",
        "higher with true labels",
        "higher with shuffled labels",
    ),
    "natural inputs are higher by 0.1 at least": Number(
        "R² of the kernels with natural inputs less that with whitened ones",
        "higher with natural inputs",
        "higher with whitened inputs",
    ),
    **{
        claim: Number("R² of the kernels, less that of chance", "above chance", "below chance")
        for claim in ("W is at chance (N0)", "W is above chance (N0)", "W is not above N3")
    },
    "memory of the start is below 0.25": Number(
        "memory, the share of the kernels' energy that their start explains"
    ),
}


def answer(found: StudyRuns) -> Answer:
    labels = equal_memory.compared(found, {arm(i): arm(i, "shuffled") for i in INPUTS})
    return Answer(
        runs=found,
        parts=[part for data in DATA for part in tested(found, data)],
        tables={"ladder": found.ladder, "labels": labels},
        shown={LABELS: equal_memory.shown(labels, plan_report.arm_words(found.plan))},
        measure="W",
        numbers=NUMBERS,
        figures=[
            Drawn(
                "kernels",
                above_noise(found.ladder, "W"),
                "R² of the kernels W by inputs and labels. Dots: networks; diamonds: means with their 95% "
                "interval; squares: the same kernels with random signs on the images' axes, or random phases "
                "(N3). Grey: networks of random kernels (N0).",
                r2_by_inputs(found, INPUTS, arm, "W"),
            ),
        ],
        readings=[
            "'At chance': the ladder does not find W above N0.",
            "Inputs are compared under true labels, where phases are scrambled (hypothesis 1) and where "
            "inputs are whitened (3); shuffled labels are in the figure.",
            equal_memory.READING,
            "An arm's N3 is on the axes of the images that it sees itself, scrambled or whitened as they are.",
        ],
        limits=[
            "One architecture, 3 x 3 kernels, AdamW with one learning rate and one decay, 2,000 steps, two "
            "sets of grey images.",
            "Networks of one arm share the training images: intervals are over seeds, not over data sets.",
        ],
    )


def tested(found: StudyRuns, data: str) -> list[Claim]:
    nets, ladder, parts = found.networks, found.ladder, []

    def add(number: int, subject: str, outcome) -> None:
        parts.append(Claim(number, data, subject, outcome))

    def step(name: str, null: str):
        return rung(ladder, name, "W", null, data=data)

    def less(one: str, other: str):
        return paired(nets, "value", one, other, data=data)

    natural, scrambled, whitened, permuted, iid = (arm(inputs) for inputs in INPUTS)
    add(
        1,
        scrambled,
        within("R² of W is within 0.15 of natural inputs'", less(scrambled, natural), 0.15),
    )
    for name in (iid, permuted):
        add(1, name, not_above_chance("W is at chance (N0)", step(name, "N0")))
    for inputs in ("natural", "phase_scrambled"):
        shuffled = arm(inputs, "shuffled")
        add(
            2,
            shuffled,
            above("true labels give a higher R² of W", less(arm(inputs), shuffled), 0.0),
        )
        add(2, shuffled, above_chance("W is above chance (N0)", step(shuffled, "N0")))
    claim = "natural inputs are higher by 0.1 at least"
    add(3, whitened, above(claim, less(natural, whitened), 0.1))
    both = arm("iid", "shuffled")
    add(4, both, not_above_chance("W is at chance (N0)", step(both, "N0")))
    for name in ARMS:
        add(5, name, not_above_chance("W is not above N3", step(name, "N3")))
        memory = by_seed(nets, "memory", name, data=data)
        add(6, name, below("memory of the start is below 0.25", memory, FORGOTTEN))
    return parts


if __name__ == "__main__":
    sys.exit(plan_report.main(__file__, answer))
