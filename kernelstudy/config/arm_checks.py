"""What an arm may be: ConfigError, one sentence that names the key, for any other."""

import re
from collections.abc import Sequence

from kernelstudy.config import hints
from kernelstudy.config.study import DEEPER, HOW, INITS, INPUTS, Arm, Model
from kernelstudy.handcrafted import names as bank_names
from kernelstudy.system.errors import ConfigError, listed, near_miss, short
from kernelstudy.system.values import one_of, positive

DEEPER_SIZE = 3  # of deeper layers' kernels


def check_arms(arms: list[Arm], model: Model) -> None:
    if not arms:
        raise ConfigError("arms: must list at least one arm, for instance {init: he_normal}")
    for index, arm in enumerate(arms):
        key = f"arms[{index}]"
        _check_init(f"{key}.init", arm.init)
        positive(f"{key}.scale", arm.scale)
        one_of(f"{key}.first_layer", arm.first_layer, ("learned", "frozen"))
        one_of(f"{key}.labels", arm.labels, ("true", "shuffled"))
        one_of(f"{key}.inputs", arm.inputs, INPUTS)
        _check_start(key, arm, model)
        _check_frozen(key, arm, model.width)
        _check_deeper(key, arm, model)
    names = [arm.name for arm in arms]
    for arm in arms:
        if names.count(arm.name) > 1:
            alike = {other.path for other in arms if other.name == arm.name}
            hint = "; of a path the last two parts count" if len(alike) > 1 else ""
            raise ConfigError(f"arms: {arm.name} is listed {names.count(arm.name)} times{hint}")


def check_known(key: str, kernels: Sequence[str]) -> None:
    """ConfigError for the first name that no hand-crafted kernel has."""
    known = bank_names()
    for kernel in kernels:
        if kernel not in known:
            hint = near_miss(kernel, known) or "; kernelstudy.names() lists them"
            raise ConfigError(f"{key}: {kernel!r} is none of the {len(known)} kernels{hint}")


def _check_init(key: str, init: str) -> None:
    if init in INITS:
        return
    if init in bank_names():
        raise ConfigError(
            f"{key}: {init!r} is a hand-crafted kernel; {{init: bank, kernels: [{init}]}} starts as it"
        )
    if re.search(r"\.np[yz]$", init):
        raise ConfigError(f"{key}: {short(init)} is a file; {hints.arm_of(init='file', path=init)}")
    if re.search(r"[*/\[]", init) and re.split(r"[*/\[]", init)[0] in INITS:
        raise ConfigError(f"{key}: {init!r} is an arm's name; its setting is {hints.arm(init)}")
    meant = hints.initialiser(init)
    hint = f" (did you mean {meant}?)" if meant else ""
    raise ConfigError(f"{key}: {init!r} is not one of {listed(INITS)}{hint}")


def _check_start(key: str, arm: Arm, model: Model) -> None:
    """What goes with `init` alone: path, how, kernels."""
    one_of(f"{key}.how", arm.how, HOW)
    if arm.how != "copy" and arm.init != "run":
        raise ConfigError(f"{key}.how: {arm.init} has none; {arm.how} is of init=run")
    if arm.reads and not (arm.path and arm.path.strip() and "\0" not in arm.path):
        shown = {"file": "kernels.npy", "run": "RUN:arm"}[arm.init]
        raise ConfigError(f"{key}.path: must be given, as in {{init: {arm.init}, path: {shown}}}")
    if arm.path is not None and not arm.reads:
        raise ConfigError(f"{key}.path: {arm.init} has none; use init: file, or init: run")
    if arm.init != "bank":
        if arm.kernels:
            raise ConfigError(f"{key}.kernels: {arm.init} has none; use init: bank")
        return
    if not arm.kernels:
        raise ConfigError(
            f"{key}.kernels: must name at least one hand-crafted kernel, as in "
            "{init: bank, kernels: [dog, log, sobel_x]}"
        )
    _check_kernels(f"{key}.kernels", arm.kernels, model.kernel_size, "model.kernel_size=")
    if len(arm.kernels) > model.width:
        raise ConfigError(
            f"{key}.kernels: {len(arm.kernels)} kernels are more than model.width, {model.width}"
        )


def _check_kernels(key: str, kernels: list[str], size: int, of: str) -> None:
    here = bank_names(size)
    check_known(key, [name for name in kernels if name not in here])
    for name in kernels:
        if name not in here:
            raise ConfigError(f"{key}: {name} does not exist at {of}{size}")
        if kernels.count(name) > 1:
            raise ConfigError(f"{key}: {name} is listed {kernels.count(name)} times")


def _check_frozen(key: str, arm: Arm, width: int) -> None:
    if arm.frozen is None:
        return
    if not 0 <= arm.frozen <= 1:
        raise ConfigError(f"{key}.frozen: {arm.frozen} must be a share, from 0 to 1")
    if arm.first_layer == "frozen" and arm.frozen < 1:
        raise ConfigError(
            f"{key}.frozen: {arm.frozen:g} contradicts first_layer: frozen, which is frozen: 1"
        )
    if 0 < arm.frozen < 1 and arm.frozen_of(width) in (0, width):
        raise ConfigError(
            f"{key}.frozen: {arm.frozen:g} of {width} kernels is {arm.frozen_of(width)} of them; "
            "freeze some and not all, or model.width more"
        )


def _check_deeper(key: str, arm: Arm, model: Model) -> None:
    one_of(f"{key}.deeper", arm.deeper, DEEPER)
    _check_kernels(f"{key}.deeper_kernels", arm.deeper_kernels, DEEPER_SIZE, "3 x ")
    which = "deeper_kernels" if arm.deeper == "learned" else "deeper"
    if arm.holds_deeper and model.depth < 2 and model.own is None:
        raise ConfigError(
            f"{key}.{which}: there is no deeper layer, for model.depth is {model.depth}"
        )
    if arm.holds_deeper and model.own is not None:
        raise ConfigError(f"{key}.{which}: not of a network of one's own")
    if model.family != "plain" and (arm.deeper == "mixed" or arm.deeper_kernels):
        raise ConfigError(f"{key}.{which}: only with model.family=plain; others can be frozen")
