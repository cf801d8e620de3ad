"""Checkpoints of a training: Orbax keeps the networks, `journal` what they have logged.

What makes the rest of a training is the networks (parameters, the optimiser's memory), the number of steps
done, and what was logged. Its random numbers are functions of seed and step, so that the position in the
order of examples, in augmentation and in every other stream is the number of steps.
"""

import hashlib
import logging
import math
import shutil
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from traceback import walk_tb
from typing import Any, NamedTuple

import numpy as np

from kernelstudy.system import files
from kernelstudy.system.errors import RunError, first_line
from kernelstudy.training.journal import Journal, drop_pieces, read_pieces, write_piece

KEPT = 2
# Checkpoints take this part of the time at most, and lie so far apart that stopping loses little of it.
COST, LOSS = 1 / 20, 1 / 500


class Position(NamedTuple):
    """Where a training is: groups of seeds are trained one after another."""

    groups: list[list[int]]
    group: int
    step: int  # steps done of that group
    seconds: float  # that its training has taken


class Saved(NamedTuple):
    """A checkpoint, read back."""

    position: Position
    leaves: list[np.ndarray]  # of the group's `State`, each (networks, ...)
    journals: list[Journal]  # of the groups up to this one


def claim(folder: Path, generation: str) -> Path:
    """Where the holder of a run keeps its checkpoints: in `folder`, under a name that is its own alone.

    What the holder before it has left becomes this one's by one rename, after which that one, should it wake,
    no longer reaches it by its path; what it writes from then on bears a lower number, and nobody reads it.
    One that wakes just before this finds here that it holds the run no longer.
    """
    own = folder / generation
    while True:
        files.check_guards(folder)
        former = sorted(folder.iterdir()) if folder.is_dir() else []
        unnamed = [path for path in former if not files.is_numbered(path.name)]
        earlier = [path for path in former if path not in unnamed and path.name < generation]
        try:
            if earlier:
                earlier[-1].rename(own)
                for path in earlier[:-1]:
                    shutil.rmtree(path, ignore_errors=True)
            elif unnamed:  # of a version that had no holders' names
                own.mkdir(exist_ok=True)
                for path in unnamed:
                    path.rename(own / path.name)
        except FileNotFoundError:  # another took it: a holder that woke just now, or the next
            continue
        break
    return own


