"""One run's report: its figures and pages, from its directory alone. No JAX."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from kernelstudy.analysis.kernels import DELTA, Bank, usable_bank
from kernelstudy.config import Study
from kernelstudy.config.arm_words import words_by_name
from kernelstudy.config.network_words import network_words
from kernelstudy.reporting import (
    curves,
    deep_words,
    dense,
    explorer,
    figure_titles,
    galleries,
    ladder_words,
    lead,
    operator_figures,
    page,
    run_sections,
    run_words,
    style,
)
from kernelstudy.reporting.animation import kernels_gif
from kernelstudy.reporting.colour import filters_of
from kernelstudy.reporting.drawing import Save, drawing
from kernelstudy.reporting.page import Figure, Page
from kernelstudy.runs import directory, measures
from kernelstudy.runs.measures import Findings

MOST_NAMED = 40  # parameters of a network of one's own


def build(run: Path, *, out: Path | None = None, trajectory: xr.Dataset | None = None) -> Path:
    """`make`, of which the answer is not asked for."""
    return make(run, out=out, trajectory=trajectory)[0]


def make(
    run: Path, *, out: Path | None = None, trajectory: xr.Dataset | None = None
) -> tuple[Path, str]:
    """`measure_run` a finished run, and add figures/, report.md and report.html, all in `out`.

    `trajectory`: as in `measure_run`.

    Returns:
        The path of report.html, and the answer in one sentence.

    Raises:
        RunError: where `run` cannot be read.
    """
    out = run if out is None else out
    with drawing() as save:
        findings = measures.measure_first_layer(run, out=out, trajectory=trajectory)
        study = findings.study
        bank = usable_bank(study.bank.kernels, findings.trajectory.sizes["ky"])
        draw(findings, bank, out / "figures", save)  # while deeper layers are measured
        findings = measures.complete(findings, run, out)
        deep = findings.deep
        if deep is not None:
            stride = study.model.stride
            deep_words.draw(findings.trajectory, deep, stride, out / "figures", save)
        if "dense_weight" in findings.trajectory:
            dense.draw(findings.trajectory, out / "figures", save)
        kernels_gif(findings.trajectory, findings.kernels, out / "figures")
        content = _content(findings, bank, run)
    return page.write(content, out), content.sentence


def _content(findings: Findings, bank: Bank, run: Path) -> Page:
    """Words, tables and the explorer."""
    study, deep = findings.study, findings.deep
    content = compose(findings)
    content.csv = findings.csv
    if unsealed := directory.not_sealed(run):
        content.notes.append(
            f"No checksum covers {' and '.join(unsealed)} of this run, which an earlier version made: whether "
            "they are as it wrote them cannot be told."
        )
    if deep is not None:
        deep_words.add_to(
            content,
            findings.trajectory,
            deep,
            names_of(study),
            recorded=study.recorded,
            own=study.model.own is not None,
        )
    if "dense_weight" in findings.trajectory:
        dense.add_to(content, findings.trajectory, names_of(study))
    content.explorer = explorer.payload(
        findings.trajectory,
        findings.kernels,
        findings.analysis,
        deep,
        bank=bank,
        metric=study.bank.metric,
        stride=study.model.stride,
        names=names_of(study),
    )
    return content


def draw(findings: Findings, bank: Bank, folder: Path, save: Save) -> None:
    """All figures of a report but those of deeper layers. `bank`: of the declared kernels."""
    trajectory, analysis, kernels = findings.trajectory, findings.analysis, findings.kernels
    metric, matches = findings.study.bank.metric, findings.matches
    others = [m for m in ("r2_sobel_centered", "best_abs_cos", "odd") if m != metric]
    nearest, names = matches.trained["best"], names_of(findings.study)
    ends, first = (
        filters_of(part) for part in (trajectory.isel(step=[0, -1]), trajectory.isel(seed=[0]))
    )
    in_colour = ends is not None
    for shape, narrow in (("answer", False), ("answer_narrow", True)):
        drawing = partial(lead.before_and_after, kernels, analysis, nearest, bank, metric, names)
        drawing = partial(drawing, filters=ends, narrow=narrow)
        save(drawing, folder, shape, vector=not narrow, palette=not in_colour)
    save(partial(curves.parts, analysis, metric), folder, "parts")
    save(partial(curves.over_time, analysis, [metric, *others][:3]), folder, "similarity")
    for prefix in ("", DELTA):
        column = partial(curves.column, analysis, metric, prefix)
        save(column, folder, f"{prefix}column", width_mm=style.COLUMN_MM, dark=False)  # for papers
    save(partial(curves.sectors, analysis), folder, "sectors")
    if run_sections.has_scores(analysis):
        save(partial(curves.performance, analysis), folder, "performance")
    if "changed_accuracy" in analysis:
        save(partial(curves.changed, analysis), folder, "changed")
    if "a_pop" in analysis:
        save(partial(operator_figures.population_a, analysis), folder, "a_pop")
        portrait = partial(operator_figures.portrait, matches.trained, matches.update)
        save(portrait, folder, "portrait")
    for name, final, title in (
        ("matches", matches.trained, "W"),
        ("matches_update", matches.update, "update W − W₀"),
    ):
        gallery = partial(galleries.matches, final, matches.untrained, bank, title)
        save(gallery, folder, name)
    named = trajectory[["arm", "seed", "step"]]
    shown = kernels[:, :1] if first is None else first
    for row in range(trajectory.sizes["arm"]):
        over_time = partial(galleries.kernels_over_time, named, shown, row, in_colour=in_colour)
        save(over_time, folder, f"kernels_{row}", palette=not in_colour)


def names_of(study: Study) -> dict[str, str]:
    """What people call the arms: arm -> words."""
    if study.recorded:
        return {arm.name: arm.init for arm in study.arms}
    return words_by_name(study.arms)


def compose(findings: Findings) -> Page:
    """What the report says, in words."""
    analysis, verdicts, tables = findings.analysis, findings.verdicts, findings.tables
    study, provenance = findings.study, findings.provenance
    metric, last = study.bank.metric, int(analysis["step"][-1])
    arms, seeds = [str(a) for a in analysis["arm"].values], analysis.sizes["seed"]
    entries = ", ".join(str(entry) for entry in analysis["entry"].values)
    of_arms, of_seeds = (
        f"{n} {name}{'' if n == 1 else 's'}" for n, name in ((len(arms), "arm"), (seeds, "seed"))
    )
    networks = f"{of_arms} x {of_seeds} = {len(arms) * seeds}"
    facts = [
        *(_of_recording if study.recorded else _of_training)(study, provenance, networks),
        ("Declared", f"bank {entries}; primary measure {metric}; final step {last:,}"),
    ]
    notes = [run_words.refusal(analysis), run_words.diverged(analysis), run_words.dead(verdicts)]
    final_summary = tables["summary"][tables["summary"]["step"] == last].drop(columns="step")
    final_tests = tables["tests"][tables["tests"]["step"] == last].drop(columns="step")
    names = names_of(study)
    more = f" The first {lead.ARMS} of {len(arms)} arms." if len(arms) > lead.ARMS else ""
    return Page(
        sentence=run_words.sentence(verdicts, tables["kinds"], names, study.learning_arms),
        glance=run_words.at_a_glance(analysis, verdicts, tables["kinds"], names, metric),
        title=f"{study.name}: do the learned kernels look hand-crafted?",
        facts=facts,
        headline=[
            run_words.HOW_TO_READ,
            *run_words.headline(verdicts, study.learning_arms, tables["kinds"]),
            *run_words.agreement(tables["kind_agreement"], study.learning_arms),
        ],
        answer=run_words.sentences(analysis, tables["summary"], tables["tests"], verdicts, metric),
        notes=[note for note in notes if note],
        glance_note=run_words.GLANCE_NOTE,
        animation="figures/kernels.gif",
        lead=Figure(
            "answer",
            figure_titles.lead(analysis, metric),
            lead.CAPTION + (lead.IN_COLOUR if "colours" in tables else "") + more,
            narrow=True,
            pictures=True,
        ),
        sections=run_sections.sections(analysis, findings.matches, metric, names),
        tables=[
            (
                "Kinds of kernels a network beside chance, means over networks",
                _kinds(tables["kinds"]),
            ),
            (
                "Share of kernels that two networks of an arm can pair off by kind, beside random kernels and "
                "draws from the arm's mixture",
                tables["kind_agreement"],
            ),
            ("Growth of each sector's energy: start + new + cross = end", tables["growth"]),
            *(
                [
                    (
                        "Accuracy on changed test images, and its change from the clean ones",
                        tables["changed"],
                    )
                ]
                if "changed" in tables
                else []
            ),
            *(
                [("The filters' energy by colour, beside chance", tables["colours"])]
                if "colours" in tables
                else []
            ),
            ("Summary", final_summary),
            ("Tests", final_tests),
        ],
        ladder=ladder_words.in_words(tables["ladder"]),
        method=_method(study, entries),
        reproduce=provenance["command"],
        provenance=provenance,
    )


def _of_training(study: Study, provenance: dict, networks: str) -> list[tuple[str, str]]:
    """What the networks of a run were trained on, and how."""
    data = provenance["data"]
    shape = " x ".join(map(str, data["image_shape"]))
    left_out = (data.get("left_out") or {}).get("count")
    told = f"; {left_out:,} files left out, named in provenance.json" if left_out else ""
    return [
        (
            "Data",
            f"{data['name']}, {data['train']:,} training and {data['test']:,} test images of {shape}, "
            f"{data['classes']} classes, sha256 {data['sha256'][:16]}: {data['source']}{told}",
        ),
        *_starts(provenance.get("starts") or {}),
        (
            "Networks",
            f"{networks}, {study.steps:,} steps of {study.batch_size} images, on {provenance['device']}",
        ),
        *_watched((provenance.get("network") or {}).get("watched")),
    ]


def _starts(sources: dict[str, dict[str, str]]) -> list[tuple[str, str]]:
    """The files and runs whose kernels arms started from."""
    told = [f"{arm}: {of['path']}, sha256 {of['sha256'][:16]}" for arm, of in sources.items()]
    return [("Starts", "; ".join(told))] if told else []


def _of_recording(study: Study, provenance: dict, networks: str) -> list[tuple[str, str]]:
    """What is known of networks that somebody else's loop has trained."""
    known = provenance.get("recorded")
    known = known if isinstance(known, dict) else {}
    text = f"{networks}, recorded from {known.get('form', 'a model')} up to step {study.steps:,}"
    if known.get("not_closed"):
        last = max(int(step) for step in known["last_steps"])
        text += f"; {known['not_closed']} of them in training, last seen at step {last:,}"
    if (longest := max(known.get("last_steps") or [0])) > study.steps:
        text += f"; the longest went on to step {longest:,}, which not all have logged"
    if known.get("networks", 0) > known.get("in_report", 0):
        text += (
            f"; {known['networks'] - known['in_report']} more have a seed that not all arms have"
        )
    return [
        ("Layer", f"{known.get('layer', '')} ({known.get('why', '')})"),
        ("Networks", text),
        ("Images", _images_of_recording(provenance["data"]["source"])),
        *_watched(known.get("watched")),
    ]


