"""The schema: names, log steps, and one sentence for everything that cannot be run."""

import dataclasses
import re
import shlex
from pathlib import Path

import hydra
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelstudy import config, runs
from kernelstudy.config import Arm, Bank, Model, Optim, Study, checks, compose, hints, usage
from kernelstudy.config.network_words import network_words
from kernelstudy.data.options import Data
from kernelstudy.system.errors import ConfigError

EXPERIMENTS = sorted(path.stem for path in (compose.conf_dir() / "exp").glob("*.yaml"))


def study(**changes) -> Study:
    base = Study(arms=[Arm("he_normal")], bank=Bank(["sobel_x", "laplacian4"]))
    return dataclasses.replace(base, **changes)


def composed(*overrides: str) -> Study:
    compose.register()
    with hydra.initialize_config_dir(str(compose.conf_dir().absolute()), version_base="1.3"):
        return compose.from_hydra(hydra.compose("config", list(overrides)))


@pytest.mark.parametrize("name", EXPERIMENTS)
@pytest.mark.parametrize("debug", [[], ["+debug=tiny"]])
def test_every_experiment_composes(name, debug):
    found = composed(f"+exp={name}", *debug)
    assert found.name == name
    first = (compose.conf_dir() / "exp" / f"{name}.yaml").read_text().splitlines()
    assert first[0] == "# @package _global_"
    assert first[1].startswith("# python -m kernelstudy.run")


def test_the_main_experiment_is_what_it_says():
    found = composed("+exp=mnist")
    assert [arm.name for arm in found.arms] == [
        "he_normal",
        "he_normal/wd=2",
        "sobel/wd=2",
        "he_normal/shuffled/wd=2",
    ]
    assert (found.seed_list, found.steps, found.batch_size) == (list(range(10)), 500, 128)
    assert (found.log_points, found.optim.name, found.optim.learning_rate) == (24, "adamw", 3e-3)
    assert (found.optim.weight_decay, found.controls) == (0, [None, 3, None, None])


def test_an_optimiser_on_the_command_line_comes_before_the_experiments():
    found = composed("+exp=mnist", "optim=sgdw", "optim.learning_rate=0.1")
    assert (found.optim.name, found.optim.learning_rate) == ("sgdw", 0.1)


def test_yamls_bare_true_is_the_label():
    assert composed("+exp=mnist", "arms=[{init: sobel, labels: true}]").arms[0].labels == "true"


@pytest.mark.parametrize(
    ("arm", "name"),
    [
        (Arm("he_normal"), "he_normal"),
        (Arm("he_normal", scale=0.1), "he_normal*0.1"),
        (Arm("sobel", first_layer="frozen"), "sobel/frozen"),
        (Arm("he_normal", labels="shuffled"), "he_normal/shuffled"),
        (Arm("gabor", 10.0, "frozen", "shuffled"), "gabor*10/frozen/shuffled"),
        (Arm("sobel", inputs="whitened"), "sobel/whitened"),
    ],
)
def test_arm_names(arm, name):
    assert arm.name == name


@given(steps=st.integers(1, 5000), points=st.integers(2, 60))
def test_log_steps(steps, points):
    found = study(steps=steps, log_points=points).log_steps
    assert found[0] == 0
    assert found[-1] == steps
    assert found == sorted(set(found))
    assert len(found) == min(points, steps + 1)


