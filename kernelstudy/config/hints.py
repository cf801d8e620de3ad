"""What a setting that cannot be read was probably meant to be, shown as it should be typed."""

import difflib
import re
import shlex
from collections.abc import Sequence
from dataclasses import fields

from kernelstudy.config.groups import groups, known_keys, options
from kernelstudy.config.study import INITS, Arm
from kernelstudy.data.checks import other_sets
from kernelstudy.data.registry import SETS
from kernelstudy.system.errors import closest, listed, near_miss, short

ADDED = ("exp", "debug")  # groups that are chosen with a plus
# What others call it.
_OTHER_NAMES = {
    "lr": "learning_rate",
    "wd": "weight_decay",
    "bs": "batch_size",
    "batch": "batch_size",
    "kernel": "kernel_size",
    "filters": "width",
    "channels": "width",
    "layers": "depth",
    "out": "runs_dir",
    "output_dir": "runs_dir",
    "optimizer": "optim",
    "optimiser": "optim",
    "dataset": "data",
    "experiment": "exp",
}
_OF_AN_ARM = ("init", "scale", "first_layer", "labels", "inputs", "frozen", "deeper")
# Hydra's options that another word belongs to
_WITH_VALUE = {
    *("--config-dir", "-cd", "--config-name", "-cn", "--config-path", "-cp", "--cfg", "-c"),
    *("--package", "-p", "--info", "-i", "--shell-completion", "-sc"),
}


def as_typed(words: Sequence[str]) -> str:
    """One sentence on the first word of a kind that is often mistaken, or nothing; `words`: as typed."""
    if sentence := _braces_taken_apart(words):
        return sentence
    joined = _joined(words)
    for index, word in enumerate(joined):
        if word.startswith("-") or (index and joined[index - 1] in _WITH_VALUE):
            continue
        key, sign, value = word.partition("=")
        plain = key.lstrip("+~")
        sentence = (
            _of_value(key, value)
            if sign and plain
            else _without_sign(word, joined[index + 1 :])
            if plain
            else ""
        )
        if sentence:
            return sentence
        if sign and _is_open(word):
            return f"{plain}: {short(value)} has a bracket that is not closed"
        if sign and _is_list(value) and not {"-m", "--multirun"} & {*words}:
            command = shlex.join(["python", "-m", "kernelstudy.run", "-m", *joined])
            return f"{plain}: several values are a sweep, which needs -m: {command}"
        if word not in words:  # it was in several
            return f"{plain}: in quotes it is one word to the shell: '{word}'"
    return ""


def option(word: str, following: Sequence[str]) -> str:
    """What an option that does not exist (`--exp mnist`, `--lr=0.1`) was meant to be, or nothing."""
    key, sign, value = word.lstrip("-").partition("=")
    if not sign and following and not following[0].startswith("-") and "=" not in following[0]:
        value = following[0]
    if meant := setting(key.replace("-", "_"), value):
        return f"; settings have no dashes (did you mean {meant}?)"
    return near_miss(word, ("--multirun", "--help", "--config-dir", "--config-name", "--version"))


def setting(key: str, value: str) -> str:
    """What a key, perhaps mistyped, and its value should be typed as in a shell, or nothing."""
    name = _OTHER_NAMES.get(key, key)
    if name in ADDED:
        return f"+{name}={closest(value, options(name)) or 'NAME'}"
    if name in _OF_AN_ARM:
        return shlex.quote(f"arms=[{arm_of(**{name: value})}]")
    if name == "data":
        close = closest(value, SETS)
        return f"data={close}" if close or not value else f"data=tfds data.dataset={value}"
    best = key_like(key)
    if best in groups():
        value = closest(value, options(best)) or value
    return shlex.quote(f"{best}={value or '...'}") if best else ""