class Store:
    """The checkpoints of one run, in `folder`; one process writes them.

    Args:
        seconds: how far apart they are at least; 0: after every dispatch.
        versions: of what the bits rest on; a checkpoint of others is refused unless `allow_stale`.
        tell: is told of checkpoints that cannot be read.
        run: names what they are of; one of another run is refused.
        check: called before anything is written; what it raises keeps it out.
    """

    def __init__(
        self,
        folder: Path,
        *,
        seconds: float,
        versions: dict[str, Any],
        allow_stale: bool = False,
        tell: Callable[[str], None] = print,
        run: str = "",
        check: Callable[[], None] = lambda: None,
    ):
        self.folder, self.seconds = folder.absolute(), seconds
        self.versions, self.allow_stale, self.tell = versions, allow_stale, tell
        self.run, self.check = run, check
        self._began = self._last = math.nan  # when training was under way; nothing is lost before
        self._cost = 0.0
        self._kept = {}  # group -> (steps, log points) that are in pieces already
        self._opened: Any = None

    def due(self) -> bool:
        """Whether it is time for the next one; the clock starts when this is first asked."""
        now = time.monotonic()
        if math.isnan(self._began):
            self._began = self._last = now
        apart = max(self._cost / COST, (now - self._began) * LOSS) if self.seconds else 0
        return now - self._last >= max(self.seconds, apart)

    def save(
        self, position: Position, leaves: Sequence[np.ndarray], journals: list[Journal]
    ) -> None:
        """Write a checkpoint; returns while the networks are still being written.

        Raises:
            OSError: this one or the one before it cannot be written.
        """
        self.check()
        began = time.monotonic()
        with files.changing(self.folder):  # of a holder that wakes just now it may vanish meanwhile
            self.folder.mkdir(parents=True, exist_ok=True)
        for group, journal in enumerate(journals):
            steps, points = self._kept.get(group, (0, 0))
            if len(journal.records) > points or len(journal.losses) > steps:
                write_piece(self.folder, group, steps, journal.since(steps, points))
                self._kept[group] = len(journal.losses), len(journal.records)
        facts = {
            **position._asdict(),
            "run": self.run,
            "versions": self.versions,
            "sha256": _digest(leaves),
        }
        ocp = _orbax()
        content = ocp.args.Composite(
            state=ocp.args.StandardSave(_named(leaves)), facts=ocp.args.JsonSave(facts)
        )
        number = _number(position)
        self.check()
        self._attempt(lambda: self._manager.save(number, args=content, force=True))
        self._last = time.monotonic()
        self._cost = self._last - began  # at least; `_finished` adds what is written meanwhile
        self._writing = began

    def restore(self, abstract: Sequence[Any], *, arms: int, seeds: Sequence[int]) -> Saved | None:
        """The newest checkpoint that is whole; what lies beyond it is deleted.

        Args:
            abstract: shape and type of the leaves of one network.
            arms, seeds: what the networks are of.

        Raises:
            RunError: it is of another run or of other versions.
        """
        if not self.folder.is_dir():
            return None
        try:
            numbers = sorted(self._manager.all_steps(), reverse=True)
        except Exception as error:  # as below
            self.tell(f"{self.folder} cannot be read ({first_line(error)[:200]}); starting again")
            shutil.rmtree(self.folder)
            return None
        for number in numbers:
            try:
                found = self._read(number, abstract, arms, seeds)
            except _ForeignError as error:
                raise RunError(str(error)) from error
            except Exception as error:  # anything can be wrong with it, anywhere in Orbax
                why = first_line(error)[:200]
                self.tell(f"{self.folder / str(number)} is damaged ({why}); going back further")
                self._manager.close()
                shutil.rmtree(self.folder / str(number))
                self._opened = None
                continue
            drop_pieces(self.folder, found.position.group, found.position.step)
            self._kept = {
                group: (len(journal.losses), len(journal.records))
                for group, journal in enumerate(found.journals)
            }
            return found
        if numbers:
            self.tell(f"{self.folder} holds no checkpoint that is whole; starting again")
        drop_pieces(self.folder, -1, 0)
        return None

    def close(self) -> None:
        """Wait until all is written."""
        if self._opened is not None:
            self._attempt(self._opened.wait_until_finished)
            self._opened.close()
            self._opened = None

    def abandon(self) -> None:
        """Clear away what is written here though `claim` has given all there was to another holder."""
        if self._opened is not None:
            # Each, whatever the other finds: what still writes makes the folder again.
            for end in (self._opened.wait_until_finished, self._opened.close):
                with suppress(Exception):
                    end()
            self._opened = None
        shutil.rmtree(self.folder, ignore_errors=True)
        with suppress(OSError):
            self.folder.parent.rmdir()

    def _read(self, number: int, abstract: Sequence[Any], arms: int, seeds: Sequence[int]) -> Saved:
        ocp = _orbax()
        facts = self._manager.restore(number, args=ocp.args.Composite(facts=ocp.args.JsonRestore()))
        facts = facts.facts
        if facts.get("run", self.run) != self.run:
            raise _ForeignError(
                f"{self.folder / str(number)} is a checkpoint of the run {str(facts['run'])[:80]}, not of this "
                "one: delete it to start again"
            )
        if facts["versions"] != self.versions and not self.allow_stale:
            differing = {
                name: f"{name} {facts['versions'].get(name)}, now {now}"
                for name, now in self.versions.items()
                if facts["versions"].get(name) != now
            }
            alone = next(iter(differing)) if len(differing) == 1 else ""
            others = _OTHERS.get(alone, "by other versions")
            raise _ForeignError(
                f"{self.folder.parent} was begun {others} ({', '.join(differing.values())}): "
                "allow_stale=true goes on with it all the same, or delete it to start again"
            )
        position = Position(*(facts[name] for name in Position._fields))
        if [seed for group in position.groups for seed in group] != list(seeds):
            raise ValueError("it is of other seeds")
        import jax

        count = arms * len(position.groups[position.group])
        wanted = [jax.ShapeDtypeStruct((count, *leaf.shape), leaf.dtype) for leaf in abstract]
        args = ocp.args.Composite(state=ocp.args.StandardRestore(_named(wanted)))
        state = self._manager.restore(number, args=args).state
        leaves = [np.asarray(state[name]) for name in _named(wanted)]
        if _digest(leaves) != facts["sha256"]:
            raise ValueError("its checksum differs")
        journals = read_pieces(self.folder, position.group, position.step)
        return Saved(position, leaves, journals)

    @property
    def _manager(self) -> Any:
        if self._opened is None:
            ocp = _orbax()
            here = _process()
            threading.excepthook = _once
            _ignore_late_writes()
            self._opened = ocp.CheckpointManager(
                self.folder,
                options=ocp.CheckpointManagerOptions(
                    max_to_keep=KEPT,
                    create=False,
                    cleanup_tmp_directories=True,
                    async_options=ocp.AsyncOptions(post_finalization_callback=self._finished),
                    # Of several processes this one alone writes.
                    multiprocessing_options=ocp.options.MultiprocessingOptions(
                        primary_host=here,
                        active_processes={here},
                        barrier_sync_key_prefix="kernelstudy",
                    ),
                ),
            )
        return self._opened

    def _finished(self) -> None:
        self._cost = max(self._cost, time.monotonic() - self._writing)

    def _attempt(self, write: Callable[[], Any]) -> None:
        """Do it; what Orbax says of a full disk in words becomes the error that it is."""
        try:
            write()
        except Exception as error:
            self.check()  # whose folder was taken away finds no file there
            if isinstance(error, OSError):
                raise
            for number, words in _SYSTEM_ERRORS:
                if words in str(error):
                    raise OSError(number, words, str(self.folder)) from error
            raise


