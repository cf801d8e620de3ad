"""python -m kernelstudy.compare WEIGHTS [--against WEIGHTS]: any network's first layer against chance.

In a notebook, `kernelstudy.compare(kernels_or_module_or_path)`: this module can be called.
"""

from __future__ import annotations

import inspect
import shlex
import sys
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from kernelstudy.system.commandline import Parser, tell, to_the_end
from kernelstudy.system.errors import InputError, printable
from kernelstudy.system.progress import working

if TYPE_CHECKING:
    from argparse import Namespace

    from kernelstudy.comparison.all_layers import LayerSurvey
    from kernelstudy.comparison.report import Comparison
    from kernelstudy.comparison.shape_report import ShapeComparison

MAX_GIB = 2.0
MOST_WORDS = 1000  # characters of an error: a file may have thousands of layers


@overload
def compare(weights: Any, *, layers: Literal["all"], **settings: Any) -> LayerSurvey: ...
@overload
def compare(
    weights: Any, *, layers: None = None, **settings: Any
) -> Comparison | ShapeComparison: ...
def compare(  # pyright: ignore[reportInconsistentOverload] (settings are those below)
    weights: Any,
    *,
    against: Any = None,
    start: Any = None,
    as_: Literal["seeds"] | None = None,
    layer: str | None = None,
    layers: str | None = None,
    layout: str = "auto",
    bank: str | None = None,
    images: Any = None,
    max_gib: float = MAX_GIB,
    level: float = 0.05,
    seed: int = 0,
) -> Comparison | ShapeComparison | LayerSurvey:
    """Measure a network's first layer against the hand-crafted kernels and against chance.

    Args:
        weights: kernels (kh, kw, in, out), a torch or Flax module, a state dict or tree of
            parameters, or the path of a file or directory of any format, or RUN[:arm[:seed[:step]]]; or a
            list of several, which are set side by side.
        against: a second one, set beside the first.
        start: the same network before training, for what training added (W - W0 and null model N1); of
            several networks, a list.
        as_: 'seeds' takes the networks of a list as trained alike: inference is over networks, with tests
            from six on.
        layer: its name; without one, the first convolution that sees the image.
        layers: 'all' measures every convolution instead, a row each; see `LayerSurvey`.
        layout: order of the stored axes, 'hwio', 'oihw' or 'ohwi', where it cannot be known.
        bank: hand-crafted kernels, as `kernelstudy.bank` names them; Sobel, Prewitt, Scharr and the
            Laplacians unless given.
        images: (N, H, W[, C]), a directory of images, or a data set's name, for image statistics (N3).
        max_gib: how much of a file may be in memory, GiB.
        level: of the false discovery rate and the intervals (1 - level).
        seed: of the draws of chance.

    Returns:
        A `Comparison`: `kernels`, `layer`, `ladder` (pandas), `sentences`, `figure`, `tables`;
        `tables, figure = compare(...)` works as well, and `.save(folder)` writes the report. With
        `layers='all'` a `LayerSurvey`: `table`, `figure`, `sentences`, `.save(folder)`; of kernels that are not
        square ones of two axes a `ShapeComparison`: what can be said of 1-D, 3-D and oblong kernels.

    Raises:
        ValueError: the weights or another argument cannot be used; the message is one sentence.
    """
    from kernelstudy.comparison import report

    networks = _several(weights, against, as_)
    if layers is not None:
        if layers != "all":
            raise ValueError(f"layers: {layers!r} is not 'all'; one layer is named by layer")
        if any(given is not None for given in (layer, images, start, as_)) or len(networks) > 1:
            raise ValueError(
                "layers='all' goes with no layer, against, start, as_ or images, and with one network"
            )
        from kernelstudy.comparison import all_layers
        from kernelstudy.weights import Limits

        return all_layers.survey(
            networks[0],
            Limits(int(max_gib * 2**30)),
            report.CLASSICAL,
            layout=layout,
            bank=bank,
            level=level,
            seed=seed,
        )
    return report.compare(
        networks,
        layer=layer,
        layout=layout,
        bank=bank,
        images=images,
        max_gib=max_gib,
        level=level,
        seed=seed,
        start=start,
        alike=as_ == "seeds",
    )


def _several(weights: Any, against: Any, as_: str | None) -> list[Any]:
    """The networks that are meant; ValueError where they cannot be taken so."""
    networks = list(weights) if isinstance(weights, list | tuple) else [weights]
    networks += [] if against is None else [against]
    if as_ not in (None, "seeds"):
        raise ValueError(
            f"as_: {as_!r} is not 'seeds'; one network over its steps is followed by kernelstudy.Recorder, "
            "or by the command's --as steps"
        )
    if as_ and against is not None:
        raise ValueError("against does not go with as_='seeds': name all networks in one list")
    if not networks:
        raise ValueError("weights: the list is empty")
    return networks


