"""What an arm is called: its name, which is unique in a study, and the same in people's words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import PurePath
from typing import Any

# `study.Arm`, which stands on this module
Arm = Any

MOST_NAMED = 4  # kernels that a sentence lists
_AS = {
    "sobel": "Sobel",
    "prewitt": "Prewitt",
    "sobel_prewitt": "Sobel and Prewitt",
    "gabor": "Gabor functions",
    "dct": "cosines (DCT)",
    "sobel_jittered": "Sobel with noise",
    "sobel_scrambled": "Sobel's spectrum, scrambled",
    "patch_pca": "the patches' principal axes",
    "patch_gaussian": "noise with the patches' covariance",
}
_DEEPER = {
    "learned": "deeper layers started as {}",
    "frozen": "deeper layers frozen as {}",
    "mixed": "deeper layers mixing fixed {}",
}


def name_of(arm: Arm) -> str:
    """`he_normal*0.1`, `sobel/frozen`, `bank[dog,log]/frozen=0.5`, `run[mnist/3f2a,he_normal]/wd=1`, ...

    Of a path its last two parts, with '_' for what would not stand in a name. No colon is in a name, so that
    RUN:arm can be told apart.
    """
    start = _start_name(arm)
    rates = (("lr", arm.learning_rate), ("wd", arm.weight_decay), ("momentum", arm.momentum))
    parts = [
        start if arm.scale == 1 else f"{start}*{arm.scale:g}",
        *_if(arm.frozen_share == 1, "frozen"),
        *_if(0 < arm.frozen_share < 1, f"frozen={arm.frozen_share:g}"),
        *_if(arm.holds_deeper, f"deeper={arm.deeper}{_bracketed(arm.deeper_kernels)}"),
        *_if(arm.labels == "shuffled", "shuffled"),
        *_if(arm.inputs != "natural", arm.inputs),
        *(f"{short}={value:g}" for short, value in rates if value is not None),
    ]
    return "/".join(parts)


def words_of(arm: Arm) -> str:
    """The same in people's words: 'random start, weight decay 1', 'started as Sobel, frozen', ..."""
    start = _start_words(arm)
    rates = (
        ("learning rate", arm.learning_rate),
        ("weight decay", arm.weight_decay),
        ("momentum", arm.momentum),
    )
    parts = [
        start if arm.scale == 1 else f"{start}, times {arm.scale:g}",
        *_if(arm.frozen_share == 1, "frozen"),
        *_if(0 < arm.frozen_share < 1, f"{100 * arm.frozen_share:g}% of its kernels frozen"),
        *_if(arm.holds_deeper, _deeper_words(arm)),
        *_if(arm.labels == "shuffled", "shuffled labels"),
        *_if(arm.inputs != "natural", f"{arm.inputs.replace('_', '-')} images"),
        *(f"{words} {value:g}" for words, value in rates if value is not None),
    ]
    return ", ".join(parts)


def words_by_name(arms: Iterable[Arm]) -> dict[str, str]:
    """`words_of` every arm by its name. Where several would be called alike, each says which it is: 'random
    start (he_normal)', 'random start (orthogonal)'."""
    by_name = {name_of(arm): arm for arm in arms}
    count = Counter(map(words_of, by_name.values()))

    def told(name: str, arm: Arm) -> str:
        words = words_of(arm)
        if count[words] == 1:
            return words
        if arm.starts_random:
            return words.replace("random start", f"random start ({arm.init})", 1)
        return f"{words} ({name})"

    return {name: told(name, arm) for name, arm in by_name.items()}


def run_and_arm(path: str) -> tuple[str, str]:
    """Of RUN:arm the two, as far as the text tells; the arm is '' where there is none."""
    run, colon, arm = path.rpartition(":")
    return (run, arm) if colon else (path, "")


def _if(holds: bool, word: str) -> list[str]:
    return [word] if holds else []


def _start_name(arm: Arm) -> str:
    if arm.path is None:
        return f"{arm.init}{_bracketed(arm.kernels)}"
    if arm.init != "run":
        return f"{arm.init}[{_tail(arm.path)}]"
    run, of_run = run_and_arm(arm.path)
    parts = [_tail(run), *_if(bool(of_run), _plain(of_run)), *_if(arm.how != "copy", arm.how)]
    return f"run[{','.join(parts)}]"


def _start_words(arm: Arm) -> str:
    if arm.starts_random:
        return "random start"
    if arm.path is None:
        return f"started as {_kernels(arm.kernels) or _AS.get(arm.init, arm.init)}"
    if arm.init != "run":
        return f"started from {_tail(arm.path)}"
    run, of_run = run_and_arm(arm.path)
    source = f"{_plain(of_run)} of run {_tail(run)}" if of_run else f"run {_tail(run)}"
    if arm.how == "covariance":
        return f"started with the covariance of {source}"
    return f"started from {source}"


def _deeper_words(arm: Arm) -> str:
    kernels = _kernels(arm.deeper_kernels)
    if arm.deeper == "frozen" and not kernels:
        return "deeper layers frozen"
    return _DEEPER.get(arm.deeper, "deeper layers {}").format(kernels or "random kernels")


def _kernels(names: list[str]) -> str:
    """'dog, log and sobel_x', or '9 hand-crafted kernels from dog on'."""
    if len(names) > MOST_NAMED:
        return f"{len(names)} hand-crafted kernels from {names[0]} on"
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def _bracketed(names: list[str]) -> str:
    return f"[{','.join(names)}]" if names else ""


def _tail(path: str) -> str:
    parts = [part for part in PurePath(path).parts if part not in ("/", "..", "~")]
    return re.sub(r"[\[\],*=]", "_", _plain("/".join(parts[-2:])))


def _plain(text: str) -> str:
    return re.sub(r"[^\w.,/*=\[\]~+@-]", "_", text)