def _watched(watched: Any) -> list[tuple[str, str]]:
    """Which convolutions a report calls layer 1, 2, ..., of recordings and of networks of one's own."""
    if not isinstance(watched, dict):
        return []
    names = [f"layer {i}: {name}" for i, name in enumerate(watched.get("layers", []), 1)]
    more = f" ({len(names)} of {watched.get('convolutions')} convolutions)"
    return [("Feature maps", "; ".join(names) + more)]


def _images_of_recording(source: str) -> str:
    if source == "no images":
        return "none given: image statistics (N3) are not asked"
    return f"{source}, given for the image statistics"


def _network(study: Study) -> str:
    """What is known of the network; the settings of one's own may come from anybody."""
    if not study.model.own:
        return network_words(study.model)
    parameters = [parameter[:120] for parameter in study.model.parameters]
    more = f"; {len(parameters) - MOST_NAMED} more" if len(parameters) > MOST_NAMED else ""
    return (
        f"The network is one of one's own, {str(study.model.own)[:200]}, a Flax module; its parameters: "
        f"{'; '.join(parameters[:MOST_NAMED])}{more}. Weight decay is of those of two axes and more."
    )


def _kinds(table: pd.DataFrame) -> pd.DataFrame:
    """`tables.kinds` with a row a layer and kind, a column a null model; kinds that nothing has left out."""
    keys = ["arm", "part", "kind"]
    wide = table.pivot_table(index=keys, columns="null", values="chance", sort=False)
    of_networks = table[table["null"] == "N0"].set_index(keys)
    least = table.groupby(keys, sort=False)["q"].max()
    wide.insert(0, "kernels", of_networks["value"])
    wide.insert(1, "ci_low", of_networks["value"] + of_networks["ci_low"] - of_networks["diff"])
    wide.insert(2, "ci_high", of_networks["value"] + of_networks["ci_high"] - of_networks["diff"])
    wide["largest q"] = least
    shown = wide[(wide["kernels"] > 0) | (wide["N0"] >= 0.05)]
    return shown.reset_index()


