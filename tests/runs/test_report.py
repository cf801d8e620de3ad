"""The report command: from a run directory alone, without JAX, to one self-contained page."""

import re
import shlex
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from kernelstudy import report, runs
from kernelstudy.runs.report import build
from tests.synthetic import make_run


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    place = make_run(tmp_path_factory.mktemp("runs") / "run", tests=("noise@0.2", "gaussian_clone"))
    assert build(place) == place / "report.html"
    return place


def test_all_parts_are_written(built):
    for name in ("summary", "tests", "ladder", "kernels", "changed", "layers", "channels"):
        assert len(pd.read_csv(built / "tables" / f"{name}.csv")) > 0
    page = (built / "report.md").read_text()
    assert "Deeper: all 2 layers over training" in page
    assert "seeds agree on" in page
    assert "2 networks an arm are too few to tell which layer settles first" in page
    assert "Bottom-up or not?" not in page
    assert "On changed test images: noise@0.2 " in page
    assert "figures/changed.png" in page
    pictures = re.findall(r'src(?:set)?="(figures/[^"]+)"', page)
    assert len(pictures) == 2 * page.count("<picture>") > 20
    for picture in pictures:
        assert (built / picture).stat().st_size > 1000
        assert (built / picture.replace("-dark", "")).with_suffix(".svg").exists()
    assert (built / re.findall(r"\]\((figures/[^)]+gif)\)", page)[0]).is_file()
    assert (built / runs.ANALYSIS).is_dir()


def test_the_page_is_one_file_that_needs_no_network(built):
    page = (built / "report.html").read_text()
    assert not re.search(r"""(?:src|href)\s*=\s*["'](?!data:|#)""", page)
    assert "default-src 'none'" in page
    assert all(re.search(r'alt="[^"]+"', tag) for tag in re.findall(r"<img[^>]+>", page))


def test_figures_for_papers_and_the_animation(built):
    """SVG at the widths of a page and of a column; a GIF with a frame a log point."""
    for name, width in (("sectors", "180mm"), ("layers", "180mm"), ("column", "85mm")):
        drawn = (built / "figures" / f"{name}.svg").read_text()
        assert re.search(rf'<svg[^>]* width="{width}" height="[\d.]+mm" viewBox', drawn)
    with Image.open(built / "figures" / "kernels.gif") as gif:
        assert gif.n_frames == 4
        start = np.asarray(gif.convert("RGB")).astype(int)
        gif.seek(3)
        assert np.abs(np.asarray(gif.convert("RGB")) - start).max() > 50


def test_it_starts_with_the_answer(built):
    page = (built / "report.html").read_text()
    start = page.index("Training made first-layer kernels derivative-like (random start)")
    assert start < page.index("<img") < page.index('id="explore"') < page.index('id="section-1"')
    assert page.index("derivative-like beyond chance in 1 of 1 arms") < page.index('id="explore"')
    assert "sha256 0000000000000000" in page
    assert "python -m kernelstudy.run +exp=demo" in page


def test_the_command_can_be_pasted(built):
    """An override that holds spaces stays one word."""
    text = (built / "report.md").read_text().split("## Make it again")[1].strip("`\n ")
    start = ["python", "-m", "kernelstudy.run", "+exp=demo"]
    assert shlex.split(text) == [*start, "arms=[{init: he_normal}]"]


def test_a_difference_is_that_of_the_ladder_and_a_is_defined(built):
    ladder = pd.read_csv(built / "tables" / "ladder.csv")
    one = ladder[(ladder["measure"] == "r2_centered") & (ladder["arm"] == "he_normal")]
    n0 = one[(one["null"] == "N0") & (one["part"] == "W")].iloc[0]
    page = (built / "report.md").read_text()
    assert f"chance is {n0['chance']:.2f} (difference {n0['diff']:+.3f}" in page
    assert page.count("[1, a, 1] x [-1, 0, 1]") >= 3  # in the sentence and below both figures


def test_too_few_networks_and_larger_kernels(tmp_path):
    page = build(make_run(tmp_path / "run", size=5, seeds=2, probe_seeds=0)).read_text()
    assert "No p-values" in page
    # a, which tells operators apart, is of 3 x 3 kernels
    assert "not asked: kernels are not 3 x 3" in page
    assert not re.search(r"textbook operator|No named operator|\[1, a, 1\]", page)
    assert "Left out of averages" not in page
    assert 'id="explore"' in page  # without layers, for none was watched
    assert "When layers settle" not in page


def test_one_network_colours_and_names_that_are_no_markup(tmp_path):
    hostile = "<script>alert(1)</script>"
    made = {
        "cin": 3,
        "seeds": 1,
        "channels": 20,
        "arms": (hostile, "sobel/frozen"),
        "probe_seeds": 0,
    }
    page = build(make_run(tmp_path / "run", **made)).read_text()
    assert "No p-values" in page
    assert hostile not in page
    assert "&lt;script&gt;" in page


@pytest.mark.slow
def test_the_command_needs_no_jax_and_gives_the_same_again(built, tmp_path):
    code = (
        "import sys; sys.modules['jax'] = None; sys.modules['flax'] = None\n"
        "from kernelstudy import report; sys.exit(report.main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(built), "--out", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"report: {tmp_path / 'report.html'}"
    for name in ("report.html", "report.md", "tables/kernels.csv", "figures/matches.svg"):
        assert (tmp_path / name).read_bytes() == (built / name).read_bytes()


def test_wrong_input_is_one_sentence(tmp_path, capsys):
    assert report.main([str(tmp_path / "none")]) == 2
    (tmp_path / "file").write_text("")
    assert (
        report.main(
            [str(make_run(tmp_path / "run", probe_seeds=0)), "--out", str(tmp_path / "file" / "x")]
        )
        == 2
    )
    told = capsys.readouterr()
    assert len(told.err.splitlines()) == 2
    assert "not a directory" in told.err
    assert told.out == ""