def main(words: list[str] | None = None) -> int:
    """Run the command; exit status 0 done, 2 wrong input."""
    words = sys.argv[1:] if words is None else words
    try:
        options = _parser().parse_args(words)
        if not 0 < options.max_gib < 1e6:
            raise InputError(f"--max-gib: {options.max_gib:g} must be above 0")
        sources = [*options.weights, *([options.against] if options.against else [])]
        if options.list:
            return _list(sources, options)
        _writable(options.out)
        command = shlex.join(["python", "-m", "kernelstudy.compare", *words])
        out = options.out or Path(f"compare-{_file_name(sources)}")
        if options.as_ == "steps":
            return _over_steps(options, out, command)
        with working("measuring"):
            comparison = compare(
                options.weights,
                against=options.against,
                start=options.start,
                as_=options.as_,
                layer=options.layer,
                layers=options.layers,
                layout=options.layout,
                bank=options.bank,
                images=options.images,
                max_gib=options.max_gib,
            )
        for line in comparison.introduction:
            print(printable(line), flush=True)
        with working("drawing"):
            page = comparison.save(out, command=command)
    except ValueError as error:
        return tell(str(error)[:MOST_WORDS], 2)
    except BrokenPipeError:  # told by nobody: the reader has left
        raise
    except OSError as error:
        return tell(f"{error.filename or options.out}: {error.strerror or error}", 2)
    except MemoryError:
        return tell(f"{', '.join(options.weights)[:200]} needs more memory than there is", 2)
    for line in comparison.sentences:
        print(printable(line))
    print(f"report: {printable(str(page))}")
    return 0


def _parser() -> Parser:
    parser = Parser(
        prog="python -m kernelstudy.compare",
        description="Hold any network's first layer against hand-crafted kernels and against chance.",
    )
    parser.add_argument(
        "weights",
        metavar="WEIGHTS",
        nargs="+",
        help=".npy, .npz, safetensors, PyTorch, ONNX, Keras, TFLite, TensorFlow.js, Orbax or msgpack, told "
        "apart by content; or RUN[:arm[:seed[:step]]]; several are set side by side, or taken --as ...",
    )
    parser.add_argument(
        "--as",
        dest="as_",
        choices=("seeds", "steps"),
        help="several WEIGHTS are networks trained alike (seeds), or checkpoints of one (steps)",
    )
    parser.add_argument("--layer", metavar="NAME", help="default: the first convolution")
    parser.add_argument(
        "--layers",
        choices=("all",),
        help="every convolution instead: a row each, likeness against depth",
    )
    parser.add_argument("--list", action="store_true", help="list the layers and exit")
    parser.add_argument(
        "--layout",
        default="auto",
        choices=("auto", "hwio", "oihw", "ohwi"),
        help="needed for .npy and .npz",
    )
    parser.add_argument(
        "--bank", metavar="NAME", help="default: the derivatives and the Laplacians"
    )
    parser.add_argument("--against", metavar="OTHER_WEIGHTS", help="a second layer beside it")
    parser.add_argument(
        "--start",
        metavar="WEIGHTS",
        nargs="+",
        help="the same network before training: what training added; of several networks, one each",
    )
    parser.add_argument(
        "--images", metavar="DIR|DATASET", help="for image statistics, null model N3"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: compare-<name>")
    parser.add_argument(
        "--max-gib",
        type=float,
        default=MAX_GIB,
        help="most of a file in memory, GiB; default %(default)g",
    )
    return parser


def _over_steps(options: Namespace, out: Path, command: str) -> int:
    """Checkpoints of one network, as a run over its training."""
    from kernelstudy.recording.checkpoints import record_files
    from kernelstudy.runs.report import make
    from kernelstudy.weights import Limits

    for name in ("against", "start", "layers", "bank"):
        if getattr(options, name) is not None:
            raise InputError(f"--{name} does not go with --as steps")
    if len(options.weights) < 2:
        raise InputError("--as steps: give two checkpoints or more")
    with working("reading"):
        lines = record_files(
            [Path(source) for source in options.weights],
            out,
            limits=Limits(int(options.max_gib * 2**30)),
            layer=options.layer,
            layout=options.layout,
            images=options.images,
            command=command,
        )
    for line in lines:
        print(printable(line), flush=True)
    with working("measuring and drawing"):
        page, answer = make(out)
    if answer:
        print(f"answer: {printable(answer)}")
    print(f"report: {printable(str(page))}")
    return 0


def _list(sources: list[str], options: Namespace) -> int:
    from kernelstudy import weights
    from kernelstudy.comparison import opening

    for source in sources:
        limits = weights.Limits(int(options.max_gib * 2**30))
        for line in opening.listing(source, limits, options.layout):
            print(printable(line))
    return 0


def _writable(out: Path | None) -> None:
    """Refuse, before anything is measured, an `out` that is no directory."""
    if out is not None and out.exists() and not out.is_dir():
        raise InputError(f"--out {out} is a file: name a directory")


def _file_name(sources: list[str]) -> str:
    stems = [Path(source.rstrip("/").split(":")[0]).name or "weights" for source in sources]
    stems = stems if len(stems) < 3 else [stems[0], f"and{len(stems) - 1}"]
    return "-".join("".join(c if c.isalnum() or c in "._-" else "_" for c in s) for s in stems)


class _Callable(types.ModuleType):
    """This module as the function it is named after, whichever of the two an import has bound."""

    def __call__(self, *arguments: Any, **settings: Any) -> Any:
        return compare(*arguments, **settings)


__signature__ = inspect.signature(compare)
sys.modules[__name__].__class__ = _Callable

if __name__ == "__main__":
    sys.exit(to_the_end(main))
