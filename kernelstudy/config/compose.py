"""A study out of Hydra's configs and the command line, and one sentence for what is wrong with them."""

import re
from collections.abc import Sequence
from pathlib import Path

import hydra
import yaml
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from kernelstudy.config import hints
from kernelstudy.config.checks import check
from kernelstudy.config.groups import conf_dir as conf_dir
from kernelstudy.config.groups import known_keys as known_keys
from kernelstudy.config.study import INITS, Study
from kernelstudy.system.errors import ConfigError, listed, near_miss, short


def register() -> None:
    """Make the schema known to Hydra as `schema`."""
    ConfigStore.instance().store(name="schema", node=Study)


def from_hydra(config: DictConfig) -> Study:
    """The checked study behind a composed config.

    Raises:
        ConfigError: for anything that cannot be run.
    """
    if "arms" not in config:  # there too where it is missing its value
        raise ConfigError(
            "arms: nothing to train; choose an experiment, +exp=mnist for instance; --help lists them"
        )
    # Merging into the schema once more refuses keys that '+' has appended to it.
    try:
        for index, arm in enumerate(config.arms):
            if not isinstance(arm, DictConfig):
                raise ConfigError(
                    f"arms[{index}]: {short(arm)} is no arm, as {{init: he_normal}} is"
                )
            if OmegaConf.is_missing(arm, "init"):
                raise ConfigError(f"arms[{index}].init: must be given, one of {listed(INITS)}")
        plain = OmegaConf.to_container(config, resolve=True)
        study = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(Study), plain))
    except OmegaConfBaseException as error:
        raise ConfigError(explain(error)) from error
    assert isinstance(study, Study)
    for arm in study.arms:
        arm.labels = str(arm.labels).lower()
    check(study)
    return study


def from_words(words: list[str]) -> Study:
    """The checked study of a `run` command's settings; within an application of Hydra's too.

    Raises:
        ConfigError: for anything that cannot be run, and for a sweep, which is several runs.
    """
    if options := [word for word in words if word.startswith("-")]:
        raise ConfigError(f"{options[0]}: settings alone are taken here, key=value, of one run")
    register()
    before = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with hydra.initialize_config_dir(str(conf_dir().absolute()), version_base="1.3"):
            return from_hydra(hydra.compose("config", in_order(words)))
    except Exception as error:  # anything of Hydra's
        raise ConfigError(explain(error, words)) from error
    finally:
        GlobalHydra.instance().hydra = before


def in_order(overrides: list[str]) -> list[str]:
    """Overrides in the order that Hydra needs: experiment, debug, the rest.

    What a debug config sets wins over the experiment's own, wherever it stands.
    """
    experiment = [w for w in overrides if w.startswith(("+exp=", "++exp="))]
    debug = [w for w in overrides if w.startswith(("+debug=", "++debug="))]
    return experiment + debug + [w for w in overrides if w not in experiment + debug]


def explain(error: BaseException, words: Sequence[str] = ()) -> str:
    """One sentence for an error of Hydra, OmegaConf or our own; `words`: the command line."""
    if isinstance(error, ConfigError):
        return str(error)
    if meant := hints.as_typed(words):
        return meant
    if keyless := [word for word in words if word.lstrip("+~").startswith("=")]:
        return f"{short(keyless[0])} names no key; settings are key=value"
    if isinstance(error, OverrideParseException):
        key, word = error.override.partition("=")[0], short(error.override)
        return f"{key}: {word} is not a setting that can be read; quote values with signs in them"
    outer = _one_line(error)
    found = re.search(r"Could not (?:override|append(?: value)?(?: to config)?) '([^'=]+)", outer)
    key = found[1].strip("+~") if found else ""
    while error.__cause__ is not None:  # Hydra wraps what OmegaConf says of the matter
        error = error.__cause__
    text, where = _one_line(error), ""
    if in_file := re.match(r"In '([^']+)': \w+ raised while composing config: (.*)", text):
        where, text = f"{in_file[1]}.yaml: ", in_file[2]
        error = error.__context__ or error
        if re.match(r"Key '(exp|debug)' not in", text):
            return f"{where}its first line must be '# @package _global_'"
    if isinstance(error, UnicodeDecodeError | RecursionError):
        return f"{_unreadable(words)} cannot be read: {text}"
    if text.startswith("Unexpected type annotation"):  # a sweep within a list or a mapping
        swept = [
            w for w in words if re.search(r"(choice|range|interval|glob|sort|shuffle|tag)\(", w)
        ]
        return f"{(swept or [key])[0]}: only a whole value can be swept, with -m"
    inner = str(getattr(error, "full_key", None) or key)
    if not key.startswith(
        f"{inner}."
    ):  # of a key whose parent is unknown, the parent alone is told
        key = inner if inner.startswith(key) else f"{key}.{inner}"
    if re.search(r"^Key '[^']*' (?:is )?not in|No match in the defaults list", text):
        key = key or str((re.findall(r"'([^']*)'", text) or [""])[0])
        unindexed = re.sub(r"\[\d+\]", "", key)
        parent = unindexed.rpartition(".")[0]
        siblings = [k for k in known_keys() if k.rpartition(".")[0] == parent]
        of_arms = near_miss(unindexed, siblings) if parent == "arms" else ""
        hint = of_arms or _meant(unindexed, words) or near_miss(unindexed, siblings or known_keys())
        if not siblings:  # no such parent: the whole list helps nobody
            siblings = [k for k in known_keys() if "." not in k]
            key = unindexed if unindexed.count(".") < 2 else key
        allowed = hint or f"; allowed are {listed(siblings or known_keys())}"
        return f"{where}{key}: no such key{allowed}"
    if "is not a ListConfig" in text:
        return f"{where}{key}: a list is wanted, in brackets"
    if option := re.search(
        r"Could not find '([^']+)/([^'/]*)' Available options in '[^']+': (.*)", text
    ):
        group, wrong, allowed = option[1], option[2], option[3].split()
        meant = hints.option_of(group, wrong, allowed)
        return f"{group}: {wrong!r} is not one of {listed(allowed)}{meant}"
    return where + (f"{key}: {text}" if key and not text.startswith(key) else text)


def _meant(key: str, words: Sequence[str]) -> str:
    """' (did you mean optim.learning_rate=.1?)' for a key whose last part some group has."""
    best = hints.key_like(key)
    typed = [w.partition("=")[2] for w in words if w.lstrip("+~").partition("=")[0] == key]
    return f" (did you mean {best}{'=' + (typed[0] or '...') if typed else ''}?)" if best else ""


def _unreadable(words: Sequence[str]) -> str:
    """Which of the user's own files (--config-dir) is no YAML."""
    given = (
        " ".join(words).replace("--config-dir ", "--config-dir=").replace("-cd ", "--config-dir=")
    )
    for folder in re.findall(r"--config-dir=(\S+)", given):
        for path in sorted(Path(folder).rglob("*.yaml")):
            try:
                yaml.safe_load(path.read_text(encoding="utf-8"))
            except (ValueError, yaml.YAMLError, RecursionError, OSError):
                return str(path)
    return "a configuration file"


def _one_line(error: BaseException) -> str:
    """An error's message without OmegaConf's and Hydra's further lines on types and places."""
    text = " ".join(str(error).split()) or type(error).__name__
    return re.split(
        r" (?:full_key:|object_type=|reference_type=|Config search path:|See https:)", text
    )[0]