# What a run rests on besides versions: files of the user's, whose contents are not in its id.
_OTHERS = {
    "images": "on other images",
    "kernels": "from other kernels",
    "network": "with another network",
}


class _ForeignError(Exception):
    """It is whole, and not to be gone on from."""


_SYSTEM_ERRORS = (
    (28, "No space left on device"),
    (30, "Read-only file system"),
    (13, "Permission denied"),
    (122, "Disk quota exceeded"),
)


def _once(told: threading.ExceptHookArgs) -> None:
    """What ends a thread of Orbax's is raised again where it is waited for, and told there."""
    frames = (frame.f_globals.get("__name__", "") for frame, _ in walk_tb(told.exc_traceback))
    if not any(name.startswith("orbax.") for name in frames):
        threading.__excepthook__(told)


def _ignore_late_writes() -> None:
    hook = sys.unraisablehook
    if not (isinstance(hook, partial) and hook.func is _not_of_a_late_write):  # once is enough
        sys.unraisablehook = partial(_not_of_a_late_write, then=hook)


def _not_of_a_late_write(
    told: "sys.UnraisableHookArgs", then: Callable[["sys.UnraisableHookArgs"], Any]
) -> None:
    """Tell an error that cannot be raised, by `then`, unless it is of TensorStore's, which has no object.

    Where one file of a checkpoint cannot be written, Orbax closes its event loop, and TensorStore finds it
    closed when it has written the next. What failed first is raised where the checkpoint is waited for.
    """
    late = isinstance(told.exc_value, RuntimeError) and str(told.exc_value) == _CLOSED
    if not (late and told.object is None):
        then(told)


_CLOSED = "Event loop is closed"  # asyncio's words


def _orbax() -> Any:
    import orbax.checkpoint  # takes 0.3 s, and short trainings end without a checkpoint

    logging.getLogger("absl").setLevel(logging.CRITICAL)  # what is wrong is raised, and told by us
    return orbax.checkpoint


def _process() -> int:
    import jax

    return jax.process_index()


def _number(position: Position) -> int:
    """Orbax's number of a checkpoint, which grows: the steps, counted on from group to group."""
    return position.group * 2**31 + position.step


def _named(leaves: Sequence[Any]) -> dict[str, Any]:
    return {f"{index:04d}": leaf for index, leaf in enumerate(leaves)}


def _digest(leaves: Sequence[np.ndarray]) -> str:
    digest = hashlib.sha256()
    for leaf in leaves:
        digest.update(f"{leaf.dtype}{leaf.shape}".encode())
        digest.update(np.ascontiguousarray(leaf).data)
    return digest.hexdigest()
