"""A study's runs beside the plan that was committed before them: what was run, what is missing. No JAX.

`read_study` gives all that a script in experiments/ tests its hypotheses on; `plan_report` writes what
it finds.
"""

from __future__ import annotations

import io
import itertools
import re
import shlex
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import yaml

from kernelstudy import runs
from kernelstudy.analysis import tables
from kernelstudy.analysis.inference import benjamini_hochberg
from kernelstudy.analysis.ladder import CENTRED
from kernelstudy.analysis.trajectory import judge_arms
from kernelstudy.config import Arm, Study
from kernelstudy.runs import untrusted
from kernelstudy.runs.measures import is_current
from kernelstudy.studies.grid import flat
from kernelstudy.studies.sweep import Member, Sweep, find_runs, read_sweep
from kernelstudy.system.errors import RunError

SWEEP = "sweep.yaml"  # in a study's folder: the keys that it sweeps, with their values; or a list of such
PLACE = ["data", "size", "width"]  # of a run among those of its study
_IN_PLACE = ("data", "data.subset", "model.width")  # swept keys that `PLACE` has columns for


class Plan(NamedTuple):
    """What was declared. `hypotheses`: number -> text; `jobs`: the overrides of every run planned."""

    name: str
    question: str
    hypotheses: dict[int, str]
    settings: dict[str, Any]
    command: str
    jobs: list[dict[str, Any]]


class StudyRuns(NamedTuple):
    """A study's finished runs, beside its plan.

    networks: a row a network at the final step, with `PLACE`, arm, seed, value (of W), delta (of the
    update), start, accuracy, chance. ladder: every rung, with `PLACE`, and q over a run's arms and parts.
    made: a row a run. deviations: sentences. places: `PLACE` -> the run's directory.
    """

    plan: Plan
    sweep: Sweep
    networks: pd.DataFrame
    ladder: pd.DataFrame
    made: pd.DataFrame
    deviations: list[str]
    places: dict[tuple, Path]


def plan_of(folder: Path, conf: Path) -> Plan:
    """The plan in a study's `folder` (README.md, sweep.yaml) and its `conf` (exp/<study>.yaml), as committed.

    Raises:
        RunError: where one of them is not there, or not as such files are.
    """
    page = folder / "README.md"
    try:
        text, conf_text = page.read_text(encoding="utf-8"), conf.read_text(encoding="utf-8")
        swept = yaml.safe_load((folder / SWEEP).read_text(encoding="utf-8"))
    except OSError as error:
        raise RunError(f"{error.filename} cannot be read: {error.strerror}") from error

    def between(start: str, stop: str) -> str:
        match = re.search(rf"\*\*{start}[^*]*\*\*(.*?)\*\*{stop}", text, re.S)
        if not match:
            raise RunError(f"{page} has no part **{start}** before **{stop}**")
        return match[1]

    grids = swept if isinstance(swept, list) else [swept]
    items = re.split(r"^(\d+)\. ", between("Hypotheses", "Planned"), flags=re.M)[1:]
    hypotheses = _with_names(
        {int(n): _without_links(body) for n, body in zip(items[::2], items[1::2], strict=True)}
    )
    return Plan(
        name=conf.stem,
        question=_without_links(between("Question", "Declared")),
        hypotheses=hypotheses,
        settings=_as_hydra_reads(conf_text),
        command="\n".join(command_of(conf.stem, grid) for grid in grids),
        jobs=[
            dict(zip(grid, job, strict=True))
            for grid in grids
            for job in itertools.product(*grid.values())
        ],
    )


def _with_names(hypotheses: dict[int, str]) -> dict[int, str]:
    """Hypotheses in which another one is named by its words, up to a colon, not by its number alone."""

    def named(match: re.Match[str]) -> str:
        words = hypotheses.get(int(match[1]), "").partition(":")[0].rstrip(".")
        if not words:
            return match[0]
        return f"the hypothesis '{words}' ({match[1]})"

    return {
        number: re.sub(r"\bhypothesis (\d+)", named, text) for number, text in hypotheses.items()
    }


def _without_links(text: str) -> str:
    """Markdown on one line, of its links the words alone: they are relative to the plan's own folder."""
    return re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", " ".join(text.split()))


