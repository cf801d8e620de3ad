"""Arms that start from given kernels, or are held in part: names, words, what cannot be run, and hints."""

import re

import pytest

from kernelstudy import config, runs
from kernelstudy.config import Arm, Model, checks, compose, hints
from kernelstudy.config.arm_words import words_by_name
from kernelstudy.config.study import GIVEN_INITS, NEUTRAL
from kernelstudy.system.errors import ConfigError
from tests.config.test_config import composed, study

CALLED = [
    (Arm("bank", kernels=["dog", "log"]), "bank[dog,log]", "started as dog and log"),
    (
        Arm("bank", scale=0.1, kernels=["dog", "log", "sobel_x", "sobel_y", "box"]),
        "bank[dog,log,sobel_x,sobel_y,box]*0.1",
        "started as 5 hand-crafted kernels from dog on, times 0.1",
    ),
    (Arm("file", path="../a/b/c.npy"), "file[b/c.npy]", "started from b/c.npy"),
    (Arm("file", path="/a:b[1],\n.npy"), "file[a_b_1___.npy]", "started from a_b_1___.npy"),
    (Arm("run", path="x/mnist/3f2a/"), "run[mnist/3f2a]", "started from run mnist/3f2a"),
    (
        Arm("run", path="mnist/3f2a:he_normal*0.1/wd=2", how="covariance", weight_decay=1.0),
        "run[mnist/3f2a,he_normal*0.1/wd=2,covariance]/wd=1",
        "started with the covariance of he_normal*0.1/wd=2 of run mnist/3f2a, weight decay 1",
    ),
    (
        Arm("sobel", frozen=0.25, labels="shuffled"),
        "sobel/frozen=0.25/shuffled",
        "started as Sobel, 25% of its kernels frozen, shuffled labels",
    ),
    (Arm("sobel", frozen=1.0), "sobel/frozen", "started as Sobel, frozen"),
    (Arm("sobel", frozen=0.0), "sobel", "started as Sobel"),
    (
        Arm("he_normal", deeper="frozen"),
        "he_normal/deeper=frozen",
        "random start, deeper layers frozen",
    ),
    (
        Arm("he_normal", deeper="mixed", deeper_kernels=["dog", "log"]),
        "he_normal/deeper=mixed[dog,log]",
        "random start, deeper layers mixing fixed dog and log",
    ),
    (
        Arm("he_normal", deeper="mixed"),
        "he_normal/deeper=mixed",
        "random start, deeper layers mixing fixed random kernels",
    ),
    (
        Arm("he_normal", deeper_kernels=["dog"]),
        "he_normal/deeper=learned[dog]",
        "random start, deeper layers started as dog",
    ),
]


@pytest.mark.parametrize(("arm", "name", "words"), CALLED)
def test_names_and_words(arm, name, words):
    assert (arm.name, arm.words) == (name, words)
    assert ":" not in name  # which ends an arm in RUN:arm:seed
    assert name.isprintable()
    checks.check(study(arms=[arm], optim=config.Optim("adamw")))


def test_arms_that_would_be_called_alike_say_which_they_are():
    arms = [
        Arm("he_normal"),
        Arm("orthogonal"),
        Arm("he_normal", weight_decay=1),
        Arm("he_normal"),
        Arm("sobel"),
    ]
    assert words_by_name(arms) == {
        "he_normal": "random start (he_normal)",
        "orthogonal": "random start (orthogonal)",
        "he_normal/wd=1": "random start, weight decay 1",
        "sobel": "started as Sobel",
    }
    assert words_by_name(arms[:1]) == {"he_normal": "random start"}


def test_an_arm_that_somebody_called_a_file_keeps_its_name():
    """Arms of recordings have any name."""
    assert [Arm(name).name for name in GIVEN_INITS] == ["bank", "file", "run"]


def test_what_is_learned():
    assert Arm("sobel", frozen=0.5).learns
    assert not Arm("sobel", frozen=1.0).learns
    assert (
        Arm("sobel", first_layer="frozen").frozen_of(5)
        == Arm("sobel", frozen=1.0).frozen_of(5)
        == 5
    )
    assert [Arm("sobel", frozen=0.5).frozen_of(width) for width in (4, 5, 6, 7)] == [2, 3, 3, 4]
    assert Arm("sobel").frozen_of(7) == 0
    assert not any(Arm(init, path="x").starts_random for init in ("bank", "file", "run"))


