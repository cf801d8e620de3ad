"""python -m kernelstudy.prepare NAME [--from DIR]: fetch and prepare a data set once; runs never download."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from kernelstudy.data import DataError, data_dir
from kernelstudy.data.checks import check_data
from kernelstudy.data.decoded import SizesDifferError
from kernelstudy.data.images import load
from kernelstudy.data.options import Data
from kernelstudy.data.registry import OWN, SETS, TFDS
from kernelstudy.data.store import obtain
from kernelstudy.system.commandline import Parser, tell, to_the_end
from kernelstudy.system.errors import ConfigError, InputError, near_miss
from kernelstudy.system.progress import console, is_lively, telling


def main(words: list[str] | None = None) -> int:
    """Run the command; exit status 0 prepared, 1 out of memory or the like, 2 wrong input, 130 interrupted."""
    own = ", ".join(name for name in SETS if name not in (TFDS, *OWN))
    parser = Parser(prog="python -m kernelstudy.prepare", description=__doc__)
    parser.add_argument("name", metavar="NAME", help=f"{own}, or any set of TFDS, such as cifar10")
    parser.add_argument(
        "--from",
        dest="source",
        metavar="DIR",
        help="take the files of mnist or fashion_mnist from a directory, or from a mirror's address",
    )
    try:
        options = parser.parse_args(words)
        for data in _data_sets(options.name, options.source):
            prepare(data, options.source)
    except (InputError, DataError, ConfigError) as error:
        return tell(str(error), 2)
    except OSError as error:  # a full disk, a directory that cannot be written
        return tell(f"{error.filename}: {error.strerror or error}", 1)
    except KeyboardInterrupt:
        return tell("interrupted; the same command starts again", 130)
    return 0


def prepare(data: Data, source: str | None = None) -> None:
    """Prepare one set, from `source` if given, and print what it is."""
    with _progress() as progress:
        try:
            obtain(data, prepare=True, source=source, progress=progress)
        except SizesDifferError as error:
            print(f"prepared: {data.dataset} in {data_dir()}; to read it: {error}", flush=True)
            return
    print(f"prepared: {load(data).describe()} in {data_dir()}", flush=True)


def _data_sets(name: str, source: str | None) -> list[Data]:
    """The sets that a name stands for."""
    if name == TFDS:
        raise ConfigError(
            "NAME: tfds stands for any set of TFDS; name the set itself, such as cifar10"
        )
    if name in OWN:
        raise ConfigError(
            f"NAME: {name} needs no preparing: run with data={name} data.path=PATH decodes what is there"
        )
    if source is not None and (name not in SETS or not SETS[name].files):
        takers = [known for known, entry in SETS.items() if entry.files]
        raise ConfigError(
            f"--from: {name} takes no files from a directory, only {' and '.join(takers)} do"
        )
    if name in SETS:
        return [Data(name=name, colour=colour) for colour in SETS[name].colours]
    data = Data(name=TFDS, dataset=name)
    check_data(data)
    if hint := near_miss(name, SETS):
        raise ConfigError(f"NAME: {name!r} is not one of {', '.join(SETS)}{hint}")
    return [data]


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """A callback (what, done, total) that draws bars on a terminal and elsewhere says what begins."""
    shown_on, latest = console(), ["starting"]
    lively = is_lively(shown_on)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    dull = nullcontext() if lively else telling(lambda: latest[0])
    with Progress(*columns, console=shown_on, disable=not lively) as bars, dull:
        tasks, out = {}, sys.stdout  # TFDS' own is kept silent

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total or None)
                if not lively:
                    print(what, file=out, flush=True)
            latest[0] = f"{what}: {done:,} of {total:,}" if total else what
            bars.update(tasks[what], completed=done, total=total or None)

        yield show


if __name__ == "__main__":
    sys.exit(to_the_end(main))
