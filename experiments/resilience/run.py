"""Kill, corrupt, starve and mislead the command, and write the report; see README.md beside this file."""

import argparse
import json
import os
import platform
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import bad_input
import faults
import hostile
import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
import stepped

from kernelstudy.system.software import environment

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    """Exit status 0 if no run was lost and nothing ended in a traceback."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--tiny", action="store_true", help="a few faults, to see that all of it runs"
    )
    parser.add_argument("--kills", type=int, default=100, help="at random moments")
    parser.add_argument(
        "--inputs", type=int, default=2000, help="bad command lines, in one process"
    )
    parser.add_argument(
        "--processes", type=int, default=24, help="of those, in processes of their own"
    )
    parser.add_argument("--out", type=Path, help="default: results/resilience")
    given = parser.parse_args()
    # A shell's background jobs have it ignored, and with them whatever they start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if given.tiny:
        given.kills, given.inputs, given.processes = 1, 40, 2
    out = given.out or ROOT / "results/resilience"
    for folder in (out / "tables", out / "figures"):
        folder.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="kernelstudy-faults-") as place:
        found, lasted = faults.kills(Path(place), given.kills, tiny=given.tiny)
        calls = pd.DataFrame(stepped.takeovers(Path(place) / "calls", tiny=given.tiny))
    with tempfile.TemporaryDirectory(prefix="kernelstudy-hostile-") as place:
        finished, _ = faults.undisturbed(Path(place) / "finished")
        harmful = pd.DataFrame(hostile.tried(Path(place), finished, tiny=given.tiny))
    harmful.to_csv(out / "tables" / "hostile.csv", index=False)
    with tempfile.TemporaryDirectory(prefix="kernelstudy-inputs-") as place:
        counts, wrong = bad_input.fuzz(given.inputs, Path(place))
        separate = processes(given.processes, Path(place))
    table = pd.DataFrame(found)
    for name, outcomes in (("faults", table), ("calls", calls)):
        # of what was said, what is not of this machine
        told = outcomes["told"].str.replace(r"\S*/kernelstudy-faults-[^/]*/", "", regex=True)
        outcomes["told"] = told.str.replace(f" on {platform.node()},", " on this machine,")
        outcomes.to_csv(out / "tables" / f"{name}.csv", index=False)
    odd = pd.DataFrame(
        [(" ".join(case.words), answer.status, "; ".join(what)) for case, answer, what in wrong],
        columns=["command line", "status", "fault"],
    )
    odd.to_csv(out / "tables" / "bad_input_faults.csv", index=False)
    figure(table, lasted, out / "figures" / "faults.png")
    facts = {
        "command": "python experiments/resilience/run.py" + " --tiny" * given.tiny,
        "seconds": round(time.perf_counter() - began),
        **environment(),
    }
    (out / "provenance.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    text = report(table, calls, lasted, counts, odd, separate, harmful, facts)
    (out / "report.md").write_text(text, encoding="utf-8")
    tried = pd.concat([table, calls])
    lost = int((~tried["identical"]).sum())
    tracebacks = int(odd["fault"].str.contains("traceback").sum()) + separate["traceback"]
    print(
        f"{len(tried)} faults, {lost} runs lost; {given.inputs} bad inputs, {tracebacks} tracebacks"
    )
    wronged = int((~harmful["right"]).sum())
    print(f"{len(harmful)} hostile inputs, {wronged} not as they should be")
    print(f"report: {out / 'report.md'}")
    return int(lost > 0 or len(odd) > 0 or tracebacks > 0 or wronged > 0)


def processes(count: int, place: Path) -> dict[str, int]:
    """Bad command lines in processes of their own: how they ended."""
    ended = {"asked": 0, "status 2": 0, "traceback": 0, "left something": 0}
    refused = (
        case for case in bad_input.cases(10**6, seed=1) if bad_input.ask(case.words, place).status
    )
    for case, _ in zip(refused, range(count), strict=False):
        words = [sys.executable, "-m", "kernelstudy.run", *case.words]
        done = subprocess.run(words, cwd=place, capture_output=True, check=False, timeout=300)
        ended["asked"] += 1
        ended["status 2"] += done.returncode == 2
        ended["traceback"] += b"Traceback" in done.stderr
        ended["left something"] += any(place.iterdir())
    return ended


def figure(table: pd.DataFrame, lasted: float, path: Path) -> None:
    """When each process was hit, and from where the same command went on."""
    hit = table[table["after"] > 0].sort_values("after", ignore_index=True)
    colours = {"start": "#b0b7bd", "step": "#0b5cad", "report": "#2e8b57"}
    style = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    with mpl.rc_context(style):
        drawn, axes = plt.subplots(figsize=(7.5, 1.2 + 0.24 * len(hit)), layout="constrained")
        seen = set()
        for row, one in hit.iterrows():
            kind = one["resumed_at"].split(" ")[0]
            words = {
                "start": "started again (no checkpoint yet)",
                "step": "went on from a checkpoint",
                "report": "made the report alone",
            }
            label = None if kind in seen else words[kind]
            seen.add(kind)
            axes.plot([0, one["after"]], [row, row], color=colours[kind], linewidth=1.2)
            mark = "o" if one["identical"] else "X"
            axes.plot(one["after"], row, mark, color=colours[kind], label=label, markersize=5)
        axes.axvline(lasted, color="#5c6670", linestyle=":", linewidth=1)
        axes.text(
            lasted, len(hit), "an undisturbed run ends", fontsize=8, ha="right", color="#5c6670"
        )
        axes.set_yticks(range(len(hit)), hit["fault"])
        axes.set_ylim(-0.7, len(hit) + 0.6)
        axes.set_xlim(0)
        axes.set_xlabel("seconds from the start of the process to the signal")
        handles = axes.get_legend_handles_labels()
        drawn.legend(*handles, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
        for suffix in (".png", ".svg"):
            drawn.savefig(path.with_suffix(suffix), dpi=160)
        plt.close(drawn)


def report(
    table: pd.DataFrame,
    calls: pd.DataFrame,
    lasted: float,
    counts: dict,
    odd: pd.DataFrame,
    separate: dict,
    harmful: pd.DataFrame,
    facts: dict,
) -> str:
    """The report, out of what was found alone."""
    lost = int((~table["identical"]).sum())
    tracebacks = int(odd["fault"].str.contains("traceback").sum()) + separate["traceback"]
    tried = sum(counts.values())
    shown = table.assign(
        after=[f"{a:.1f} s" if a else "" for a in table["after"]],
        seconds=[f"{s:.1f} s" if s else "" for s in table["seconds"]],
        identical=["yes" if same else "NO" for same in table["identical"]],
        told=[told.replace("|", "/")[:110] for told in table["told"]],
    )
    lines = [
        "# What becomes of a run when things go wrong",
        "",
        f"- **{len(table)} faults tried, {lost} runs lost.** A run is lost if the same command does not end it "
        "bit for bit as an undisturbed one: trajectory, analysis, tables, metrics (but for times), and no file "
        "more or less.",
        f"- **{len(calls)} processes stopped just before a call on their run's files, "
        f"{int((~calls['identical']).sum())} runs lost.** One for every kind of call that a run makes "
        "(creating, renaming, deleting, ...): another process takes the run over and ends it, then the first "
        "wakes, and has to leave it as it is.",
        f"- **{tried:,} bad inputs tried, {tracebacks} tracebacks.** {counts.get('refused', 0):,} were refused "
        f"with exit status 2 and one sentence that names the key, {counts.get('accepted', 0):,} are valid as "
        f"they stand; {len(odd)} answers were not as they should be; nothing was left behind. "
        f"{separate['asked']} of them were asked again in processes of their own: {separate['status 2']} ended "
        f"with status 2, {separate['left something']} left something.",
        "",
        f"- **{len(harmful)} hostile inputs tried, {int((~harmful['right']).sum())} not as they should be.** "
        "Right is one sentence and the exit status in the table, in a minute of computing, with nothing "
        "executed and nothing read outside.",
        "",
        "![When each process was hit, and from where the same command went on](figures/faults.png)",
        "",
        f"An undisturbed run of this size takes {lasted:.1f} s, of which training is a few: the command "
        f"`{shlex.join(['python', '-m', 'kernelstudy.run', *faults.WORDS])}`, which checkpoints after every "
        "dispatch.",
        "",
        "| fault | after | status | went on at | as undisturbed | took | last words |",
        "|---|---|---|---|---|---|---|",
        *(
            f"| {r.fault} | {r.after} | {r.status} | {r.resumed_at} | {r.identical} | {r.seconds} | {r.told} |"
            for r in shown.itertuples()
        ),
        "",
        "| hostile input | command | status | took | as it should be | last words |",
        "|---|---|---|---|---|---|",
        *(
            f"| {r.input} | {r.command} | {r.status} | {r.seconds:.1f} s | {'yes' if r.right else 'NO'} "
            f"| {r.said.replace('|', '/')[:110]} |"
            for r in harmful.itertuples()
        ),
        "",
        f"Made by `{facts['command']}` in {facts['seconds']:,} s, kernelstudy {facts['kernelstudy']} at "
        f"{(facts['git_commit'] or 'no commit')[:12]}, {facts['machine']}. The whole table: "
        "[tables/faults.csv](tables/faults.csv); calls: [tables/calls.csv](tables/calls.csv); hostile inputs: "
        "[tables/hostile.csv](tables/hostile.csv).",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    os.environ.setdefault("JAX_NUM_CPU_DEVICES", "2")
    sys.exit(main())