def _as_hydra_reads(text: str) -> dict[str, Any]:
    """A config as Hydra reads it: 3e-3 is a number there, text to PyYAML."""
    from omegaconf import OmegaConf

    found = OmegaConf.to_container(OmegaConf.create(text))
    return {str(key): value for key, value in found.items()} if isinstance(found, dict) else {}


def command_of(name: str, swept: dict[str, list[Any]]) -> str:
    """The command that makes the runs of study `name`."""
    # true and false as YAML has them
    words = [
        f"{key}={','.join(str(v).lower() if isinstance(v, bool) else str(v) for v in values)}"
        for key, values in swept.items()
    ]
    return shlex.join(["python", "-m", "kernelstudy.run", "-m", f"+exp={name}", *words])


def read_study(paths: list[Path], plan: Plan) -> StudyRuns:
    """The runs in `paths` (directories of runs, or of many) beside their plan.

    Raises:
        RunError: none is finished, they do not belong together, or two are of one place in the plan.
    """
    sweep = read_sweep(find_runs(paths))
    order = {member.path: _rank(plan, member) for member in sweep.members}
    done = sorted((m for m in sweep.members if not m.reason), key=lambda m: order[m.path])
    place_of = {member.condition: _place(plan, member) for member in done}
    directories = {_place(plan, member): member.path for member in done}
    if len(directories) < len(done):
        raise RunError(
            f"{len(done)} runs are of {len(directories)} data sets, sizes and widths: give one run of each"
        )
    networks = sweep.networks.copy()
    for i, name in enumerate(PLACE):
        networks[name] = [place_of[condition][i] for condition in networks["condition"]]
    ranks = networks["condition"].map({m.condition: order[m.path] for m in done})
    networks = networks.iloc[ranks.argsort(kind="stable")].reset_index(drop=True)
    ladder = pd.concat([_ladder(plan, member) for member in done], ignore_index=True)
    made = pd.DataFrame([_run_row(plan, member) for member in done])
    notes = deviations(plan, sweep.members, networks)
    return StudyRuns(
        plan=plan,
        sweep=sweep,
        networks=networks,
        ladder=with_q(ladder),
        made=made,
        deviations=[*notes, *sweep.notes],
        places=directories,
    )


def with_q(ladder: pd.DataFrame) -> pd.DataFrame:
    """The ladder with q: Benjamini and Hochberg's, of a null model and measure over a run's arms and parts."""
    family = ladder.groupby([*PLACE, "null", "measure"])["p"]
    return ladder.assign(q=family.transform(lambda p: benjamini_hochberg(p.to_numpy())))


def _place(plan: Plan, member: Member) -> tuple[str, int, int]:
    """Data set, size and width; with the data set what else was swept: 'oriented, blur 2'."""
    study = member.settings
    job = next((job for job in plan.jobs if _is(job, member)), {})
    alike = [other for other in plan.jobs if list(other) == list(job)]
    swept = [key for key in job if len({str(other[key]) for other in alike}) > 1]
    words = [
        Path(str(job[key])).stem if key == "data.path" else f"{key.rpartition('.')[2]} {job[key]}"
        for key in swept
        if key not in _IN_PLACE
    ]
    name = ", ".join([study.data.name, *(word.replace("_", " ") for word in words)])
    return name, member.provenance["data"]["train"], study.model.width


def _ladder(plan: Plan, member: Member) -> pd.DataFrame:
    """The verdicts' rungs, of the run's own report while that is current."""
    table = member.path / "tables" / "ladder.csv"
    if is_current(member.path, member.fingerprint) and table.is_file():
        text = untrusted.read_text(member.path, "tables/ladder.csv")
        ladder = pd.read_csv(io.StringIO(text))
    else:
        trajectory = runs.read_trajectory(member.path)
        ladder = tables.ladder(judge_arms(trajectory, member.settings.controls))
    return ladder.assign(**dict(zip(PLACE, _place(plan, member), strict=True)))


def _run_row(plan: Plan, member: Member) -> dict[str, Any]:
    provenance, study = member.provenance, member.settings
    return {
        **dict(zip(PLACE, _place(plan, member), strict=True)),
        "networks": len(study.arms) * len(study.seed_list),
        "steps": study.steps,
        "net_images": provenance.get("net_images"),
        "seconds": (provenance.get("seconds") or {}).get("train"),
        "device": provenance["device"],
        "commit": str(provenance.get("git_commit"))[:12],
        "data_sha256": provenance["data"]["sha256"][:16],
        "run": member.path.name,
    }


