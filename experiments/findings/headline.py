"""The answer in a few sentences, with which README and results/README.md begin; numbers as in `words`."""

import pandas as pd
from words import (
    CHANCE,
    FORGOTTEN,
    METRIC,
    SMALL,
    Results,
    against_learned,
    final,
    image_energies,
    value,
)


def answer(results: Results) -> list[str]:
    """Lines of Markdown: what, in which regime, why, and whether it matters, each with its sentences."""
    parts: dict[str, list[str]] = {}
    summary, ladder, kinds = (
        results(f"mnist/tables/{name}.csv") for name in ("summary", "ladder", "kinds")
    )
    if summary is not None and ladder is not None and kinds is not None:
        parts |= _main_answer(summary, ladder, kinds)
    why: list[str] = []
    course, hypotheses = (results(f"regimes/tables/{n}.csv") for n in ("course", "hypotheses"))
    if course is not None and hypotheses is not None:
        why.append(_of_memory(course, hypotheses))
    if (arms := results("why/tables/arms.csv")) is not None:
        why.append(_of_labels_and_images(arms))
    parts["Why"] = why
    if (grid := against_learned(results)) is not None:
        parts["Whether it matters"] = _worth(grid)
    return [
        "What a first layer comes to look like depends on whether training forgets its start.",
        "",
        *(f"- **{lead}.** {' '.join(said)}" for lead, said in parts.items() if said),
    ]


def _of_labels_and_images(arms: pd.DataFrame) -> str:
    """What the update looks like on each set, without true labels and without the images' structure."""
    update = arms[arms["measure"] == "update"].set_index(["data", "arm"])["mean"]
    ends = []
    for data in dict.fromkeys(arms["data"]):
        natural, shuffled, scrambled, iid = (
            f"{update[data, f'{SMALL}{change}']:.2f}"
            for change in ("", "/shuffled", "/phase_scrambled", "/iid")
        )
        ends.append(
            f"{natural} on {data} (with shuffled labels {shuffled}, with scrambled phases {scrambled}, "
            f"with independent pixels {iid})"
        )
    return (
        "Pixels without spatial structure give chance; beyond that, labels and images matter "
        "differently from set to set. From He's initialisation times 0.1, without decay, the R² of "
        f"what training adds is {'. It is '.join(ends)}."
    )


def _worth(grid: pd.DataFrame) -> list[str]:
    """What frozen first layers cost, with the most images and with the fewest."""
    mine, few = (
        grid[(grid["size"] == size) & (grid["width"] == 16)].set_index("arm")
        for size in (grid["size"].max(), grid["size"].min())
    )
    wanted = ["sobel_prewitt/frozen", "he_normal/frozen", "patch_pca/frozen"]
    if not set(wanted) <= set(mine.index):
        return []
    sobel, of_random, axes = (value(mine.loc[arm], True) for arm in wanted)
    return [
        f"On Fashion-MNIST ({int(mine['size'].iloc[0]):,} images, width 16, 800 steps of 64, less than an "
        "epoch, no decay) a frozen first layer changes accuracy, in points against a learned one (above 0: "
        f"better), by {sobel} with Sobel and Prewitt kernels, by {of_random} with random ones, by {axes} with "
        "the images' principal patch axes.",
        f"With {int(few['size'].iloc[0]):,} images frozen Sobel and Prewitt kernels change it by "
        f"{value(few.loc['sobel_prewitt/frozen'], True)}.",
    ]


def _main_answer(
    summary: pd.DataFrame, ladder: pd.DataFrame, kinds: pd.DataFrame
) -> dict[str, list[str]]:
    """The main experiment: start kept, start forgotten, true and shuffled labels."""
    kept, forgot = (
        lambda measure, arm=arm: final(summary, arm, measure) for arm in ("he_normal", FORGOTTEN)
    )
    rows = kinds[(kinds["arm"] == FORGOTTEN) & (kinds["part"] == "W") & (kinds["null"] == "N0")]
    rows = rows.set_index("kind")
    edge, low = rows.loc["edge"], rows.loc["low-pass"]
    accuracies = [of("test_accuracy")["mean"] for of in (forgot, kept)]
    forgotten = [
        f"With a strong decay (2) {forgot('memory')['mean']:.0%} of it is left. Half of the kernels become "
        f"low-pass ({low['value']:.1f} of 16; random {low['chance']:.1f}), and edge detectors, of which a "
        f"first derivative holds more than half of the energy, rise from {edge['chance']:.1f} to "
        f"{edge['value']:.1f}. R² is {value(forgot(METRIC))} (of whole kernels "
        f"{forgot('r2_sobel')['mean']:.2f}), at an accuracy of {accuracies[0]:.1%} instead of "
        f"{accuracies[1]:.1%}. They match no single textbook operator. Random kernels with their energies on "
        f"the images' principal axes have {image_energies(ladder, FORGOTTEN):.2f}, so that likeness beyond "
        "second-order structure is not shown."
    ]
    shuffled = FORGOTTEN.replace("/", "/shuffled/", 1)
    if shuffled in set(summary["arm"]):
        length = final(summary, shuffled, "start_left")["mean"]
        forgotten.append(
            f"With shuffled labels and that decay, which leave {length:.0%} of the start's length (in some "
            f"networks the kernels only shrink), R² is {value(final(summary, shuffled, METRIC))}."
        )
    return {
        "The start kept": [
            f"With He's start and no weight decay, on 4,000 digits, {kept('memory')['mean']:.0%} of the "
            "kernels' energy is still their start's, and they look random, or nearly so. Likeness to an "
            "edge detector (R² with Sobel at its best angle, each kernel's mean removed) is "
            f"{value(kept(METRIC))}, that of random kernels {CHANCE:.2f}."
        ],
        "The start forgotten": forgotten,
    }


def _of_memory(course: pd.DataFrame, hypotheses: pd.DataFrame) -> str:
    """Whether what is left of the start tells what kernels look like."""
    curve = hypotheses[hypotheses["hypothesis"] == 1]
    held = int((curve["verdict"] == "holds").sum())
    last = course[course["step"] == course["step"].max()]
    small = last[(last["arm"] == "he_normal*0.01") & (last["data"] == "mnist5k")].iloc[0]
    return (
        "Forgetting the start goes along with likeness, but does not explain it. One curve of what is "
        f"left predicts the likeness of {held} of {len(curve)} ways to train within 0.1. And a start of a "
        f"hundredth, which leaves {small['memory']:.0%} on digits without decay, ends with {small['edge']:.1f} "
        "edge detectors of 16."
    )
