"""python experiments/learned_vs_handcrafted/dense.py [--out DIR]: the arm whose first layer is dense.

A dense layer from the whole image to maps of the shape of the pooled first convolution's; all that
follows is the study's own: deeper layers with the same initial values, the same batches and the same
optimiser, seed by seed. One CSV a training-set size; a size that is there is not trained again.
"""

import argparse
import json
import time
from pathlib import Path

import hydra
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd
from flax import nnx

from kernelstudy import config
from kernelstudy.config import compose
from kernelstudy.data import feed, images
from kernelstudy.system import files
from kernelstudy.system.software import environment
from kernelstudy.training import ops, population, train
from kernelstudy.training.backend import start
from kernelstudy.training.model import CNN
from kernelstudy.training.parallel import make_population

ROOT = Path(__file__).resolve().parents[2]
STUDY, SIZES = "learned_vs_handcrafted", (100, 1000, 10000, 60000)
TESTED = 500  # test images at a time


def study_of(*changes: str) -> config.Study:
    """The study's own settings with `changes`, and the one arm this is: he_normal, learned."""
    compose.register()
    with hydra.initialize_config_dir(str(compose.conf_dir().resolve()), version_base="1.3"):
        words = [f"+exp={STUDY}", "arms=[{init: he_normal}]", *changes]
        return compose.from_hydra(hydra.compose("config", words))


