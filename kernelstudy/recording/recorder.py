"""`Recorder`: the first layer of somebody's own training, logged while their loop runs."""

from __future__ import annotations

import operator
import re
import shlex
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kernelstudy import runs
from kernelstudy.comparison.patches import patch_axes
from kernelstudy.recording import joined, points
from kernelstudy.recording.kernels import Source, find_source
from kernelstudy.recording.points import Point
from kernelstudy.runs import lock
from kernelstudy.system.errors import InputError, short

GROWTH = 1.25  # from one log step to the next
_NAME = re.compile(r'[^./\\"<>][^/\\"<>]*')


class _Seen(NamedTuple):
    """The last call: what holds the kernels, not yet read."""

    step: int
    picked: Any
    accuracy: Any
    loss: Any


class Recorder:
    """Log a network's first layer while it trains, in any framework, for the same report as a run's.

        log = kernelstudy.Recorder("runs/mine", arm="adamw", seed=0, images=x_train)
        for step, batch in enumerate(loader):
            log(step, model, accuracy=acc, loss=loss)
            ...
        log.close()
        kernelstudy.report("runs/mine")

    The first step that is logged is the start that later kernels are held against: call before the
    update, or once before training. Each log point is a whole file in `place/arm/seed`: whatever ends
    the process, all that was logged can be reported. `close`, or the end of a `with` block, logs the last
    step seen, and makes the directory that of a finished run.
    """

    def __init__(
        self,
        place: str | Path,
        *,
        arm: str = "trained",
        seed: int = 0,
        images: Any = None,
        layer: str | None = None,
        layout: str = "auto",
        every: int | str = "log",
        resume: bool = False,
        to: str | None = None,
    ):
        """
        Args:
            place: the directory of this and other networks that are to be reported together.
            arm: what sets this network apart from those trained otherwise; a name of your own.
            seed: what sets it apart from those trained alike.
            images: (N, H, W[, C]), a directory of images or a data set's name: what the network is
                trained on, for null model N3 and the images' own a.
            layer: its name; without one, the first convolution that sees the image.
            layout: order of an array's axes, 'hwio', 'oihw' or 'ohwi', where it cannot be known.
            every: steps from one log point to the next, or 'log': each a quarter further on than the
                one before, some ten for every tenfold of steps.
            resume: go on with what an earlier process has logged there.
            to: 'tensorboard' writes event files beside the log points, 'wandb' logs to W&B's current run:
                the kernels, their sectors, accuracy and loss.

        Raises:
            InputError: the arguments cannot be used, or something was recorded there before.
            HeldError: another process is recording there.
        """
        if not _NAME.fullmatch(arm) or not arm.isprintable() or len(arm.encode()) > 200:
            raise InputError(f"arm: {short(arm)} must be usable as the name of a directory")
        seed = operator.index(seed)
        if not 0 <= seed < 2**31:
            raise InputError(f"seed: {seed} must be a whole number from 0 to {2**31 - 1:,}")
        if every != "log" and (isinstance(every, str) or not 0 < operator.index(every) < 2**31):
            raise InputError(
                f"every: {short(every)} is neither 'log' nor a number of steps from 1 on"
            )
        if to not in (None, "tensorboard", "wandb"):
            raise InputError(f"to: {short(to)} is neither 'tensorboard' nor 'wandb'")
        self.folder = Path(place) / arm / str(seed)
        self._arm, self._seed, self._name = arm, seed, Path(place).absolute().name
        self._layer, self._layout, self._every, self._images = layer, layout, every, images
        self._source: Source | None = None
        self._seen: _Seen | None = None
        self._lock = threading.RLock()  # JAX calls back from a thread of its own
        self._next = 0
        self._began = time.perf_counter()
        hold = ExitStack()
        hold.enter_context(lock.held(self.folder))
        try:
            self._logged = self._steps_before(resume)
        except BaseException:
            hold.close()
            raise
        # a process that ends without `close` leaves its log points, and frees the directory
        self._dashboard = self._dashboard_of(to, hold)
        self._release = weakref.finalize(self, hold.close)
        if self._logged:
            self._next = self._after(self._logged[-1])

    def _dashboard_of(self, to: str | None, hold: ExitStack) -> Callable[[dict, np.ndarray], None]:
        """What is called with every log point."""
        from kernelstudy.reporting import tensorboard

        if to is None:
            return lambda record, kernels: None
        try:
            if to == "tensorboard":
                return hold.enter_context(tensorboard.tensorboard(self.folder, [self._arm]))
            return hold.enter_context(tensorboard.weights_and_biases([self._arm]))
        except ImportError as error:
            hold.close()
            raise InputError(
                f"to: {to} needs the package {error.name}, which is not installed"
            ) from error

    def _steps_before(self, resume: bool) -> list[int]:
        """The steps that an earlier process has logged."""
        began = points.is_recording(self.folder)
        if not resume:
            if began or runs.is_done(self.folder) or (self.folder / runs.CONFIG).exists():
                raise InputError(
                    f"{self.folder} holds a recording: resume=True goes on with it, another seed or arm "
                    "lies beside it"
                )
            return []
        if not began and runs.is_done(self.folder):
            raise InputError(
                f"{self.folder} holds a run that was not recorded: nothing goes on there"
            )
        joined.reopen(self.folder)
        return points.steps(self.folder)

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def last_step(self) -> int | None:
        """The last step that was logged, by an earlier process too; None before the first."""
        return self._logged[-1] if self._logged else None

    def is_due(self, step: int) -> bool:
        """Whether a call at this step would log it."""
        return step >= self._next

    def __call__(
        self, step: int, model: Any, *, accuracy: Any = None, loss: Any = None, now: bool = False
    ) -> bool:
        """See the network at a step, and log it if it is time to.

        Args:
            step: of training, not below that of the call before.
            model: a torch, Keras, Flax nnx or Equinox module, a tree or state dict of parameters, or the
                kernels themselves.
            accuracy: on test images, from 0 to 1, where it is known.
            loss: of training, where it is known; as `accuracy`, it is only looked at when it is logged.
            now: whether to log this step in any case.

        Returns:
            Whether it was logged.

        Raises:
            InputError: the step goes back, the network has no first layer that can be followed, or
                that layer has changed its shape. What was logged before stays.
        """
        with self._lock:
            self._check_open()
            step = operator.index(step)
            last = self._seen.step if self._seen else self._logged[-1] if self._logged else -1
            if step < max(last, 0):
                raise InputError(
                    f"step {step:,} comes after step {max(last, 0):,}: steps must not go back"
                )
            if self._source is None:
                self._begin(model)
            assert self._source is not None
            try:
                picked = self._source.pick(model)
            except (KeyError, IndexError, AttributeError, StopIteration) as error:
                raise InputError(
                    f"this {type(model).__name__} has no {self._source.layer.name}, which was followed so far"
                ) from error
            self._seen = _Seen(step, picked, accuracy, loss)
            again = bool(self._logged) and step == self._logged[-1]
            if not (now or (self.is_due(step) and not again)):
                return False
            try:
                return self._write()
            except InputError:
                self._seen = None  # `close` has nothing of it to log
                raise

    def traced(self, step: Any, params: Any, *, accuracy: Any = None, loss: Any = None) -> None:
        """As a call, within a function that `jax.jit` compiles: arrays alone, which come when they are there.

        The kernels are handed on at every step, and logged when it is time to; `close` waits for them.
        """
        import jax

        with self._lock:
            self._check_open()
            if self._source is None:
                self._begin(params, values=False)
            assert self._source is not None
            picked = self._source.pick(params)
        numbers = [np.nan if number is None else number for number in (accuracy, loss)]
        jax.debug.callback(self._receive, step, picked, *numbers)

    def _receive(self, step: Any, kernel: Any, accuracy: Any, loss: Any) -> None:
        with self._lock:
            step = int(step)
            last = self._seen.step if self._seen else self._logged[-1] if self._logged else -1
            if step <= last or not self._release.alive:  # devices may each call, and in any order
                return
            self._seen = _Seen(step, np.asarray(kernel), accuracy, loss)
            if self.is_due(step):
                self._write()

    def close(self) -> None:
        """Log the last step seen, and make the directory that of a finished run; a second call does nothing."""
        if "jax" in sys.modules:
            with suppress(Exception):
                sys.modules["jax"].effects_barrier()
        with self._lock:
            if not self._release.alive:
                return
            try:
                if self._seen is not None and self._seen.step not in self._logged:
                    # JAX may have given the arrays' memory to the next step's
                    with suppress(RuntimeError, InputError):
                        self._write()
                if len(self._logged) > 1:  # of one step there is nothing to tell
                    joined.finish(self.folder)
            finally:
                self._release()

    def _check_open(self) -> None:
        if not self._release.alive:
            raise InputError(f"the recording in {self.folder} is closed")

    def _begin(self, model: Any, *, values: bool = True) -> None:
        """Find the layer, say which it is, and write down what is known before the first log point."""
        source = find_source(model, self._layer, self._layout, values=values)
        kh, *_ = source.layer.shape_hwio() or (1,)
        told = "no images"
        if self._images is not None:
            images = self._images
            if hasattr(images, "detach"):  # torch's images have their channels first
                images = (
                    np.moveaxis(images.detach().cpu().numpy(), 1, -1)
                    if images.ndim == 4
                    else images
                )
            eigenvalues, basis, told = patch_axes(images, kh)
            points.write_patches(self.folder, eigenvalues, basis)
            self._images = None
        about = {
            "name": self._name,
            "arm": self._arm,
            "seed": self._seed,
            "layer": source.layer.describe(),
            "why": source.why,
            "form": source.form,
            "stride": (source.layer.stride or (1, 1))[0],
            "images": told,
            "command": shlex.join(["python", *sys.orig_argv[1:]]),
        }
        if points.is_recording(self.folder):
            before = points.read_about(self.folder)["layer"]
            if before != about["layer"]:
                raise InputError(
                    f"{self.folder} holds a recording of {before}, not of {about['layer']}"
                )
        points.write_about(self.folder, about)
        print(
            f"kernelstudy: recording {source.layer.describe()} ({source.why}) in {self.folder}",
            file=sys.stderr,
        )
        self._source = source

    def _write(self) -> bool:
        """Log what was last seen; where the disk does not take it, warn, and try again at the next step."""
        assert self._seen is not None
        assert self._source is not None
        step, picked, accuracy, loss = self._seen
        point = Point(step, self._source.kernels(picked), _number(accuracy), _number(loss))
        try:
            points.write_point(self.folder, point)
            scalars = {"test_accuracy": point.accuracy, "train_loss": point.loss}
            record = {name: {self._arm: [v]} for name, v in scalars.items() if v == v}
            self._dashboard({"step": step, **record}, point.kernel[None, None])
        except OSError as error:
            told = f"step {step:,} was not logged: {error.strerror or error}: {self.folder}"
            warnings.warn(f"kernelstudy: {told}; what was logged before stays", stacklevel=3)
            return False
        if step not in self._logged:
            self._logged.append(step)
        self._next = self._after(step)
        return True

    def _after(self, step: int) -> int:
        if isinstance(self._every, int):
            return step + self._every
        return max(step + 1, round(step * GROWTH))


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)
