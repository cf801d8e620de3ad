"""The figures of this study, from its networks' measures."""

import numpy as np
from matplotlib.figure import Figure

from kernelstudy.reporting import marks, style
from kernelstudy.reporting.curves import steps_to
from kernelstudy.reporting.measure_words import METRIC_WORDS, data_words
from kernelstudy.studies.plan import StudyRuns, by_seed, paired

W, UPDATE = style.colour_of(0), style.colour_of(4)


def overview(found: StudyRuns, groups: dict[str, list[str]], base: str) -> Figure:
    """A row an arm, a colour a data set: R² at start and end, of the update, accuracy beside `base`."""
    nets, arms = found.networks, [arm for group in groups.values() for arm in group]
    sets = list(dict.fromkeys(nets["data"]))
    breaks = np.cumsum([len(group) for group in groups.values()])[:-1]
    metric = found.sweep.metric
    null = found.sweep.cells.iloc[0]
    with style.styled():
        figure = Figure(figsize=(9.6, 1.6 + 0.3 * len(arms)))
        panels = figure.subplots(1, 3, sharey=True, width_ratios=(1.2, 1.2, 1))
        of_w, of_update, of_accuracy = panels
        for panel in panels[:2]:
            marks.chance(panel, null)
            panel.set(xlim=(-0.02, 1.03))
        of_accuracy.axvline(0, color="black", lw=0.8)
        for number, data in enumerate(sets):
            colour, offset = style.colour_of(number), (number - (len(sets) - 1) / 2) * 0.36
            for row, arm in enumerate(arms):
                start, end, update, accuracy = (
                    by_seed(nets, c, arm, data=data)
                    for c in ("start", "value", "delta", "accuracy")
                )
                if not len(end):
                    continue
                at = row + offset
                of_w.plot([start.mean(), end.mean()], [at, at], color=colour, lw=1, alpha=0.6)
                of_w.plot(start.mean(), at, "|", ms=13, mew=2, color="black")
                marks.mean_of_shares(of_w, end, at, colour)
                marks.mean_of_shares(of_update, update, at, colour)
                if arm != base and len(accuracy):
                    points = 100 * paired(nets, "accuracy", arm, base, data=data)
                    marks.mean_of_differences(of_accuracy, points, at, colour)
            of_w.plot([], [], "D", ms=5, color=colour, label=f"{data_words(data)}, end")
        of_w.plot([], [], "|", ms=9, mew=2, color="black", label="start")
        of_w.fill_between([], [], color=style.CHANCE, alpha=0.3, label=marks.CHANCE_LABEL)
        for panel, title in zip(
            panels,
            ("kernels W: start → end", "update W − W₀", f"accuracy, less {base}'s"),
            strict=True,
        ):
            panel.set_title(title)
            panel.set_yticks(range(len(arms)), arms, fontsize=8)
            panel.set_ylim(len(arms) - 0.4, -0.6)
            panel.grid(axis="y", visible=False)
            for place in breaks:
                panel.axhline(place - 0.5, color="#bbbbbb", lw=0.8)
        figure.legend(*of_w.get_legend_handles_labels(), loc="outside lower center", ncols=4)
        figure.suptitle(
            f"{METRIC_WORDS[metric]}, and accuracy in points (right of the line: better), by initialisation",
            x=0.01,
            ha="left",
        )
    return figure


def over_time(found: StudyRuns, groups: dict[str, list[str]]) -> Figure:
    """A panel an arm: W and the update against step; of a second data set dashed."""
    arms = [arm for group in groups.values() for arm in group]
    of = found.networks.drop_duplicates("condition").set_index("condition")["data"]
    columns, null = 5, found.sweep.cells.iloc[0]
    lines = -(-len(arms) // columns)
    with style.styled():
        figure = Figure(figsize=(9.6, 0.7 + 1.75 * lines))
        panels = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
        last = 1
        for panel, arm in zip(panels.flat, arms, strict=False):
            marks.chance(panel, null, across=True)
            for number, (condition, _) in enumerate(of.items()):
                steps, *both = found.sweep.curves.get((condition, arm), ((), (), ()))
                for values, colour in zip(both, (W, UPDATE), strict=True):
                    if len(steps):
                        marks.band(panel, steps, values, colour, "--" if number else "-")
                        last = int(steps[-1])
            panel.set_title(arm, fontsize=8.5)
        for panel in panels.flat[len(arms) :]:
            panel.set_axis_off()
        panels[0, 0].set_ylim(0, 1.03)
        steps_to(panels, last)
        ticks = [
            0,
            *(t for t in (1, 10, 100) if 20 * t < last),
            last,
        ]  # as many as a small panel holds
        panels[0, 0].set_xticks(ticks, [f"{t:,}" for t in ticks])
        for panel in panels.flat:
            panel.tick_params(labelsize=7)
        for panel in panels.flat[len(arms) - columns : len(arms)]:
            panel.tick_params(labelbottom=True)
        for colour, label in ((W, "kernels W"), (UPDATE, "update W − W₀")):
            panels[0, 0].plot([], [], color=colour, label=label)
        for number, data in enumerate(of):
            panels[0, 0].plot([], [], "--" if number else "-", color="grey", label=data_words(data))
        panels[0, 0].fill_between([], [], color=style.CHANCE, alpha=0.3, label=marks.CHANCE_LABEL)
        figure.legend(
            *panels[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=5
        )
        figure.suptitle(METRIC_WORDS[found.sweep.metric], x=0.01, ha="left")
    return figure