def deviations(plan: Plan, members: list[Member], networks: pd.DataFrame) -> list[str]:
    """Sentences on how the runs differ from what was planned."""
    sentences, finished = [], [member for member in members if not member.reason]
    absent = []
    for job in plan.jobs:
        mine = [member for member in members if _is(job, member)]
        if not any(member in finished for member in mine):
            why = f" ({mine[0].reason})" if mine else ""
            absent.append(" ".join(f"{key}={value}" for key, value in job.items()) + why)
    if absent:
        sentences.append(
            f"Of {len(plan.jobs)} planned runs {len(absent)} are not in this report: {'; '.join(absent)}. "
            "The study's command makes what is missing."
        )
    planned = {**plan.settings, "seeds": plan.settings.get("seeds", Study.seeds)}
    for member in finished:
        where = f"{member.path.name} ({', '.join(map(str, _place(plan, member)))})"
        if not any(_is(job, member) for job in plan.jobs):
            sentences.append(f"{where} is not of the plan.")
        changed = [
            f"{key} is {getattr(member.settings, key)} (planned: {planned[key]})"
            for key in ("steps", "batch_size", "seeds")
            if getattr(member.settings, key) != planned[key]
        ]
        if changed:
            sentences.append(f"{where}: {', '.join(changed)}.")
        names = [Arm(**arm).name for arm in plan.settings["arms"]]
        mine = [arm.name for arm in member.settings.arms]
        if mine != names:
            sentences.append(f"{where}: its arms are {', '.join(mine)}.")
    sentences += _unplanned(plan, finished)
    diverged = networks[networks["diverged"]]
    if len(diverged):
        sentences.append(
            f"{len(diverged)} networks whose loss was not finite are left out, as planned."
        )
    return sentences


def _unplanned(plan: Plan, finished: list[Member]) -> list[str]:
    """Settings in which the runs differ though nobody planned it, as where a default has changed since."""
    swept = {key for job in plan.jobs for key in job}
    named_by_run = {"steps", "batch_size"}  # told of run by run
    flattened = [flat(member.settings) for member in finished]
    sentences = []
    for name in dict.fromkeys(name for one in flattened for name in one):
        values = list(dict.fromkeys(str(one.get(name)) for one in flattened))
        if len(values) > 1 and name not in swept | named_by_run and not name.startswith("data."):
            sentences.append(f"{name} is not the same in all runs: {', '.join(values)}.")
    return sentences


def _rank(plan: Plan, member: Member) -> int:
    """Which of the plan's runs this is; beyond the last if it is none."""
    return next((i for i, job in enumerate(plan.jobs) if _is(job, member)), len(plan.jobs))


def _is(job: dict[str, Any], member: Member) -> bool:
    settings = flat(member.study) if member.study else {}
    return all(
        settings.get("data.name" if key == "data" else key) == value for key, value in job.items()
    )


def by_seed(networks: pd.DataFrame, column: str, arm: str, **place) -> pd.Series:
    """`column` of an arm's networks that did not diverge, by seed; empty where there are none."""
    rows = networks[(networks["arm"] == arm) & ~networks["diverged"]]
    for name, value in place.items():
        rows = rows[rows[name] == value]
    return rows.set_index("seed")[column]


def paired(networks: pd.DataFrame, column: str, arm: str, reference: str, **place) -> pd.Series:
    """`column` of `arm` less that of `reference`, seed by seed."""
    one, other = (by_seed(networks, column, name, **place) for name in (arm, reference))
    return (one - other).dropna()


def rung(ladder: pd.DataFrame, arm: str, part: str, null: str, *, measure: str = CENTRED, **place):
    """One row of the ladder, in the deciding measure unless told, None where there is none."""
    rows = ladder[(ladder["arm"] == arm) & (ladder["part"] == part) & (ladder["null"] == null)]
    for name, value in {"measure": measure, **place}.items():
        rows = rows[rows[name] == value]
    return next(rows.itertuples(index=False), None)
