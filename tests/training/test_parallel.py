"""What holds of other devices than a CPU, as far as one can tell of it here."""

import jax
import numpy as np
import pytest

from kernelstudy.config import Arm, Model, Study
from kernelstudy.data import feed
from kernelstudy.data.images import Images
from kernelstudy.training import inputs, parallel, train
from kernelstudy.training.population import choose_devices

SHAPE = (28, 28, 1)


def images() -> Images:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((256, *SHAPE)).astype(np.float32)
    y = rng.integers(10, size=256).astype(np.int32)
    return Images(x, y, x[:8], y[:8], 10, {})


@pytest.mark.slow
@pytest.mark.parametrize(
    "model", [Model(), Model(stride=2), Model(depth=3, batch_norm=True, residual=True)], ids=str
)
def test_memory_of_networks_under_vmap_is_what_the_compiler_reserves(model):
    """Not less, for networks that do not fit would end a training; of strides at most four times that."""
    study = Study(arms=[Arm("he_normal")], seeds=2, model=model, impl="lax")
    data = images()
    trained = train.make_train(study, data)
    population = parallel.make_population(trained, jax.local_devices()[:1])
    seen = feed.variants(data, study.data, ["natural"])
    mapped = jax.jit(jax.vmap(trained.advance, (0, 0, None, None, None)), donate_argnums=0)

    def reserved(nets: int) -> int:
        pairs = [(0, seed) for seed in range(nets)]
        state = inputs.initial(study, data, seen, population)(pairs)
        net, task = inputs.nets_of(study, seen, pairs), inputs.task_of(study, data, seen, [0])
        rows = np.zeros((nets, train.STEPS_A_CALL, study.batch_size), np.int32)
        program = mapped.lower(state, net, task, train.Order(rows, rows), 1).compile()
        return program.memory_analysis().temp_size_in_bytes

    each = (reserved(4) - reserved(2)) / 2
    assert 0.9 < parallel.bytes_of_batch(study, SHAPE) / each < 4


def test_options_of_the_cpus_compiler_are_for_cpus_alone(monkeypatch):
    """Another's may know no such option, and then compiles nothing."""
    assert parallel.for_once()
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
    assert parallel.for_once() is None


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_first_kernels_do_not_depend_on_the_precision(precision):
    """They are the same bits on a device that has a lower one: all products are of the highest."""
    study = Study(arms=[Arm("patch_gaussian")], seeds=1, precision=precision)
    data = images()
    seen, programs = feed.variants(data, study.data, ["natural"]), []

    def compiling(program, *args):
        programs.append(program.lower(*args).as_text())
        return parallel.compiling(program, *args)

    population = parallel.make_population(train.make_train(study, data), choose_devices(study)[:1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inputs, "compiling", compiling)
        inputs.initial(study, data, seen, population)
    products = [line for text in programs for line in text.splitlines() if "dot_general" in line]
    assert products
    assert all("HIGHEST" in line for line in products)
