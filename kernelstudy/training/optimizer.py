"""The optimiser of a study: Optax's rules, at the rates of one network."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from kernelstudy.config import Arm, Model, Optim, Study


class Rates(NamedTuple):
    """What may differ from network to network within one compiled program; scalars."""

    learning_rate: Any
    weight_decay: Any
    momentum: Any


def rates_of(arm: Arm, optim: Optim) -> Rates:
    """An arm's own rates, and the study's where it has none."""
    own = {name: getattr(arm, name) for name in Rates._fields}
    return Rates(**{n: getattr(optim, n) if value is None else value for n, value in own.items()})


def make_optimizer(study: Study) -> Callable[[Rates], optax.GradientTransformation]:
    """The optimiser of a study as a function of a network's rates, which may be traced.

    - adam: Kingma & Ba 2015. adamw: the same with decoupled weight decay (Loshchilov & Hutter 2019), so
      that a step takes learning_rate * weight_decay off a weight.
    - sgd: with momentum (heavy ball) and the decay added to the gradient, that is L2 regularisation, as in
      PyTorch; sgdw: with decoupled decay, which momentum does not see.

    The schedule multiplies the learning rate, and with it decoupled decay. Decay is of kernels only, or, with
    `optim.decay_all`, of biases and of norms' scales as well. With `model.parametrization=mup` what the
    gradient gives has a factor of its own in each layer (`_scale_by_width`), and decay has none.
    """
    o = study.optim
    of_arms = [rates_of(arm, o) for arm in study.arms]
    momentum, decay = any(r.momentum for r in of_arms), any(r.weight_decay for r in of_arms)
    changes_rate = o.schedule != "constant" or o.warmup_steps > 0
    adam, decoupled = o.name in ("adam", "adamw"), o.name in ("adamw", "sgdw")

    def optimizer(rates: Rates) -> optax.GradientTransformation:
        none = optax.identity()
        mask = None if o.decay_all else _kernels
        decayed = optax.add_decayed_weights(rates.weight_decay, mask) if decay else none
        by_momentum = optax.trace(rates.momentum) if momentum else none
        return optax.chain(
            none if decoupled else decayed,
            optax.scale_by_adam() if adam else by_momentum,
            _scale_by_width(study.model, adam) if study.model.parametrization == "mup" else none,
            decayed if decoupled else none,
            optax.scale_by_schedule(schedule(o, study.steps)) if changes_rate else none,
            optax.scale_by_learning_rate(rates.learning_rate),
        )

    return optimizer


def schedule(optim: Optim, steps: int) -> optax.Schedule:
    """What multiplies the learning rate, by step from 0: up to 1 in `warmup_steps`, then on to the end.

    constant; cosine, down to 0 at the last step (Loshchilov & Hutter 2017); step, times `decay_factor` at
    each of `decay_at`, which are parts of all steps.
    """
    warm = optim.warmup_steps
    if optim.schedule == "cosine":
        main = optax.cosine_decay_schedule(1.0, max(1, steps - warm))
    elif optim.schedule == "step":
        places = {round(part * steps) - warm: optim.decay_factor for part in optim.decay_at}
        main = optax.piecewise_constant_schedule(1.0, places)
    else:
        main = optax.constant_schedule(1.0)
    if not warm:
        return main
    # The first step is not lost to a rate of 0.
    rising = optax.linear_schedule(1 / (warm + 1), 1.0, warm)
    return optax.join_schedules([rising, main], [warm])


def width_factors(model: Model) -> tuple[list[float], float]:
    """How many times the fan-in of each convolution, and of the dense layer, is that of the base widths."""
    first, deep = model.width / model.base_width, model.deep_width / model.base_deep_width
    fans = [1.0, first, *([deep] * (model.depth - 2))][: model.depth]
    return fans, first if model.depth == 1 else deep


def _scale_by_width(model: Model, adam: bool) -> optax.GradientTransformation:
    """The factors of the maximal update parametrisation (Yang & Hu 2021; Yang et al. 2022, table 3).

    Relative to the base widths, where they are 1. Adam: 1 / fan-in for the kernels of all layers but the
    first. SGD: fan-out for the first kernel and for biases, 1 for those between, 1 / fan-in for the dense one.
    """
    fans, dense_fan = width_factors(model)
    widths = [*fans[1:], dense_fan]  # of each convolution's output, relative to its base

    def factor(path: tuple[Any, ...]) -> float:
        names = [str(getattr(entry, "key", getattr(entry, "name", entry))) for entry in path]
        layer = next((int(name) for name in names if name.isdigit()), None)
        is_kernel = "kernel" in names
        if layer is None:  # the dense layer, whose number of classes is fixed
            return 1 / dense_fan if is_kernel else 1.0
        if not is_kernel:
            return 1.0 if adam else widths[layer]
        if layer == 0:
            return 1.0 if adam else widths[0]
        return 1 / fans[layer] if adam else 1.0

    def scaled(updates: Any, params: Any = None) -> Any:
        del params
        return jax.tree_util.tree_map_with_path(lambda path, u: factor(path) * u, updates)

    return optax.stateless(scaled)


def _kernels(params: Any) -> Any:
    """Which parameters are kernels: all but biases and the scales of norms."""
    return jax.tree.map(lambda leaf: jnp.ndim(leaf) > 1, params)