def key_like(key: str) -> str:
    """The key that a mistyped or misplaced one stands for, or nothing."""
    parent, _, leaf = key.rpartition(".")
    leaf = _OTHER_NAMES.get(leaf, leaf)
    plain = [k for k in known_keys() if not k.startswith("arms.")]
    alike = [k for k in plain if k.rpartition(".")[2] == leaf]
    if not alike:
        alike = difflib.get_close_matches(
            key, [k for k in plain if ("." in k) == bool(parent)], n=1
        )
    if not alike:
        ends = {k.rpartition(".")[2]: k for k in plain if "." in k}
        alike = [ends[end] for end in difflib.get_close_matches(leaf, ends, n=1)]
    return max(alike, key=lambda k: difflib.SequenceMatcher(None, k, key).ratio(), default="")


def option_of(group: str, wrong: str, allowed: Sequence[str]) -> str:
    """' (did you mean +exp=mnist?)' for what a group does not have."""
    plus = "+" if group in ADDED else ""
    if close := closest(wrong, allowed):
        return f" (did you mean {plus}{group}={close}?)"
    return other_sets(wrong) if group == "data" else ""


def arm(name: str) -> str:
    """An arm's name, `sobel/frozen` or `he_normal*0.1`, as a setting."""
    if ":" in name:  # it is one, without its braces
        pairs = dict(re.findall(r"(\w+):\s*([^\s,{}]+)", name))
        return arm_of(**pairs)
    init, *rest = _split(name.strip(), "/")
    init, *scale = _split(init, "*")
    entries = {**_start(init), **({"scale": scale[0]} if scale else {})}
    rates = {"lr": "learning_rate", "wd": "weight_decay"}
    kinds = {"frozen": "first_layer", "learned": "first_layer", "shuffled": "labels"}
    for word in rest:
        key, sign, value = word.partition("=")
        if key == "deeper" and (inside := re.fullmatch(r"(\w+)(\[.*\])", value)):
            entries |= {"deeper": inside[1], "deeper_kernels": _spaced(inside[2])}
        else:
            entries |= {rates.get(key, key): value} if sign else {kinds.get(word, "inputs"): word}
    return arm_of(**entries)


def _start(name: str) -> dict[str, str]:
    """The first part of an arm's name, `sobel` or `bank[dog,log]`, as entries of its setting."""
    inside = re.fullmatch(r"(\w+)\[(.*)\]", name)
    if not inside:
        return {"init": initialiser(name) or name}
    init, of = inside.groups()
    if init == "bank":
        return {"init": init, "kernels": _spaced(f"[{of}]")}
    how = ",covariance" if init == "run" and of.endswith(",covariance") else ""
    of = of.removesuffix(how)
    path = of.replace(",", ":", 1) if init == "run" else of
    return {"init": init, "path": f"'{path}'", **({"how": "covariance"} if how else {})}


def _split(text: str, sign: str) -> list[str]:
    """The parts between signs that stand outside of brackets."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "[{") - (letter in "]}")
        if letter == sign and depth <= 0:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def _spaced(names: str) -> str:
    return re.sub(r",\s*", ", ", names)


def arm_of(**entries: str) -> str:
    """An arm with these entries, as a setting; its start is He's unless it is given."""
    known = {entry.name for entry in fields(Arm)}
    entries = {"init": "he_normal", **{k: v for k, v in entries.items() if k in known and v}}
    return "{" + ", ".join(f"{key}: {value}" for key, value in entries.items()) + "}"


def initialiser(name: str) -> str:
    """The initialiser that a name stands for, also one of PyTorch's or TensorFlow's, or nothing."""
    name = name.strip().lower().rstrip("_").replace("kaiming", "he").replace("xavier", "glorot")
    if f"{name}_normal" in INITS:
        return f"{name}_normal"
    return closest(name, INITS)


def _joined(words: Sequence[str]) -> list[str]:
    """The words, with those together that a shell has taken apart at spaces within brackets or after commas."""
    joined: list[str] = []
    for word in words:
        last = joined[-1] if joined else ""
        if "=" in last and not last.startswith("-") and (_is_open(last) or last.endswith(",")):
            joined[-1] = f"{last} {word}" if _is_open(last) else last + word
        else:
            joined.append(word)
    return joined


