"""A run started from a script or a notebook (`train`)."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kernelstudy.config import Study

if TYPE_CHECKING:
    from flax import nnx


def train(
    study: Study | str | Sequence[str],
    model: Callable[[nnx.Rngs, Any], nnx.Module] | None = None,
) -> Path:
    """Train, measure and report a study, as `python -m kernelstudy.run` does; also of a network of one's own::

        class Net(nnx.Module):
            def __init__(self, rngs, first_init):
                self.conv = nnx.Conv(1, 16, (3, 3), kernel_init=first_init, rngs=rngs)
                self.dense = nnx.Linear(16, 10, rngs=rngs)

            def __call__(self, images):
                return self.dense(nnx.relu(self.conv(images)).mean((1, 2)))

        directory = kernelstudy.train("+exp=mnist steps=200", model=Net)

    The same call again finds the finished run, and goes on with an interrupted one, to the same bits.

    Args:
        study: what a `run` command would be given, as one text or as words, `["+exp=mnist", "steps=200"]`; or
            a `kernelstudy.config.Study`.
        model: `make(rngs, first_init)`, which makes the Flax nnx module of one network; a class is one, too.
            The module is called with images (N, H, W, C) float32 and answers logits (N, classes), in training
            mode (`module.train()`) while it learns and in evaluation mode elsewhere. `first_init` is the arm's
            initialiser, to be given to the first convolution as `kernel_init`. None: the built-in network.

    Returns:
        The run's directory: `kernelstudy.open_run` opens it, `report.html` in it is its report.

    Raises:
        ValueError: a setting, the network or the run that is there cannot be used; one sentence says why.
        RuntimeError: another process is at work on the run, or has taken it over.
        KeyboardInterrupt: a signal has interrupted it; the same call goes on.
        OSError: the run's directory cannot be written.
    """
    from kernelstudy.config import compose
    from kernelstudy.jobs.job import run

    words = shlex.split(study) if isinstance(study, str) else study
    settings = words if isinstance(words, Study) else compose.from_words(list(words))
    with _jax_as_it_was():
        return run(settings, make=model, command=["python", *sys.orig_argv[1:]])


@contextmanager
def _jax_as_it_was() -> Iterator[None]:
    """A run turns 64 bits off; afterwards they are on for the caller again."""
    import jax

    before = jax.config.jax_enable_x64  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield
    finally:
        jax.config.update("jax_enable_x64", before)
