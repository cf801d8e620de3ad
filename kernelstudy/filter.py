"""python -m kernelstudy.filter IMAGE [--bank NAME] [--out PNG]: feature maps of an image."""

import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kernelstudy.data.image_files import read_image
from kernelstudy.handcrafted import bank
from kernelstudy.handcrafted.linear import PADDINGS, Padding, check_padding
from kernelstudy.handcrafted.stencils import Kernel
from kernelstudy.handcrafted.worked_example import explain
from kernelstudy.system.commandline import Parser, output_file, tell, to_the_end
from kernelstudy.system.errors import InputError, printable
from kernelstudy.system.progress import working
from kernelstudy.system.software import devices_of

LONGEST_SIDE = 640  # longest side of a map in the figure, pixels
FORMATS = (".png", ".pdf", ".svg")


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns 0 when done and 2 when the input is wrong."""
    try:
        options = _parser().parse_args(argv)
        if options.worked_example:
            _refuse_others(options)
            print(explain())
            return 0
        kernels = bank(options.bank, options.size)
        title, image = _input(options.image)
        check_padding(options.padding, image.shape, (options.size, options.size))
        out = output_file(options.out, FORMATS, options.image)
        _start_jax()
    except ValueError as error:
        return tell(str(error), 2)
    except OSError as error:
        return tell(f"{error.filename}: {error.strerror or error}", 2)
    try:
        with working("drawing"):
            _draw(title, image, kernels, options.padding, out)
    except OSError as error:  # a full disk
        return tell(f"--out {out} cannot be written: {error.strerror or error}", 1)
    except MemoryError:
        return tell(f"{title} needs more memory than there is", 1)
    print(f"maps: {printable(str(out))}")
    return 0


def _refuse_others(options: Namespace) -> None:
    """InputError where --worked-example, which has an image and a kernel of its own, is given another."""
    defaults = _parser().parse_args([])
    for name in ("image", "bank", "size", "padding", "out"):
        if (given := getattr(options, name)) != getattr(defaults, name):
            what = str(given) if name == "image" else f"--{name} {given}"
            raise InputError(
                f"--worked-example has its own image and kernel: leave out {what}, or the option"
            )


def _parser() -> Parser:
    parser = Parser(
        prog="python -m kernelstudy.filter",
        description="Feature maps of an image under hand-crafted kernels, in one figure.",
    )
    parser.add_argument(
        "image",
        nargs="?",
        type=Path,
        help="PNG, JPEG or TIFF, grey or colour (taken to Rec. 709 luma), 8 or 16 bit; without it, "
        "the camera photo that scikit-image ships",
    )
    parser.add_argument(
        "--bank",
        default="derivative",
        help="a group (derivative, blob, smoothing, compass, frequency, all), an operator (sobel) "
        "or a kernel (sobel_x); default %(default)s",
    )
    parser.add_argument("--size", type=int, default=3, help="kernel size; default %(default)s")
    parser.add_argument("--padding", default="same", choices=PADDINGS, help="default %(default)s")
    parser.add_argument(
        "--out", type=Path, default=Path("maps.png"), help=f"{', '.join(FORMATS)}; default maps.png"
    )
    parser.add_argument(
        "--worked-example", action="store_true", help="print one convolution step by step, and exit"
    )
    return parser


def _start_jax() -> None:
    import jax

    devices_of(jax.local_devices)


def _draw(
    title: str, image: NDArray[np.float32], kernels: dict[str, Kernel], padding: Padding, out: Path
) -> None:
    # Only here, because they take seconds to import and a wrong argument should be told at once.
    from kernelstudy.conv import correlate
    from kernelstudy.reporting import maps
    from kernelstudy.system.files import replacing

    step = -(-max(image.shape) // LONGEST_SIDE)
    pictures = {}
    # Group by group: a large bank on a large photo would not fit in memory as one array.
    for names in maps.groups(kernels):
        stack = np.stack([kernels[name] for name in names])
        full = np.asarray(correlate(image, stack, padding=padding))
        if maps.is_smoothing(stack[0]):
            pictures[names[0]] = maps.block_mean(full[..., 0], step)
        else:
            # A Gabor kernel's small answer to the mean grey would tint all of its map.
            constant = (stack.sum(axis=(1, 2)) * image.mean()).astype(np.float32)
            small = maps.block_strongest(full - constant, step)
            pictures |= {name: small[..., i] for i, name in enumerate(names)}
    pooled = f"Shown: the strongest response of {step} x {step} px."
    figure = maps.feature_maps(
        maps.block_mean(image, step),
        kernels,
        pictures,
        title=f"{title}, {image.shape[1]} x {image.shape[0]} pixels",
        note=f"Padding '{padding}'. " + (pooled if step > 1 else ""),
    )
    with replacing(out) as temporary:
        figure.savefig(temporary, dpi=150, format=out.suffix[1:].lower())


def _input(path: Path | None) -> tuple[str, NDArray[np.float32]]:
    """A title and the grey image."""
    if path is not None:
        return printable(path.name), read_image(path)
    from skimage import data

    return "camera (scikit-image)", data.camera().astype(np.float32) / 255


if __name__ == "__main__":
    sys.exit(to_the_end(main))
