"""Networks of one's own: functions given to `kernelstudy.train`, and entry points of installed packages."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from kernelstudy.config import Model, Study, checks
from kernelstudy.system.errors import ConfigError, first_line, listed, near_miss, short

if TYPE_CHECKING:
    from kernelstudy.data.images import Images
    from kernelstudy.training.own import Make, Own

GROUP = "kernelstudy.models"


def resolve(study: Study, make: Make | None = None) -> tuple[Study, Own | None]:
    """The settings with what the network of one's own is found to be, and that network; None: the built-in one.

    Nothing is imported by a name out of a config but an entry point that an installed package declares.

    Raises:
        ConfigError: there is no such network, or it cannot be trained.
    """
    if make is None and study.model.own is None:
        return study, None
    from kernelstudy.training import own
    from kernelstudy.training.backend import start

    start(study.devices, distributed=study.distributed)  # before JAX computes anything
    if make is not None:
        name = own.name_of(make)
    else:
        name = str(study.model.own)
        make = _installed(name)
    checks.check(replace(study, model=replace(study.model, own=name, parameters=[])))
    found = own.find(make, name)
    size, width = found.shape[0], found.shape[-1]
    for key, value in (("kernel_size", size), ("width", width)):
        if (given := getattr(study.model, key)) not in (value, getattr(Model(), key)):
            raise ConfigError(
                f"model.{key}: {given} was asked for, and {name} has {value}; leave it out"
            )
    model = Model(own=name, parameters=found.parameters, kernel_size=size, width=width)
    study = replace(study, model=model)
    checks.check(study)
    return study, found


def _installed(name: str) -> Make:
    """What the entry point of this name stands for."""
    known: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=GROUP):
        known.setdefault(point.name, []).append(point)
    if name not in known:
        there = (
            f"installed are {listed(sorted(known))}" if known else "no installed package has one"
        )
        raise ConfigError(
            f"model.own: {short(name)} is no entry point of the group {GROUP}{near_miss(name, known)}; {there}"
        )
    if len({point.value for point in known[name]}) > 1:
        places = listed(point.value for point in known[name])
        raise ConfigError(f"model.own: {name} is the name of several entry points: {places}")
    try:
        return known[name][0].load()
    except Exception as error:  # whatever an import of others raises
        raise ConfigError(
            f"model.own: {name} ({known[name][0].value}) cannot be imported: {first_line(error)}"
        ) from error


def check(own: Own, data: Images) -> None:
    """ConfigError where the network does not fit the images."""
    from kernelstudy.training.own_network import check as check_network

    check_network(own, data.image_shape, data.classes)


def _watched(study: Study, layers: list[str], convolutions: int) -> str:
    """Which of its convolutions are watched, in words."""
    if not study.probe_seeds:
        return "of its deeper layers nothing is logged"
    if not layers:
        return (
            "of its layers nothing is logged but the first one's kernels, for what the first answers cannot be "
            "had: it is no nnx.Conv, or within nnx.jit, a scan or the like"
        )
    names = ", ".join(layers)
    most = "; five at most, and none within nnx.jit, scans and the like"
    more = most if len(layers) < convolutions else ""
    return (
        f"its layers that are watched: {names} ({len(layers)} of {convolutions} convolutions{more})"
    )


def told(study: Study, own: Own, data: Images) -> str:
    """What is to be known of it before it is trained, in a sentence."""
    from kernelstudy.training import ops
    from kernelstudy.training.own_network import slow_convolutions, watched

    text = (
        f"{own.name} is a network of one's own; {_watched(study, *watched(own, data.image_shape))}"
    )
    if ops.default_impl() != "gemm":
        return text
    slow, convolutions = slow_convolutions(own, data.image_shape)
    slow = convolutions if study.impl == "lax" else slow
    if slow:
        return (
            f"{text}; {slow} of {convolutions} of its convolutions are XLA's own, many times slower on a CPU: "
            "those in groups, dilated, or within scans and branches"
        )
    return f"{text}; on a CPU it is slower than the built-in network of its size"
