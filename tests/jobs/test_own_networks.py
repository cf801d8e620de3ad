"""`kernelstudy.train` and networks of one's own: from a function, and from an installed package."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import jax
import pytest
from flax import nnx

import kernelstudy
from kernelstudy import runs
from kernelstudy.config import ConfigError, Model, compose
from kernelstudy.jobs import own_networks, script
from kernelstudy.system.errors import RunError
from tests.browser import BROWSER, DRIVER, chromium, waited

WORDS = "+exp=mnist +debug=tiny steps=4 arms=[{init:he_normal},{init:sobel}]"


class Net(nnx.Module):
    act, width = staticmethod(nnx.relu), 6

    def __init__(self, rngs, first_init):
        self.conv = nnx.Conv(1, self.width, (5, 5), strides=4, kernel_init=first_init, rngs=rngs)
        self.head = nnx.Linear(self.width, 10, rngs=rngs)

    def __call__(self, x):
        return self.head(self.act(self.conv(x)).mean((1, 2)))


class Deeper(nnx.Module):
    """Its second convolution answers after a batch norm, its third within nnx.jit."""

    def __init__(self, rngs, first_init):
        self.stem = nnx.Conv(1, 4, (3, 3), strides=2, kernel_init=first_init, rngs=rngs)
        self.body = nnx.Conv(4, 5, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(5, rngs=rngs)
        self.dropout = nnx.Dropout(0.1, rngs=rngs)
        self.last = nnx.Conv(5, 5, (1, 1), rngs=rngs)
        self.head = nnx.Linear(5, 10, rngs=rngs)

    def __call__(self, x):
        x = nnx.max_pool(nnx.relu(self.stem(x)), (2, 2), (2, 2))
        x = self.dropout(nnx.relu(self.norm(self.body(x))))
        return self.head(nnx.jit(lambda last, x: last(x))(self.last, x).mean((1, 2)))


class Wider(Net):
    width = 7


def study(*words):
    return compose.from_words(["+exp=mnist", *words])


def test_words_are_those_of_a_command():
    found = study("steps=7", "optim.learning_rate=0.5", "arms=[{init: gabor, scale: 2}]")
    assert (found.steps, found.optim.learning_rate, found.arms[0].name) == (7, 0.5, "gabor*2")
    for words, told in (
        (["stepps=7"], "stepps: no such key"),
        (["-m", "steps=7"], "-m: settings alone are taken here"),
        (["steps=7,8"], "several values are a sweep"),
        (["model.own=net", "model.depth=3"], "model.depth: is of the built-in network, and"),
        (
            ["model.own=net", "model.parametrization=mup"],
            "model.parametrization: is of the built-in",
        ),
        (["model.parameters=[conv 3]"], "they are found, of a network of one's own, and never"),
    ):
        with pytest.raises(ConfigError, match=told):
            study(*words)


def test_words_are_taken_within_an_application_of_hydra():
    import hydra
    from hydra.core.global_hydra import GlobalHydra

    with hydra.initialize_config_dir("/", version_base="1.3"):
        before = GlobalHydra.instance().hydra
        assert study("steps=7").steps == 7
        assert GlobalHydra.instance().hydra is before


def test_the_settings_are_as_the_network_is():
    found, own = own_networks.resolve(study(), Net)
    assert own is not None
    assert found.model == Model(
        own=f"{__name__}:Net",
        parameters=[
            "conv/bias 6",
            "conv/kernel 5 x 5 x 1 x 6",
            "head/bias 10",
            "head/kernel 6 x 10",
        ],
        kernel_size=5,
        width=6,
    )
    assert own_networks.resolve(found, Net)[0] == found
    wider, _ = own_networks.resolve(study(), Wider)
    assert runs.run_id(wider) != runs.run_id(found) != runs.run_id(study())
    assert own_networks.resolve(study()) == (study(), None)
    other = dataclasses.replace(found, model=Model(kernel_size=7))
    with pytest.raises(ConfigError, match=r"model.kernel_size: 7 was asked for, and .*:Net has 5"):
        own_networks.resolve(other, Net)


def test_entry_points(monkeypatch):
    points = [
        EntryPoint("small", f"{__name__}:Net", own_networks.GROUP),
        EntryPoint("broken", f"{__name__}:NoNet", own_networks.GROUP),
        EntryPoint("twice", "one:Net", own_networks.GROUP),
        EntryPoint("twice", "other:Net", own_networks.GROUP),
    ]
    monkeypatch.setattr(own_networks, "entry_points", lambda group: points)
    assert own_networks.resolve(study("model.own=small"))[0].model.width == 6
    for name, told in (
        ("smal", r"'smal' is no entry point of the group kernelstudy.models \(did you mean small"),
        ("os:getcwd", r"'os:getcwd' is no entry point .*; installed are broken, small, twice"),
        ("broken", "cannot be imported: module .* has no attribute 'NoNet'"),
        ("twice", "is the name of several entry points: one:Net, other:Net"),
    ):
        with pytest.raises(ConfigError, match=told):
            own_networks.resolve(study(f"model.own='{name}'"))
    monkeypatch.setattr(own_networks, "entry_points", lambda group: [])
    with pytest.raises(ConfigError, match="no installed package has one"):
        own_networks.resolve(study("model.own=small"))


def test_jax_is_left_as_it_was():
    jax.config.update("jax_enable_x64", True)
    try:
        with pytest.raises(ConfigError, match="must take"):
            script.train(WORDS, model=lambda: None)  # pyright: ignore[reportArgumentType]
        assert jax.config.jax_enable_x64  # pyright: ignore[reportAttributeAccessIssue]
    finally:
        jax.config.update("jax_enable_x64", False)


@pytest.mark.slow
@pytest.mark.usefixtures("coarse")
def test_a_run_from_a_script(tmp_path, monkeypatch, capsys):
    words = f"{WORDS} runs_dir={tmp_path}"
    run = kernelstudy.train(words, model=Net)
    assert run.name == runs.run_id(runs.read_settings(run))
    assert kernelstudy.open_run(run).sizes["cout"] == 6
    report = (run / "report.md").read_text()
    assert "a Flax module; its parameters: conv/bias 6; conv/kernel 5 x 5 x 1 x 6; head" in report
    facts = json.loads((run / "provenance.json").read_text())
    assert facts["argv"][1:] == sys.orig_argv[1:]
    assert facts["network"]["name"] == f"{__name__}:Net"
    told = capsys.readouterr().out
    assert "layers that are watched: conv (1 of 1 convolutions); on a CPU it is slower than" in told
    trained = (run / "DONE").stat().st_mtime_ns
    assert kernelstudy.train(words, model=Net) == run
    assert (run / "trajectory.zarr" / "zarr.json").stat().st_mtime_ns < trained
    monkeypatch.setattr(Net, "act", staticmethod(nnx.gelu))
    with pytest.raises(
        RunError, match=r"was trained with another network .*:Net of the same shapes"
    ):
        kernelstudy.train(words, model=Net)
    built_in = kernelstudy.train(f"{words} report=false")
    assert built_in != run
    assert runs.read_settings(built_in) == dataclasses.replace(
        compose.from_words([*WORDS.split()]), runs_dir="results/runs", report=True
    )


@pytest.mark.slow
@pytest.mark.usefixtures("coarse")
def test_its_layers_are_in_the_report(tmp_path, capsys):
    words = f"{WORDS} name=deeper runs_dir={tmp_path}"
    run = kernelstudy.train(words, model=Deeper)
    assert (
        "watched: stem, body (2 of 3 convolutions; five at most, and none within nnx.jit, scans"
        in capsys.readouterr().out
    )
    trajectory = kernelstudy.open_run(run, measures=True)
    assert trajectory["feature_map_2"].sizes["map_channel_2"] == 5
    assert json.loads(trajectory.attrs["fields"])[0] == [3, 2, 0]
    report = (run / "report.md").read_text()
    assert "layer 1: stem; layer 2: body (2 of 3 convolutions)" in report
    assert "Deeper: all 2 layers over training" in report
    assert "a map is what a convolution answers in evaluation mode" in report
    assert (run / "figures" / "feature_maps_1.png").exists()
    if BROWSER and DRIVER:
        with chromium() as browser:
            browser.get((run / "report.html").as_uri())
            waited(lambda: browser.execute_script("return document.documentElement.dataset.drawn"))
            assert not [e for e in browser.get_log("browser") if e["level"] == "SEVERE"]
    unwatched = kernelstudy.train(f"{words} probe_seeds=0", model=Deeper)
    assert unwatched != run
    assert "of its deeper layers nothing is logged" in capsys.readouterr().out
    assert "Deeper: " not in (unwatched / "report.md").read_text()


@pytest.mark.slow
def test_an_installed_package(tmp_path):
    """Its network is trained from the command line, and reported where the package is not."""
    place = tmp_path / "site"
    (place / "nets-1.0.dist-info").mkdir(parents=True)
    (place / "nets-1.0.dist-info" / "METADATA").write_text("Name: nets\nVersion: 1.0\n")
    (place / "nets-1.0.dist-info" / "entry_points.txt").write_text(
        "[kernelstudy.models]\nsmall = nets:Net\n"
    )
    source = Path(__file__).read_text().split("class Net")[1].split("class Wider")[0]
    (place / "nets.py").write_text(f"from flax import nnx\nclass Net{source}")

    def command(module, *words, package=True):
        top = str(Path(kernelstudy.__file__).parents[1])
        path = os.pathsep.join([top, *([str(place)] if package else [])])
        return subprocess.run(
            [sys.executable, "-m", f"kernelstudy.{module}", *words],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
        )

    words = [*WORDS.split(), "model.own=small", "report=false"]
    done = command("run", *words)
    assert done.returncode == 0, done.stderr
    run = tmp_path / done.stdout.splitlines()[-1].removeprefix("tables: ").removesuffix("/tables")
    assert runs.read_settings(run).model.own == "small"
    status = command("status", *words)
    assert "1 run: 1 done" in status.stdout
    shutil.rmtree(place)
    refused = command("run", *words, package=False)
    assert refused.returncode == 2
    assert "'small' is no entry point of the group kernelstudy.models" in refused.stderr
    reported = command("report", str(run), package=False)
    assert reported.returncode == 0, reported.stderr
    assert "The network is one of one's own, small," in (run / "report.md").read_text()