@pytest.mark.parametrize(
    ("arm", "said"),
    [
        (Arm("file"), r"path: must be given, as in \{init: file, path: kernels.npy\}"),
        (Arm("run", path=" "), r"path: must be given, as in \{init: run, path: RUN:arm\}"),
        (Arm("sobel", path="x.npy"), "path: sobel has none; use init: file"),
        (Arm("run", path="x", how="covarance"), "how: .*did you mean covariance"),
        (Arm("file", path="x", how="covariance"), "how: file has none"),
        (Arm("sobel", kernels=["dog"]), "kernels: sobel has none; use init: bank"),
        (Arm("bank"), "kernels: must name at least one"),
        (Arm("bank", kernels=["sobel_z"]), "kernels: 'sobel_z' is none of .*did you mean sobel_"),
        (Arm("bank", kernels=["roberts_1"]), "kernels: roberts_1 does not exist at model.kernel"),
        (Arm("bank", kernels=["dog", "dog"]), "kernels: dog is listed 2 times"),
        (
            Arm("bank", kernels=["dog", "log", "box"]),
            "kernels: 3 kernels are more than model.width, 2",
        ),
        (Arm("sobel", frozen=1.5), "frozen: 1.5 must be a share, from 0 to 1"),
        (Arm("sobel", frozen=float("nan")), "frozen: nan must be a share"),
        (Arm("sobel", frozen=0.5, first_layer="frozen"), "frozen: 0.5 contradicts first_layer"),
        (Arm("sobel", frozen=0.1), "frozen: 0.1 of 2 kernels is 0 of them"),
        (Arm("sobel", frozen=0.9), "frozen: 0.9 of 2 kernels is 2 of them"),
        (Arm("sobel", deeper="frzen"), "deeper: .*did you mean frozen"),
        (Arm("sobel", deeper_kernels=["dgo"]), "deeper_kernels: 'dgo' is none .*did you mean dog"),
        (Arm("dog"), r"init: 'dog' is a hand-crafted .* \{init: bank, kernels: \[dog\]\}"),
        (Arm("a.npy"), r"init: 'a.npy' is a file; \{init: file, path: a.npy\}"),
        (Arm("bank[dog,log]"), r"init: .* its setting is \{init: bank, kernels: \[dog, log\]\}"),
    ],
)
def test_what_cannot_be_run(arm, said):
    with pytest.raises(ConfigError, match=rf"arms\[0\].{said}") as told:
        checks.check(study(arms=[arm], model=Model(width=2)))
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("word", "key"),
    [
        ("arms=[{init: bank, kernels: dog}]", "kernels"),
        ("arms=[{init: sobel, deeper_kernels: dog}]", "deeper_kernels"),
        ("bank.kernels=dog", "bank.kernels"),
    ],
)
def test_a_name_is_no_list_of_names(word, key):
    with pytest.raises(Exception, match=r"is not a ListConfig|merging") as told:  # of Hydra's
        composed("+exp=mnist", word)
    assert compose.explain(told.value, [word]) == f"{key}: a list is wanted, in brackets"


def test_nothing_deeper_to_hold():
    for arm, key in (
        (Arm("sobel", deeper="frozen"), "deeper"),
        (Arm("sobel", deeper_kernels=["dog"]), "deeper_k"),
    ):
        with pytest.raises(ConfigError, match=rf"arms\[0\].{key}.*: there is no deeper layer"):
            checks.check(study(arms=[arm], model=Model(depth=1)))


def test_arms_of_one_name():
    alike = [Arm("file", path="a/x/k.npy"), Arm("file", path="b/x/k.npy")]
    with pytest.raises(ConfigError, match=r"x/k.npy\] is listed 2 times; of a path the last two"):
        checks.check(study(arms=alike))
    with pytest.raises(ConfigError, match=r"sobel/frozen is listed 2 times$"):
        checks.check(study(arms=[Arm("sobel", frozen=1.0), Arm("sobel", first_layer="frozen")]))


@pytest.mark.parametrize("arm", [arm for arm, *_ in CALLED if not arm.reads])
def test_a_name_is_shown_as_the_setting_that_gives_it(arm):
    shown = hints.arm(arm.name)
    assert composed("+exp=mnist", f"arms=[{shown}]").arms[0].name == arm.name
    words = [f"arms=[{arm.name},gabor]"]
    sentence = hints.as_typed(words)
    arms = composed("+exp=mnist", re.findall(r"'(arms=.*)', not", sentence)[0]).arms
    assert [of.name for of in arms] == [arm.name, "gabor"]


def test_a_runs_name_is_shown_as_a_setting():
    shown = hints.arm("run[mnist/3f2a,bank[dog,log]/wd=2,covariance]/frozen=0.5")
    (arm,) = composed("+exp=mnist", f"arms=[{shown}]").arms
    assert arm == Arm("run", path="mnist/3f2a:bank[dog,log]/wd=2", how="covariance", frozen=0.5)


def test_settings_of_arms_typed_alone():
    for word, shown in (("frozen=0.5", "frozen: 0.5"), ("deeper=mixed", "deeper: mixed")):
        said = compose.explain(ConfigError("x")) and hints.as_typed(["+exp=mnist", word])
        assert f"it is an arm's: 'arms=[{{init: he_normal, {shown}}}]'" in said


def test_ids_of_earlier_runs_stay():
    plain = config.settings_in_id(study())["arms"][0]
    assert set(plain) == {"init", "scale", "first_layer", "labels", "inputs"}
    changed = {
        "path": Arm("file", path="x"),
        "how": Arm("run", path="x", how="covariance"),
        "kernels": Arm("bank", kernels=["dog"]),
        "frozen": Arm("sobel", frozen=0.5),
        "deeper": Arm("sobel", deeper="mixed"),
        "deeper_kernels": Arm("sobel", deeper_kernels=["dog"]),
    }
    assert {f"arms.{key}" for key in changed} < set(NEUTRAL)
    for key, arm in changed.items():
        of = study(arms=[arm])
        assert key in config.settings_in_id(of)["arms"][0]
        assert config.study_of(config.result_settings(of)) == of
    assert len({runs.run_id(study(arms=[arm])) for arm in changed.values()}) == len(changed)
