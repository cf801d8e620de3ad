"""The benchmark's report says what the tables beside it say."""

from pathlib import Path

import pandas as pd
import pytest

from tests.experiments.scripts import script

RESULTS = Path(__file__).parents[2] / "results" / "throughput"


@pytest.fixture(scope="module")
def report():
    return script("throughput", "report")


def test_floors_forms_and_ablation(report):
    rates = {work: pd.read_csv(RESULTS / f"rates_{work}.csv", index_col=0) for work in report.WORKS}
    written = (RESULTS / "report.md").read_text(encoding="utf-8")
    for part in (
        report.floors(RESULTS, rates),
        report.contenders(rates),
        report.ablation(RESULTS),
        report.whole_job(RESULTS),
        report.installed(RESULTS),
        report.elsewhere(RESULTS),
    ):
        assert "\n".join(part) in written


def test_scaling_with_and_without_what_grows(report):
    """The tiny form of the benchmark grows networks alone."""
    found, jobs = pd.read_csv(RESULTS / "scaling.csv"), pd.read_csv(RESULTS / "jobs.csv")
    assert len(report.draw_scaling(found, jobs).axes) == len(set(found["of"])) + 3
    assert len(report.draw_scaling(found, jobs[jobs["of"] == "nets"][:1]).axes) == 6