class DenseFirst(nnx.Module):
    """A dense first layer in place of the convolution and its pool; then the study's deeper layers."""

    def __init__(self, study: config.Study, data: images.Images, rngs: nnx.Rngs):
        height, across, channels = data.image_shape
        self.maps = (height // 2, across // 2, study.model.width)
        self.first = nnx.Linear(
            height * across * channels,
            int(np.prod(self.maps)),
            kernel_init=nnx.initializers.he_normal(),
            rngs=rngs,
        )
        self.rest = CNN(
            image_shape=self.maps,
            classes=data.classes,
            kernel_size=3,
            width=study.model.deep_width,
            deep_width=study.model.deep_width,
            depth=study.model.depth - 1,
            activation=study.model.activation,
            first_init=nnx.initializers.lecun_normal(),
            rngs=rngs,
        )

    def __call__(self, x: jax.Array, table: ops.Ops) -> jax.Array:
        maps = jax.nn.relu(self.first(x.reshape(len(x), -1)))
        return self.rest(maps.reshape(-1, *self.maps), table)


def make_dense(study: config.Study, data: images.Images) -> train.Train:
    """`train.make_train` for `DenseFirst`: the same pure functions, to be mapped over networks."""
    table = ops.IMPLS[ops.default_impl()]
    optimizer = train.make_optimizer(study)(train.rates_of(study.arms[0], study.optim))
    paired = train.make_train(study, data)

    def build(key: jax.Array) -> DenseFirst:
        return DenseFirst(study, data, nnx.Rngs(key))

    graph = nnx.graphdef(nnx.eval_shape(lambda: build(jax.random.key(0))))

    def init(key: jax.Array, first_kernel: jax.Array) -> train.State:
        """`first_kernel`: of the convolution that the paired network has; it takes no part."""
        params = nnx.state(build(jax.random.fold_in(key, 1)), nnx.Param)
        deeper = paired.init(key, first_kernel).params
        params["rest"]["convs"][0] = deeper["convs"][1]
        params["rest"]["dense"] = deeper["dense"]
        return train.State(params, optimizer.init(params), {})

    def loss_of(params, batch, labels):
        logits = nnx.merge(graph, params)(batch, table)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    def advance(state, net, task, order, steps):
        rows = order.images[net.seed_row]

        def step(index, carry):
            (params, memory, nothing), losses = carry
            batch = task.train_images[0, rows[index]]
            labels = task.label_sets[0, rows[index]]
            loss, gradient = jax.value_and_grad(loss_of)(params, batch, labels)
            changes, memory = optimizer.update(gradient, memory, params)
            params = optax.apply_updates(params, changes)
            return train.State(params, memory, nothing), losses.at[index].set(loss)

        losses = jnp.zeros(train.STEPS_A_CALL)
        return jax.lax.fori_loop(0, steps, step, (state, losses))

    def evaluate(state, net, task, examples):
        model = nnx.merge(graph, state.params)

        def add(index, correct):
            rows = index * TESTED + jnp.arange(TESTED)
            hits = model(task.test_images[0, rows], table).argmax(-1) == task.test_labels[rows]
            return correct + (hits & (rows < examples)).sum()

        return jax.lax.fori_loop(0, (examples + TESTED - 1) // TESTED, add, 0) / examples

    return train.Train(init, advance, evaluate, paired.watch)


def accuracies(study: config.Study, data: images.Images) -> pd.DataFrame:
    """Train one network a seed, all of them together: seed, accuracy on all test images, diverged."""
    seeds = study.seed_list
    devices = population.choose_devices(study)
    nets = make_population(make_dense(study, data), devices)
    seen = feed.variants(data, study.data, ["natural"])
    rows = np.array([*range(len(seeds)), *[len(seeds) - 1] * (-len(seeds) % len(devices))])
    unused = jnp.zeros(train.first_kernel_shape(study, data))
    states = [nets.init(jax.random.key(seeds[row]), unused) for row in rows]
    state = nets.place(jax.tree.map(lambda *leaves: np.stack(leaves), *states))
    zero = np.zeros_like(rows)
    rates = train.Rates(*(zero.astype(np.float32) for _ in train.Rates._fields))  # not read
    net = nets.place(train.Net(rows, zero, zero, zero.astype(bool), rates))
    test = seen.test, data.test_labels
    task = nets.share(train.Task(seen.train, data.train_labels[None], *test))
    spans = [
        (first, min(train.STEPS_A_CALL, study.steps - first))
        for first in range(0, study.steps, train.STEPS_A_CALL)
    ]
    options = {"seeds": seeds, "spans": spans, "room": train.STEPS_A_CALL}
    dispatches = feed.feed(data, study.data, seen, **options, batch=study.batch_size)
    finite = np.ones(len(rows), bool)
    for (_, count), dispatch in zip(spans, dispatches, strict=True):
        order = nets.share(train.Order(dispatch.rows, dispatch.order))
        state, losses = nets.advance(state, net, task, order, jnp.asarray(count))
        finite &= np.isfinite(nets.fetch(losses)[:, :count]).all(1)
    found = nets.fetch(nets.evaluate(state, net, task, jnp.asarray(len(data.test_labels))))
    of_seeds = slice(len(seeds))
    return pd.DataFrame({"seed": seeds, "accuracy": found[of_seeds], "diverged": ~finite[of_seeds]})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    place = ROOT / "results" / "runs" / f"{STUDY}_dense"
    parser.add_argument("--out", type=Path, default=place, help="where CSVs are and go to")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="training-set sizes")
    parser.add_argument("changes", nargs="*", help="further settings, as steps=10")
    given = parser.parse_intermixed_args()
    started = start(None)
    for size in given.sizes:
        facts, table = given.out / f"{size}.json", given.out / f"{size}.csv"
        if facts.is_file():
            print(f"{table} is there", flush=True)
            continue
        study = study_of(f"data.subset={size}", *given.changes)
        data, began = images.load(study.data), time.perf_counter()
        found = accuracies(study, data).assign(size=size, width=study.model.width)
        seconds = round(time.perf_counter() - began, 1)
        files.write_text(table, found.to_csv(index=False))
        made = {
            "command": "python experiments/learned_vs_handcrafted/dense.py",
            "settings": config.result_settings(study),
            "data": data.facts,
            "device": started.devices,
            "seconds": {"train": seconds},
            "net_images": len(found) * study.steps * study.batch_size,
            **environment(),
        }
        files.write_text(facts, json.dumps(made, indent=2) + "\n")
        print(f"{table}: {found['accuracy'].mean():.3f}, {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