def _is_open(text: str) -> bool:
    return text.count("[") > text.count("]") or text.count("{") > text.count("}")


def _is_list(value: str) -> bool:
    """Whether a value has a comma outside of brackets and quotes."""
    bare = re.sub(r"'[^']*'|\"[^\"]*\"", "", value)
    while (shorter := re.sub(r"[\[({][^\[\](){}]*[\])}]", "", bare)) != bare:
        bare = shorter
    return "," in bare


def _braces_taken_apart(words: Sequence[str]) -> str:
    """`arms=[{init:gabor,scale:0.1}]` without quotes, of which Bash makes two words."""
    inside = [
        m[1] for word in words if (m := re.fullmatch(r"arms=\[?([^{}\[\]]*:[^{}\[\]]*)\]?", word))
    ]
    if len(inside) < 2:
        return ""
    one_arm = all("," not in entry for entry in inside)
    shown = arm(", ".join(inside)) if one_arm else arm_of(scale="0.1")
    return (
        "arms: the shell has taken its braces apart; in quotes it is one word, as in "
        f"{shlex.quote(f'arms=[{shown}]')}"
    )


def _without_sign(word: str, following: list[str]) -> str:
    """Of a word that is no `key=value`: `mnist`, `steps 100`, `steps = 100` or `steps: 100`."""
    key, _, value = word.partition(":")
    plain = key.lstrip("+~")
    if word in options("exp"):
        return f"{word}: an experiment is chosen by its group: +exp={word}"
    if _OTHER_NAMES.get(plain, plain) not in {*known_keys(), *groups()}:
        return ""
    if not value and following:
        value = following[0] if following[0] != "=" else "".join(following[1:2])
    meant = setting(plain, value.removeprefix("="))
    return f"{plain}: settings are key=value, without spaces: {meant}"


def _of_value(key: str, value: str) -> str:
    """Of `key=value`."""
    plain = key.lstrip("+~")
    if not value and plain in {*known_keys(), *groups()}:
        return f"{plain}: it has no value; settings are key=value, without spaces"
    if key in ADDED or plain == "experiment":
        group = "exp" if plain == "experiment" else key
        meant, names = setting(group, value), options(group)
        return f"{key} is chosen with a plus: {meant}; there are {listed(names)}"
    if plain == "arms" or plain == "arms.init":
        if not value.lstrip("'\"").startswith(("[{", "${")):
            inside = value.strip("'\"").removeprefix("[")
            if inside.count("]") > inside.count("["):
                inside = inside.removesuffix("]")
            arms = ", ".join(arm(name) for name in _split(inside.strip("'\""), ","))
            return f"arms: a list of arms is wanted, 'arms=[{arms}]', not {short(value)}"
        return ""
    if plain == "tests" and not value.lstrip("'\"").startswith(("[", "${")):
        return f"tests: a list is wanted, 'tests=[{value}]', not {short(value)}"
    if plain in _OF_AN_ARM:
        return f"{plain}: it is an arm's: {setting(plain, value)}"
    if plain == "epochs":
        return (
            "epochs: training is counted in steps of batch_size images each, steps=400 for instance"
        )
    if plain == "dataset":
        return f"dataset: no such key (did you mean {setting('data', value)}?)"
    if (
        key.startswith("+")
        and not key.startswith("++")
        and plain in {*known_keys(), *groups()} - {*ADDED}
    ):
        return f"{plain}: it is there already, and set without a plus: {shlex.quote(f'{plain}={value}')}"
    if plain in groups() and re.fullmatch(r"[-+]?[\d.]+(e[-+]?\d+)?", value):
        own = [k for k in known_keys() if k.startswith(f"{plain}.")]
        return f"{plain}: names one of {listed(options(plain))}; its settings are {listed(own)}"
    return ""
