"""A study out of Hydra's configs and the command line, and one sentence for what is wrong with them."""

import difflib
import re
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path

import yaml
from hydra.core.config_store import ConfigStore
from hydra.errors import OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from kernelstudy.config.checks import check
from kernelstudy.config.study import INITS, Arm, Study
from kernelstudy.system.errors import ConfigError, listed, near_miss, short


def conf_dir() -> Path:
    """conf/ of the installed package, or of the checkout it runs from."""
    package = Path(__file__).parents[1]
    installed = package / "conf"
    return installed if installed.is_dir() else package.parent / "conf"


def register() -> None:
    """Make the schema known to Hydra as `schema`."""
    ConfigStore.instance().store(name="schema", node=Study)


def from_hydra(config: DictConfig) -> Study:
    """The checked study behind a composed config.

    Raises:
        ConfigError: for anything that cannot be run.
    """
    if "arms" not in config:  # there too where it is missing its value
        raise ConfigError("arms: nothing to train; choose an experiment, for instance +exp=mnist")
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
    if keyless := [word for word in words if word.lstrip("+~").startswith("=")]:
        return f"{short(keyless[0])} names no key; settings are key=value"
    if meant := _as_typed(words):
        return meant
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
        hint = _meant(unindexed, words) or near_miss(unindexed, siblings or known_keys())
        if (
            siblings is not known_keys() and not siblings
        ):  # no such parent: the whole list helps nobody
            siblings = [k for k in known_keys() if "." not in k]
            key = unindexed if unindexed.count(".") < 2 else key
        return f"{where}{key}: no such key; allowed are {listed(siblings or known_keys())}{hint}"
    if option := re.search(
        r"Could not find '(\w+)/([^']*)' Available options in '\w+': (.*)", text
    ):
        group, wrong, allowed = option[1], option[2], option[3].split()
        return f"{group}: {wrong!r} is not one of {listed(allowed)}{near_miss(wrong, allowed)}"
    return where + (f"{key}: {text}" if key and not text.startswith(key) else text)


def _as_typed(words: Sequence[str]) -> str:
    """What a setting of a kind that is often mistaken should look like, or nothing."""
    for word in words:
        key, sign, value = word.partition("=")
        if not sign:
            continue
        if key in ("exp", "debug"):
            names = sorted(path.stem for path in (conf_dir() / key).glob("*.yaml"))
            close = difflib.get_close_matches(value, names, n=1)
            name = value if value in names else close[0] if close else f"{names[0]}, for instance"
            return f"{key} is chosen with a plus: +{key}={name}; there are {listed(names)}"
        if key in ("arms", "arms.init") and not value.lstrip("'\"").startswith(("[{", "${")):
            arms = ", ".join(_arm(name) for name in value.strip("[]'\"").split(","))
            return f"arms: a list of arms is wanted, 'arms=[{arms}]', not {short(value)}"
        if key == "tests" and not value.lstrip("'\"").startswith(("[", "${")):
            return f"tests: a list is wanted, 'tests=[{value}]', not {short(value)}"
        groups = [path.name for path in conf_dir().iterdir() if path.is_dir()]
        if key in groups and re.fullmatch(r"[-+]?[\d.]+(e[-+]?\d+)?", value):
            names = sorted(path.stem for path in (conf_dir() / key).glob("*.yaml"))
            own = [k for k in known_keys() if k.startswith(f"{key}.")]
            return f"{key}: names one of {listed(names)}; its settings are {listed(own)}"
    return ""


def _arm(name: str) -> str:
    """An arm's name, `sobel/frozen` or `he_normal*0.1`, as a setting."""
    init, *rest = name.strip().split("/")
    init, _, scale = init.partition("*")
    parts = [f"init: {init or 'he_normal'}", *([f"scale: {scale}"] if scale else [])]
    kinds = {"frozen": "first_layer", "learned": "first_layer", "shuffled": "labels"}
    parts += [f"{kinds.get(word, 'inputs')}: {word}" for word in rest]
    return "{" + ", ".join(parts) + "}"


_SHORT = {"lr": "learning_rate", "epochs": "steps"}


def _meant(key: str, words: Sequence[str]) -> str:
    """' (did you mean optim.learning_rate=.1?)' for a key whose last part some group has."""
    parent, _, leaf = key.rpartition(".")
    leaf = _SHORT.get(leaf, leaf)
    plain = [k for k in known_keys() if not k.startswith("arms.")]
    alike = [k for k in plain if k.rpartition(".")[2] == leaf]
    if not alike:
        alike = difflib.get_close_matches(
            key, [k for k in plain if ("." in k) == bool(parent)], n=1
        )
    if not alike:
        ends = {k.rpartition(".")[2]: k for k in plain if "." in k}
        alike = [ends[end] for end in difflib.get_close_matches(leaf, ends, n=1)]
    if not alike:
        return ""
    best = max(alike, key=lambda k: difflib.SequenceMatcher(None, k, key).ratio())
    typed = [w.partition("=")[2] for w in words if w.lstrip("+~").partition("=")[0] == key]
    return f" (did you mean {best}{'=' + typed[0] if typed else ''}?)"


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


def known_keys(prefix: str = "", schema: type = Study) -> list[str]:
    """All dotted keys of the schema."""
    keys = []
    for entry in fields(schema):
        keys.append(prefix + entry.name)
        if entry.name == "arms":
            keys += known_keys(f"{prefix}arms.", Arm)
        if isinstance(entry.type, type) and is_dataclass(entry.type):
            keys += known_keys(f"{prefix}{entry.name}.", entry.type)
    return keys
