"""python -m kernelstudy.explain [IMAGE] [--run RUN[:arm]] [--out HTML]: what a convolution is, to play with.

One page that needs no network: a convolution step by step, kernels to edit on a photo, layers of several
channels, a small network's kernels as it trains, and how often chance makes a kernel look hand-crafted.
"""

import sys
from pathlib import Path
from typing import Any

from kernelstudy.system.commandline import Parser, output_file, tell, to_the_end
from kernelstudy.system.errors import InputError, printable


def main(words: list[str] | None = None) -> int:
    """Run the command; exit status 0 done, 1 a full disk, 2 wrong input."""
    try:
        options = _parser().parse_args(words)
        out = output_file(options.out, (".html", ".htm"), options.image)
        from kernelstudy.reporting import explanation

        network = _network(options.run)
        title, photo = _photo(options.image)
    except ValueError as error:
        return tell(str(error), 2)
    except OSError as error:
        return tell(f"{error.filename}: {error.strerror or error}", 2)
    try:
        explanation.write(explanation.contents(photo, title, _colour_photo(), network), out)
    except OSError as error:
        return tell(f"--out {out} cannot be written: {error.strerror or error}", 1)
    print(f"page: {printable(str(out))}")
    return 0


def _parser() -> Parser:
    parser = Parser(
        prog="python -m kernelstudy.explain",
        description="A page that explains convolution, kernels and what networks learn, to play with.",
    )
    parser.add_argument(
        "image",
        nargs="?",
        type=Path,
        help="a photo of your own; without it, one that scikit-image ships",
    )
    parser.add_argument(
        "--run",
        metavar="RUN[:arm]",
        help="whose network is shown while it trains; without it, one that comes with the package",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("explain.html"), help="default %(default)s"
    )
    return parser


def _photo(path: Path | None) -> tuple[str, Any]:
    """A title and a grey image."""
    from kernelstudy.data.image_files import read_image

    if path is not None:
        return printable(path.name), read_image(path)
    from skimage import data

    return "the cameraman of scikit-image", data.camera().astype("float32") / 255


def _colour_photo() -> Any:
    from skimage import data

    return data.astronaut().astype("float32") / 255


def _network(text: str | None) -> dict[str, Any]:
    """A network to be shown while it trains."""
    from kernelstudy.reporting import explanation

    if text is None:
        return explanation.small_network()
    from kernelstudy.comparison import run_directory
    from kernelstudy.config.arm_words import words_by_name
    from kernelstudy.runs import read_settings
    from kernelstudy.runs.opening import open_run

    path, parts = run_directory.split(text)
    if len(parts) > 1:
        raise InputError(f"--run: after the run comes an arm, no more: {':'.join(parts)}")
    run, study = open_run(path, measures=True), read_settings(path)
    arms = words_by_name(study.arms)
    arm = parts[0] if parts else next(iter(arms))
    if arm not in arms:
        raise InputError(f"--run: {path} has no arm {arm!r}, but {', '.join(arms)}")
    return explanation.network_of(run, arm, arms[arm], study.model.stride)


if __name__ == "__main__":
    sys.exit(to_the_end(main))