def test_log_steps_are_log_spaced():
    found = study(steps=10_000, log_points=5).log_steps
    assert found == [0, 1, 22, 464, 10_000]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "a/b"}, "name:"),
        ({"seeds": 0}, "seeds: 0"),
        ({"seeds": True}, "seeds: True"),
        ({"seeds": [0, 0]}, "seeds:"),
        ({"steps": 0}, "steps: 0"),
        ({"batch_size": -1}, "batch_size: -1"),
        ({"log_points": 1}, "log_points: 1"),
        ({"impl": "cuda"}, "impl: 'cuda' is not one of auto, lax, gemm"),
        ({"devices": 0}, "devices: 0"),
        ({"arms": []}, "arms:"),
        ({"arms": [Arm("he_norml")]}, "did you mean he_normal"),
        ({"arms": [Arm("sobel", scale=0)]}, r"arms\[0\].scale: 0"),
        ({"arms": [Arm("sobel", scale=float("nan"))]}, r"arms\[0\].scale"),
        ({"arms": [Arm("sobel", first_layer="frzen")]}, "did you mean frozen"),
        ({"arms": [Arm("sobel", labels="no")]}, r"arms\[0\].labels"),
        ({"arms": [Arm("sobel"), Arm("sobel")]}, "sobel is listed 2 times"),
        ({"arms": [Arm("sobel", inputs="permutd")]}, "did you mean permuted"),
        ({"data": Data("mnst")}, "did you mean mnist"),
        ({"data": Data("cifar10")}, "data=tfds data.dataset=cifar10"),
        ({"most_networks": 0}, "most_networks: 0"),
        ({"data": Data("tfds")}, "data.dataset: must be given"),
        ({"data": Data("digits", dataset="cifar10")}, "data.dataset: digits has none"),
        ({"data": Data("tfds", dataset="../x")}, "data.dataset: '../x' is no name"),
        ({"data": Data("tfds", dataset="mnist")}, "use data=mnist"),
        ({"data": Data("mnist", colour="rgb")}, "data.colour: mnist has no colours"),
        ({"data": Data("photo_patches", colour="bgr")}, "data.colour: 'bgr'"),
        ({"data": Data(crop=0)}, "data.crop: 0"),
        ({"data": Data(resize=-1)}, "data.resize: -1"),
        ({"data": Data(subset=0)}, "data.subset: 0"),
        ({"data": Data(val_fraction=1.0)}, "data.val_fraction: 1.0"),
        ({"data": Data(val_fraction=float("nan"))}, "data.val_fraction"),
        ({"data": Data(shift=-1)}, "data.shift: -1"),
        ({"data": Data("folder")}, "data.path: must be given, as in data=folder data.path=DIR"),
        ({"data": Data("arrays")}, "data.path: must be given, .* data.path=images.npz"),
        ({"data": Data("mnist", path="x")}, "data.path: mnist has none; use data=folder or"),
        ({"data": Data("arrays", path="x", white=2)}, "data.white: 2 is not one of"),
        ({"data": Data("folder", path="x", white=1)}, "data.white: folder has none"),
        ({"data": Data(task="rotatoin")}, "data.task: .*did you mean rotation"),
        ({"data": Data(task="rotation", flip=True)}, "data.flip: a mirrored image turned by 90"),
        ({"data": Data(task="photo")}, "data.task: photo is of data=folder"),
        ({"data": Data(split_seed=1)}, "data.split_seed: nothing is drawn without data.subset"),
        ({"data": Data(subset=9, split_seed=-1)}, "data.split_seed"),
        ({"data": Data(subset=9, split_seed=2**32)}, "data.split_seed: .* to 2,147,483,647"),
        (
            {"data": Data("folder", path="x", task="photo", resize=64)},
            "data.resize: 64 is less than the 192 pixels .* data.resize=null",
        ),
        ({"tests": ["nose@0.2"]}, r"tests\[0\]: 'nose' .*did you mean noise"),
        ({"tests": ["blur"]}, r"tests\[0\]: 'blur' needs a strength above 0, as in blur@1"),
        ({"tests": ["noise@-1"]}, r"tests\[0\]: 'noise@-1' needs a strength above 0"),
        ({"tests": ["noise@nan"]}, r"tests\[0\]: 'noise@nan' needs a strength above 0"),
        ({"tests": ["shift@0.5"]}, r"tests\[0\]: 'shift@0.5' must move by whole pixels"),
        ({"tests": ["gaussian_clone@2"]}, r"tests\[0\]: .* has a strength, and"),
        ({"tests": ["blur@1", "blur@1"]}, "tests: blur@1 is listed 2 times"),
        ({"data": Data(blur=2.0)}, "data.blur: mnist5k has none; use data=oriented"),
        ({"data": Data("oriented", blur=0.0)}, "data.blur: 0.0"),
        ({"data": Data("oriented", orientation=float("inf"))}, "data.orientation"),
        ({"data": Data("oriented", concentration=-1.0)}, "data.concentration: -1.0"),
        ({"data": Data(in_memory_gib=float("nan"))}, "data.in_memory_gib"),
        (
            {"arms": [Arm("sobel", first_layer="frozen")], "model": Model(depth=0)},
            r"arms\[0\].first_layer: nothing to freeze",
        ),
        ({"model": Model(kernel_size=4)}, "model.kernel_size: 4"),
        ({"model": Model(width=0)}, "model.width: 0"),
        ({"model": Model(depth=6)}, "model.depth: 6"),
        ({"model": Model(stride=3)}, "model.stride: 3 is not one of 1, 2"),
        ({"model": Model(first="sobel")}, "model.first: 'sobel' is not one of conv, depthwise"),
        ({"model": Model(first_stride=3)}, "model.first_stride: 3 is not one of 1, 2, 4"),
        ({"model": Model(first="patchify", first_stride=2)}, "model.kernel_size is their stride"),
        ({"model": Model(family="alexnet")}, "model.family: 'alexnet' is not one of plain, vgg"),
        ({"model": Model(family="resnet", stride=2)}, "model.stride: not with model.family=resnet"),
        ({"model": Model(family="convnext", batch_norm=True)}, "which has layer norms"),
        (
            {"model": Model(first="dense", parametrization="mup")},
            "not defined for model.first=dense",
        ),
        ({"model": Model(residual=True)}, "model.residual: no layer has as many channels"),
        ({"probe_seeds": -1}, "probe_seeds: -1"),
        ({"probe_mib": 0.0}, "probe_mib: 0"),
        ({"model": Model(activation="rel")}, "did you mean relu"),
        ({"optim": Optim(name="adm")}, "did you mean adam"),
        ({"optim": Optim(learning_rate=float("inf"))}, "optim.learning_rate"),
        ({"optim": Optim(weight_decay=0.1)}, "adamw"),
        ({"optim": Optim(momentum=0.9)}, "sgd"),
        ({"optim": Optim(schedule="cosin")}, "optim.schedule: .*did you mean cosine"),
        ({"optim": Optim(warmup_steps=400)}, "optim.warmup_steps: 400 must be less than steps"),
        ({"optim": Optim(decay_at=[0.5, 1.0])}, "optim.decay_at"),
        ({"optim": Optim(decay_factor=0.0)}, "optim.decay_factor"),
        ({"arms": [Arm("sobel", weight_decay=1.0)]}, r"arms\[0\].weight_decay: adam has none"),
        ({"arms": [Arm("sobel", weight_decay=-1.0)]}, r"arms\[0\].weight_decay: -1.0 must be"),
        ({"arms": [Arm("sobel", learning_rate=0.0)]}, r"arms\[0\].learning_rate: 0.0"),
        ({"arms": [Arm("sobel", momentum=0.9)]}, r"arms\[0\].momentum: adam has none"),
        ({"model": Model(parametrization="mu")}, "model.parametrization: .*did you mean mup"),
        ({"model": Model(base_width=0)}, "model.base_width: 0"),
        ({"bank": Bank([])}, "bank.kernels"),
        ({"bank": Bank(["sobel_z"])}, "did you mean"),
        ({"bank": Bank(["sobel_x"], metric="r3")}, "bank.metric"),
        ({"bank": Bank(["scharr_x"]), "model": Model(kernel_size=5)}, "bank.kernels: none"),
    ],
)
def test_what_cannot_be_run(changes, said):
    with pytest.raises(ConfigError, match=said):
        checks.check(study(**changes))


