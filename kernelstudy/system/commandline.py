"""The command `kernelstudy`, and what commands that are not Hydra's read their words with."""

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import NoReturn

from kernelstudy.system.errors import InputError, listed, near_miss, printable, short
from kernelstudy.system.version import __version__

COMMANDS = {
    "run": "train, measure and report; -m runs a sweep",
    "report": "make the report of a run again, or one report over many runs",
    "compare": "hold any network's first layer against hand-crafted kernels and chance",
    "filter": "show an image under the hand-crafted kernels",
    "explain": "make a page that explains convolution and kernels, to play with",
    "prepare": "fetch and prepare a data set once; runs never download",
    "status": "show which runs are done, running, failed or missing",
}
_WIDTH = max(map(len, COMMANDS))
_HELP = f"""\
usage: kernelstudy COMMAND [WORD ...]

Do the kernels a CNN learns look like the ones people designed by hand?

{chr(10).join(f"  {name:{_WIDTH}}  {what}" for name, what in COMMANDS.items())}

'kernelstudy COMMAND --help' shows what a command takes, 'kernelstudy --version' the version.
'kernelstudy COMMAND' and 'python -m kernelstudy.COMMAND' are the same."""


class Parser(argparse.ArgumentParser):
    """Raises InputError where argparse would print its usage and end the process."""

    def error(self, message: str) -> NoReturn:
        raise InputError(message)


def output_file(out: Path, endings: Sequence[str], image: Path | None = None) -> Path:
    """`out`, if a file of one of the `endings` can be written there; InputError if not, or if it is `image`."""
    if out.suffix.lower() not in endings:
        raise InputError(f"--out must end in {listed(endings)}, not {out.name!r}")
    try:
        if out.is_dir():
            raise InputError(f"--out {out} is a directory: name a file")
        if image is not None and out.exists() and out.samefile(image):
            raise InputError(f"--out {out} would overwrite the image itself: name another file")
        out.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=out.parent):
            return out
    except OSError as error:
        raise InputError(f"--out {out} cannot be written: {error.strerror}") from error


def to_the_end(command: Callable[[], int | None]) -> int:
    """A command's exit status; 130 where it was interrupted, 141 without a word where the reader of its output
    has left (`| head`)."""
    try:
        try:
            return command() or 0
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes once more when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:  # `run` and `prepare` tell of their own
        print("kernelstudy: interrupted", file=sys.stderr)
        return 130


def main() -> int:
    """`kernelstudy COMMAND ...` is `python -m kernelstudy.COMMAND ...`, exit status included.

    Commands are imported by name and only when they are called: nothing in the package imports one.
    """
    return to_the_end(_main)


def _main() -> int:
    name, *words = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help"):
        print(_HELP)
        return 0
    if name == "--version":
        print(f"kernelstudy {__version__}")
        return 0
    if name not in COMMANDS:
        setting = "=" in name or name in ("-m", "--multirun")
        hint = " (did you mean kernelstudy run?)" if setting else near_miss(name, COMMANDS)
        told = f"{printable(short(name))} is not one of {listed(COMMANDS)}{hint}"
        print(f"kernelstudy: {told}", file=sys.stderr)
        return 2
    sys.argv[1:] = words
    return importlib.import_module(f"kernelstudy.{name}").main() or 0