def _method(study: Study, entries: str) -> list[str]:
    recorded = (
        "Recorded from a training of one's own: the start is the first step that was logged; accuracy and loss "
        "are as the loop gave them, of that step."
    )
    deeper = any(arm.deeper_kernels or arm.deeper == "mixed" for arm in study.arms)
    own = (
        "; where deeper layers start as fixed kernels, as its projection on them" if deeper else ""
    )
    return [
        *([recorded] if study.recorded else []),
        *([] if study.recorded else [_network(study)]),
        f"Declared before the run: bank {entries}; primary measure {study.bank.metric}; final step "
        f"{study.steps:,}. All else is description.",
        "The unit of inference is the network (seed). Intervals of means are bootstrap-t over networks, which "
        "hold their level where a bounded measure is skewed (below 6 networks: Student's). p is the larger of "
        "the exact sign-flip test's, which assumes symmetry, and the bootstrap-t's, which does not.",
        "q is p corrected for the number of tests (Benjamini and Hochberg). Two families are told apart. In "
        "the ladder of chance, which decides, q is of one rung over all arms and parts of this report. In "
        "the table of tests and in the sentences on an arm it is over the measures and nulls of this arm, "
        "at one step.",
        "Three parts, each with its question. W: what does the layer look like? The update W − W₀: what did "
        "training add, while the start is still there? Once it has decayed, the update holds −W₀. The new "
        "part, W less its projection on W₀, kernel by kernel: what did training make, whatever is left of "
        "the start? Memory is the share of W's energy that W₀ explains.",
        "The ladder of chance holds the networks against harder and harder nulls, in R² of kernels less "
        "their mean. N0: kernels of isotropic noise. N1: the same networks at step 0 (in the table of tests "
        "the update and the new part are held against their initial kernels). N2: the same kernels with "
        "their taps permuted (with the mean removed its chance is that of N0; in whole kernels it is not).",
        "N3: the same kernels with random signs on the images' principal patch axes, and with random phases "
        "of their Fourier components; the one that is exceeded least counts. Both must be exceeded by 0.05 "
        "or more, for networks trained on images that hold second moments alone exceed them by up to 0.04. "
        "N4: the arm that differs in shuffled labels alone.",
        "Above N0 and N1: structured. Also above N2: spatially structured, which is what 'derivative-like' "
        "needs. Also above N3: beyond image energies. An operator is named where kernels are "
        "derivative-like, from their edge detectors alone, of which there must be more than of random "
        "kernels: the interval of their a holds its a and no other's, and they differ no more than one "
        "operator's would. 'Unresolved' is an answer.",
        "Kinds: a kernel, its mean left in, is of the kind of which some member, at any angle and scale, "
        "holds more than half of its energy (of a grating three quarters). Kinds are low-pass, edge (a "
        "first derivative), line (a second), blob, checker and grating; else it is mixed. Chance by the "
        "same nulls; q is over arms and parts, kind by kind. Two networks agree on as many kernels as can be "
        "paired off with one of the same kind; mean over pairs, with a bootstrap-t interval over networks.",
        "Arms are paired: seed s sees the same batches and starts with the same other layers in every arm"
        f"{own}.",
        "Sector shares weigh kernels by their energy; other measures are means over live kernels (at least "
        "1% of the largest norm in the network).",
        "Growth: with W = W₀ + dW a sector's energy grows by the new part |dW|² (learned) and the cross term "
        "2⟨W₀, dW⟩ (what was there, amplified or turned down); in units of |W₀|², summed over all kernels.",
        *(
            []
            if study.recorded
            else [
                "Training loss is the mean of the minibatches since the log point before, taken before each "
                "update."
            ]
        ),
    ]