def test_what_the_data_cannot_serve():
    wide = study(model=Model(kernel_size=9))
    checks.check_against_data(wide, examples=128, image_shape=(9, 9, 1))
    with pytest.raises(ConfigError, match="batch_size: 128 is more than the 127"):
        checks.check_against_data(wide, examples=127, image_shape=(9, 9, 1))
    with pytest.raises(ConfigError, match=r"model.kernel_size: 9 is larger .* 8 x 28"):
        checks.check_against_data(wide, examples=128, image_shape=(8, 28, 1))


@pytest.mark.parametrize(
    ("override", "said"),
    [
        (
            "model.kernel_sizee=3",
            r"model.kernel_sizee: no such key.*did you mean model.kernel_size",
        ),
        ("+model.extra=3", "model.extra: no such key"),
        ("+data.extra=3", "data.extra: no such key"),
        ("stepps=3", "did you mean steps"),
        ("steps=many", "steps: Value 'many'"),
        ("optim=adamm", "optim: 'adamm' is not one of adam, adamw, sgd"),
        ("arms=[{initt: sobel}]", "arms.initt: no such key"),
        ("arms=[{scale: 2}]", r"arms\[0\].init: must be given"),
        ("arms=[sobel]", r"arms\[0\]"),
        ("arms=null", "arms"),
    ],
)
def test_what_hydra_refuses_is_told_in_one_sentence(override, said):
    with pytest.raises(Exception) as raised:  # noqa: PT011 (of Hydra's, OmegaConf's or our own)
        composed("+exp=mnist", override)
    sentence = compose.explain(raised.value)
    assert "\n" not in sentence

    assert re.search(said, sentence), sentence


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["exp=mnist"], r"exp is chosen with a plus: \+exp=mnist;"),
        (["exp=mnits"], r"\+exp=mnist;"),
        (["+exp=mnist", "debug=tiny"], r"\+debug=tiny;"),
        (["+exp=mnist", "optimizer.learning_rate=.1"], r"^optimizer.learning_rate: no such key"),
        (["+exp=mnist", "optimizer.learning_rate=.1"], r"did you mean optim.learning_rate=.1\?"),
        (["+exp=mnist", "learning_rate=.1"], r"did you mean optim.learning_rate=.1\?"),
        (["+exp=mnist", "optim.lr=.1"], r"did you mean optim.learning_rate=.1\?"),
        (["+exp=mnist", "seed=3"], r"did you mean seeds=3\?"),
        (["+exp=mnist", "arms=he_normal"], r"'arms=\[\{init: he_normal\}\]', not 'he_normal'"),
        (["+exp=mnist", "arms=[sobel/frozen]"], r"\[\{init: sobel, first_layer: frozen\}\]"),
        (["+exp=mnist", "arms.init=sobel"], r"'arms=\[\{init: sobel\}\]'"),
        (
            ["+exp=mnist", "model=3"],
            "one of cnn, convnext, resnet, vgg; its settings are model\\.",
        ),
        (["exp=frobnicate"], r"\+exp=NAME; there are batch_norm_depth, colour,"),
        (["mnist"], r": \+exp=mnist$"),
        (["+exp", "mnist"], r": \+exp=mnist$"),
        (["+exp=MNIST"], r"did you mean \+exp=mnist\?"),
        (["+exp=mnist", "lr="], r"did you mean optim.learning_rate=\.\.\.\?"),
        (["+exp=mnist", "steps", "=", "10"], ": steps=10$"),
        (["+exp=mnist", "steps:", "10"], ": steps=10$"),
        (["+exp=mnist", "+steps=10"], ": steps=10$"),
        (["+exp=mnist", "dataset=digts"], r"did you mean data=digits\?"),
        (["+exp=mnist", "data=mnsit"], r"did you mean data=mnist\?"),
        (["+exp=mnist", "data=cifar10"], "data=tfds data.dataset=cifar10$"),
        (["+exp=mnist", "seeds=1,2"], r"python -m kernelstudy.run -m \+exp=mnist seeds=1,2$"),
        (["-m", "+exp=mnist", "seeds=1,", "2"], "'seeds=1,2'$"),
        (["+exp=mnist", "seeds=[1"], "has a bracket that is not closed"),
        (["+exp=mnist", "arms=[gabor,", "sobel]"], r"'arms=\[\{init: gabor\}, \{init: sobel\}\]'"),
        (["+exp=mnist", "arms=[{init:", "gabor},", "{init:", "sobel}]"], r"gabor\}, \{init: sobel"),
        (["+exp=mnist", "arms=[init:gabor]", "arms=[scale:2]"], r"'arms=\[\{init: gabor, scale: 2"),
        (["+exp=mnist", "arms={init: gabor}"], r"'arms=\[\{init: gabor\}\]'"),
        (["+exp=mnist", "arms=[he_normal*2/wd=1]"], "init: he_normal, scale: 2, weight_decay: 1}"),
        (["+exp=mnist", "arms=[{init: gabor, scle: 2}]"], r"did you mean arms.scale\?"),
        (["+exp=mnist", "inputs=whitened"], r"'arms=\[\{init: he_normal, inputs: whitened\}\]'"),
        (["+exp=mnist", "hydra/launcher=jobli"], r"did you mean hydra/launcher=joblib\?"),
    ],
)
def test_what_was_meant_is_shown_as_it_should_be_typed(words, said):
    with pytest.raises(Exception) as raised:  # noqa: PT011 (of Hydra's or OmegaConf's)
        composed(*words)
    sentence = compose.explain(raised.value, words)
    assert re.search(said, sentence), sentence
    if shown := re.search(r"'(arms=.*?\])'", sentence):
        assert composed("+exp=mnist", shown[1]).arms


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["--exp", "mnist"], "+exp=mnist"),
        (["--exp=mnits"], "+exp=mnist"),
        (["--optimizer", "AdamW"], "optim=adamw"),
        (["--lr=0.1"], "optim.learning_rate=0.1"),
        (["--batch-size", "32"], "batch_size=32"),
        (["--data", "cifar10"], "data=tfds data.dataset=cifar10"),
        (["--init", "gabor"], "'arms=[{init: gabor}]'"),
        (["--mulitrun"], "--multirun"),
        (["--frobnicate"], None),
    ],
)
def test_options_that_are_settings(words, meant):
    told = hints.option(words[0], words[1:])
    assert told.partition("(did you mean ")[2] == (f"{meant}?)" if meant else "")
    if meant and not meant.startswith("--"):
        base = [] if meant == "+exp=mnist" else ["+exp=mnist"]
        assert composed(*base, *shlex.split(meant)).arms


