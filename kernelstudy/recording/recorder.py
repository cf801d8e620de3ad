"""`Recorder`: the first layer of somebody's own training, logged while their loop runs."""

from __future__ import annotations

import shlex
import sys
import threading
import warnings
import weakref
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kernelstudy import runs
from kernelstudy.comparison.patches import patch_axes
from kernelstudy.recording import arguments, joined, points, responses
from kernelstudy.recording.forward import forward_of
from kernelstudy.recording.kernels import Source, find_source
from kernelstudy.recording.points import Point
from kernelstudy.recording.responses import Watch
from kernelstudy.runs import lock
from kernelstudy.system.errors import InputError, first_line, short

GROWTH = 1.25  # from one log step to the next
_SLACK = 1e-6  # by which rounding may take an accuracy out of its range


class _Seen(NamedTuple):
    """The last call: a copy of the kernels, still where the model is; accuracy and loss, not yet looked at."""

    step: int
    kernels: Any
    accuracy: Any
    loss: Any


class Recorder:
    """Log a network's first layer while it trains, in any framework, for the same report as a run's::

        log = kernelstudy.Recorder("runs/mine", arm="adamw", seed=0, images=x_train)
        for step, batch in enumerate(loader):
            log(step, model, accuracy=acc, loss=loss)
            ...
        log.close()
        kernelstudy.report("runs/mine")

    The first step that is logged is the start that later kernels are held against: call before the
    update, or once before training. Each log point is a whole file in `place/arm/seed`: whatever ends
    the process, all that was logged can be reported. `close`, or the end of a `with` block, logs the last
    step seen, as it was then, and makes the directory that of a finished run; feature maps (`probes`) of that
    step are those of the model as `close` finds it.

    A training that runs is not ended by what a disk, a dashboard or a lost lock does to its recording: that
    is a warning. Wrong arguments are errors.
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
        probes: Any = None,
        probe_labels: Any = None,
        forward: Any = None,
        probe_mib: float = 256,
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
            resume: go on with what an earlier process has logged there; what it logged beyond the first
                step seen now belongs to a training that was lost, and is deleted.
            to: 'tensorboard' writes event files beside the log points, 'wandb' logs to W&B's current run:
                the kernels, their sectors, accuracy and loss.
            probes: two images or more, as the model takes them, (n, C, H, W) in PyTorch and Equinox, else
                (n, H, W, C). At every log point they and 370 synthetic stimuli pass through the network, in
                evaluation mode: the report then shows the feature maps of five convolutions, the first to
                the last, and what their channels come to detect. At most 256 are used, of which the maps
                of the first 8 are kept.
            probe_labels: their classes (n,), for class selectivity and linear probes.
            forward: what runs a tree of parameters: the Flax Linen module, or a function of model and
                images that returns maps (n, h, w, channels) by name.
            probe_mib: how much disk what is watched may take; beyond it, every second log point keeps
                its kernels alone.

        Raises:
            InputError: the arguments cannot be used, or something was recorded there before.
            HeldError: another process is recording there.
        """
        seed, self._every = (
            arguments.whole_number("seed", seed),
            every if every == "log" else arguments.whole_number("every", every),
        )
        arguments.check(arm, seed, layout, self._every, to)
        arguments.check_probes(probes, probe_labels, forward, probe_mib)
        # absolute, for the loop may change its directory
        self._place = Path(place).expanduser().absolute()
        self.folder = self._place / arm / str(seed)
        self._arm, self._seed, self._to = arm, seed, to
        self._layer, self._layout, self._images, self._resumed = layer, layout, images, resume
        self._probes, self._probe_labels, self._forward = probes, probe_labels, forward
        self._probe_bytes = probe_mib * 2**20
        self._source: Source | None = None
        self._watch: Watch | None = None
        self._model: Any = None  # the last one seen, where its layers are watched
        self._seen: _Seen | None = None
        self._written: _Seen | None = None
        self._warned: set[str] = set()
        self._lock = threading.RLock()  # JAX calls back from a thread of its own
        hold = ExitStack()
        try:
            hold.enter_context(lock.held(self.folder))
            self._logged = self._steps_before(resume)
            self._dashboard = self._dashboard_of(to, hold)
        except NotADirectoryError as error:
            raise InputError(f"{error.filename or self.folder} is not a directory") from error
        except BaseException:
            hold.close()
            raise
        # a process that ends without `close` leaves its log points, and frees the directory
        self._release = weakref.finalize(self, hold.close)
        self._next = self._after(self._logged[-1]) if self._logged else 0

    def _dashboard_of(self, to: str | None, hold: ExitStack) -> Callable[[dict, np.ndarray], None]:
        """What is called with every log point."""
        if to is None:
            return lambda record, kernels: None
        from kernelstudy.reporting import tensorboard

        try:
            if to == "tensorboard":
                return hold.enter_context(tensorboard.tensorboard(self.folder, [self._arm]))
            return hold.enter_context(tensorboard.weights_and_biases([self._arm]))
        except ImportError as error:
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
        runs.renew_metrics(self.folder)
        return points.steps(self.folder)

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        try:
            self.close()
        except Exception as own:  # the loop's own error is the one to be told
            if error is None:
                raise
            error.add_note(f"kernelstudy: {own}")

    @property
    def closed(self) -> bool:
        return not self._release.alive

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
        step = arguments.whole_number("step", step)
        with self._lock:
            if self.closed:
                raise InputError(f"the recording in {self.folder} is closed")
            try:
                self._begin_at(step)
                if self._source is None:
                    self._begin(model)
            except (OSError, lock.LostError) as error:
                told = getattr(error, "strerror", None) or error
                self._warn(f"step {step:,} was not logged: {told}", once="begin")
                return False
            assert self._source is not None
            try:
                kernels = self._source.snapshot(self._source.pick(model))
            except (KeyError, IndexError, AttributeError, StopIteration) as error:
                raise InputError(
                    f"this {type(model).__name__} has no {self._source.layer.name}, which was followed so far"
                ) from error
            seen = self._see(_Seen(step, kernels, accuracy, loss))
            self._model = None if self._watch is None else model
            again = bool(self._logged) and step == self._logged[-1]
            if not (now or (self.is_due(step) and not again)):
                return False
        logged = self._log(seen)
        if logged:
            self._log_responses(step, model)
        return logged

    def traced(self, step: Any, params: Any, *, accuracy: Any = None, loss: Any = None) -> None:
        """As a call, within a function that `jax.jit` compiles: arrays alone, which come when they are there.

        The kernels are handed on at every step, and logged when it is time to; `close` waits for them. Of one
        network: not within `jax.vmap`; and a function compiled for one Recorder goes on calling that one, so
        compile anew for the next.
        """
        import jax

        if self._probes is not None or self._watch is not None:
            raise InputError("probes: need a call outside of compiled functions, not `traced`")
        with self._lock:
            if self.closed:
                raise InputError(f"the recording in {self.folder} is closed")
            if self._source is None:
                self._begin(params, values=False)
            assert self._source is not None
            picked = self._source.pick(params)
        numbers = [np.nan if number is None else number for number in (accuracy, loss)]
        jax.debug.callback(self._receive, step, picked, *numbers)

    def _receive(self, step: Any, kernel: Any, accuracy: Any, loss: Any) -> None:
        # Whatever waits for a device does so outside of the lock, for which the loop may be waiting.
        step, kernel = int(step), np.array(kernel)
        with self._lock:
            if self.closed:
                self._warn(
                    "a compiled function still calls this closed recorder: compile it anew",
                    once="traced",
                )
                return
            if self._seen is None:
                with suppress(InputError):
                    self._begin_at(step)
            if step <= self._last():  # devices may each call, and in any order
                return
            seen = self._see(_Seen(step, kernel, accuracy, loss))
            if not self.is_due(step):
                return
        self._log(seen)

    def close(self) -> None:
        """Log the last step seen, and make the directory that of a finished run; a second call does nothing."""
        if "jax" in sys.modules:
            with suppress(Exception):
                sys.modules["jax"].effects_barrier()
        with self._lock:
            if self.closed:
                return
            seen = None if self._seen is self._written else self._seen
        try:
            if seen is not None:
                try:
                    if self._log(seen):
                        self._log_responses(seen.step, self._model)
                except Exception as error:
                    self._warn(f"the last step was not logged: {first_line(error)}")
            if len(self._logged) > 1:
                try:
                    joined.finish(self.folder)
                except (OSError, lock.LostError) as error:
                    told = getattr(error, "strerror", None) or error
                    self._warn(f"not finished: {told}; what was logged can be reported")
            else:
                self._warn(
                    f"closed with {len(self._logged)} logged steps: of fewer than two there is no report"
                )
        finally:
            self._release()
            self._seen = self._written = self._source = self._images = None
            self._watch = self._model = self._probes = None

    def _last(self) -> int:
        """The last step that was seen or logged; -1 before the first."""
        return self._seen.step if self._seen else self._logged[-1] if self._logged else -1

    def _begin_at(self, step: int) -> None:
        """Check that steps do not go back, but when a training goes on at an earlier checkpoint."""
        if step < 0:
            raise InputError(f"step: {step} must not be negative")
        if self._resumed and self._seen is None and self._logged and step < self._logged[-1]:
            lost = [one for one in self._logged if one > step]
            points.discard(self.folder, lost)
            self._logged = [one for one in self._logged if one <= step]
            self._next = self._after(self._logged[-1]) if self._logged else 0
            print(
                f"kernelstudy: goes on at step {step:,}: {len(lost)} log points beyond it, to step "
                f"{lost[-1]:,}, were of a training that was lost",
                file=sys.stderr,
            )
        if step < self._last():
            raise InputError(
                f"step {step:,} comes after step {self._last():,}: steps must not go back"
            )

    def _see(self, seen: _Seen) -> _Seen:
        """Remember a call; of two at one step each adds what the other does not know."""
        before = self._seen
        if before is not None and before.step == seen.step:
            accuracy = before.accuracy if seen.accuracy is None else seen.accuracy
            loss = before.loss if seen.loss is None else seen.loss
            seen = seen._replace(accuracy=accuracy, loss=loss)
        self._seen = seen
        return seen

    def _begin(self, model: Any, *, values: bool = True) -> None:
        """Find the layer, say which it is, and write down what is known before the first log point."""
        source = find_source(model, self._layer, self._layout, values=values)
        kh, *_ = source.layer.shape_hwio() or (1,)
        known = points.read_about(self.folder) if points.is_recording(self.folder) else None
        told = "no images" if known is None else known["images"]
        if self._images is not None:
            eigenvalues, basis, told = patch_axes(arguments.channels_last(self._images), kh)
            points.write_patches(self.folder, eigenvalues, basis)
            self._images = None
        about = {
            "name": self._place.name,
            "arm": self._arm,
            "seed": self._seed,
            "layer": source.layer.describe(),
            "why": source.why,
            "form": source.form,
            "stride": (source.layer.stride or (1, 1))[0],
            "images": told,
            "command": shlex.join(["python", *sys.orig_argv[1:]]),
            "watched": self._begin_to_watch(model, source.layer.name),
        }
        if known is not None and arguments.unwrapped(known["layer"]) != arguments.unwrapped(
            about["layer"]
        ):
            raise InputError(
                f"{self.folder} holds a recording of {known['layer']}, not of {about['layer']}"
            )
        if known is not None and known.get("watched") != about["watched"]:
            raise InputError(
                f"{self.folder} was begun with other probes, or none, or another network: go on with the same"
            )
        if self._watch is not None:
            subjects = responses.shown(self._watch.probes, self._watch.forward.channels_first)
            points.write_subjects(self.folder, subjects)
        points.write_about(self.folder, about)
        print(
            f"kernelstudy: recording {source.layer.describe()} ({source.why}) in {self.folder}",
            file=sys.stderr,
        )
        if self._watch is not None:
            print(f"kernelstudy: watching {self._watch.told}", file=sys.stderr)
        self._source = source

    def _begin_to_watch(self, model: Any, layer: str) -> dict[str, Any] | None:
        """Find the layers to be watched on the probes, if there are any; what is written down of them."""
        if self._probes is None:
            return None
        forward = forward_of(model, self._forward)
        probes = responses.prepare(self._probes, self._probe_labels, forward)
        self._watch = responses.begin(model, forward, probes, layer)
        return self._watch.about

    def _log_responses(self, step: int, model: Any) -> None:
        """Log what the watched layers show, within the bound on its size."""
        if self._watch is None:
            return
        try:
            points.write_responses(self.folder, step, self._watch(model))
            if points.bound_responses(self.folder, self._probe_bytes):
                told = (
                    f"what is watched takes more than probe_mib={self._probe_bytes / 2**20:g} MiB"
                )
                self._warn(f"{told}: kept at every second log point", once="bound")
        except (OSError, lock.LostError, InputError) as error:
            told = getattr(error, "strerror", None) or first_line(error)
            self._warn(f"step {step:,}: its feature maps were not logged: {told}", once="watch")

    def _log(self, seen: _Seen) -> bool:
        """Log what was seen; where the disk or another process does not let it, warn, and go on."""
        assert self._source is not None
        try:  # this waits for the device: outside of the lock
            kernel = self._source.kernels(seen.kernels)
        except InputError:
            self._seen = None  # `close` has nothing of it to log
            raise
        point = Point(
            seen.step, kernel, self._share(seen.accuracy), self._number("loss", seen.loss)
        )
        with self._lock:
            try:
                points.write_point(self.folder, point)
            except (OSError, lock.LostError) as error:
                told = getattr(error, "strerror", None) or error
                self._warn(
                    f"step {seen.step:,} was not logged: {told}; what was logged before stays"
                )
                return False
            if seen.step not in self._logged:
                self._logged.append(seen.step)
            self._written, self._next = seen, self._after(seen.step)
            scalars = {"test_accuracy": point.accuracy, "train_loss": point.loss}
            record = {name: {self._arm: [v]} for name, v in scalars.items() if np.isfinite(v)}
            try:
                self._dashboard({"step": seen.step, **record}, point.kernel[None, None])
            except Exception as error:  # whatever a service of others raises
                told = f"{self._to} did not take step {seen.step:,}: {first_line(error)}"
                self._warn(told, once="dashboard")
        return True

    def _share(self, value: Any) -> float:
        number = self._number("accuracy", value)
        if np.isnan(number):
            return number
        if not -_SLACK <= number <= 1 + _SLACK:
            self._warn(f"accuracy: {number:g} is not from 0 to 1, and left out", once="accuracy")
            return float("nan")
        return min(max(number, 0.0), 1.0)

    def _number(self, name: str, value: Any) -> float:
        try:
            value = value.detach() if hasattr(value, "detach") else value
            return float("nan") if value is None else float(value)
        except (TypeError, ValueError, RuntimeError):
            self._warn(f"{name}: {short(value)} is not one number, and left out", once=name)
            return float("nan")

    def _warn(self, message: str, *, once: str = "") -> None:
        """Warn; of what bears the same name in `once`, the first time alone."""
        if once and once in self._warned:
            return
        self._warned.add(once)
        warnings.warn(f"kernelstudy: {message}: {self.folder}", stacklevel=3)

    def _after(self, step: int) -> int:
        if isinstance(self._every, int):
            return step + self._every
        return max(step + 1, round(step * GROWTH))