def test_an_arms_name_is_no_initialiser():
    """As reports write it; shown as the setting that gives an arm of that name."""
    with pytest.raises(
        ConfigError, match=r"its setting is \{init: he_normal, scale: 0.1\}"
    ) as told:
        checks.check(study(arms=[Arm("he_normal*0.1")]))
    shown = re.findall(r"\{.*\}", str(told.value))[0]
    assert composed("+exp=mnist", f"arms=[{shown}]").arms[0].name == "he_normal*0.1"


@pytest.mark.parametrize(
    ("init", "meant"),
    [("kaiming_uniform_", "he_uniform"), ("xavier", "glorot_normal"), ("Sobel", "sobel")],
)
def test_initialisers_of_others(init, meant):
    with pytest.raises(ConfigError, match=rf"did you mean {meant}\?"):
        checks.check(study(arms=[Arm(init)]))


def test_help_shows_experiments_and_what_people_change_first():
    told = usage.text(["+exp=mnist", "steps=77"])
    assert all(re.search(rf"\n  {name} +\w", told) for name in EXPERIMENTS)
    assert len(usage.FIRST) == 10
    assert {*usage.FIRST} <= {*compose.known_keys()}
    assert all(re.search(rf"\n  {re.escape(key)} +\w", told) for key in usage.FIRST)
    assert "\n  steps: 77\n" in told


@pytest.mark.parametrize("name", config.DATA_SETS)
def test_every_data_set_composes(name):
    needed = {"tfds": "data.dataset=cifar10", "folder": "data.path=x", "arrays": "data.path=x.npz"}
    words = [needed[name]] if name in needed else []
    assert composed("+exp=mnist", f"data={name}", *words).data.name == name


def test_memory_is_no_part_of_a_runs_identity():
    small, large = (study(data=Data(in_memory_gib=gib)) for gib in (0.0, 9.0))
    assert runs.run_id(small) == runs.run_id(large) != runs.run_id(study(data=Data(shift=1)))
    assert "in_memory_gib" not in config.result_settings(small)["data"]


def test_conf_has_no_code_in_it():
    """But the presets of Hydra's launchers, which name the plugins that Hydra itself starts."""
    for path in Path(compose.conf_dir()).rglob("*.yaml"):
        if path.parent.name != "launcher":
            assert "_target_" not in path.read_text()


def test_keys_of_images_and_tests_that_are_unset_leave_the_id_alone():
    plain = config.settings_in_id(study())
    assert not {"path", "white", "task", "split_seed"} & set(plain["data"])
    assert "tests" not in plain
    changed = [{"task": "rotation"}, {"subset": 100}, {"subset": 100, "split_seed": 1}]
    others = [study(tests=["blur@1"]), *(study(data=Data(**keys)) for keys in changed)]
    assert len({runs.run_id(of) for of in (study(), *others)}) == 5
    assert config.study_of(config.result_settings(others[0])) == others[0]


def test_an_arms_own_rates_change_the_id_and_their_absence_does_not():
    plain, own = study(), study(arms=[Arm("he_normal", weight_decay=1.0)])
    assert "weight_decay" not in config.settings_in_id(plain)["arms"][0]
    assert config.settings_in_id(own)["arms"][0]["weight_decay"] == 1
    assert config.study_of(config.result_settings(own)) == own
    with pytest.raises(ConfigError, match=r"arms\[0\].init: is missing"):
        config.study_of({**config.result_settings(own), "arms": [{}]})


def test_log_steps_are_those_of_the_plain_search():
    """Ids and bits of runs rest on them."""

    def plain(steps, log_points):
        wanted = min(log_points - 1, steps)
        for points in range(wanted, 100 * wanted + 2):
            spaced = np.unique(np.geomspace(steps, 1, points).round().astype(int))
            if len(spaced) >= wanted:
                break
        return [0, *spaced[len(spaced) - wanted :].tolist()]

    for steps in (1, 2, 3, 7, 8, 30, 61, 100, 333):
        for log_points in {2, 3, 4, 5, 9, 24, steps - 1, steps // 2, steps, steps + 1, steps + 5}:
            if log_points >= 2:
                found = Study(steps=steps, log_points=log_points).log_steps
                assert found == plain(steps, log_points), (steps, log_points)


def test_many_log_steps_are_found_by_few_tries(monkeypatch):
    """By halving, not one number of points after the other."""
    from kernelstudy.config import study

    tries = []
    spaced = study._spaced
    monkeypatch.setattr(study, "_spaced", lambda *given: tries.append(given) or spaced(*given))
    assert Study(steps=5_000, log_points=5_001).log_steps == list(range(5_001))
    assert tries == []
    assert len(Study(steps=5_003, log_points=4_000).log_steps) == 4_000
    assert 1 < len(tries) < 40


@pytest.mark.parametrize(
    "word", ["arms=${bank.kernels}", "arms=${name}", "arms=${model}", "arms=[1]"]
)
def test_arms_that_are_none(word, tmp_path):
    from tests.commands import run_here

    told = run_here(tmp_path, "kernelstudy.run", "+exp=mnist", word)
    assert told.returncode == 2
    assert told.stderr.startswith("kernelstudy: arms")
    assert len(told.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (
            Model(),
            "The network: a 3 x 3 convolution of 16 kernels, a 3 x 3 convolution to 32 channels, a 2 x 2 "
            "max-pool after each, relu as activation, one dense layer to the classes.",
        ),
        (
            Model(family="resnet", depth=4, batch_norm=True, kernel_size=7, first_stride=2),
            "The network: a 7 x 7 convolution of 16 kernels with a stride of 2, 3 stages of one basic residual "
            "block, of which all but the first halve the image (16, then 32 channels), relu as activation, "
            "batch norm, the mean over pixels, one dense layer to the classes.",
        ),
    ],
)
def test_the_network_in_words(model, said):
    network, start = network_words(model).split(" Where ")
    assert network == said
    assert "layers after the first start from LeCun's normal distribution, biases from 0" in start
    mup = network_words(dataclasses.replace(model, parametrization="mup"))
    assert mup.endswith("distribution, the dense layer's scaled for its width, biases from 0.")
