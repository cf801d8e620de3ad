"""python -m kernelstudy.filter IMAGE [--bank NAME] [--out PNG]: feature maps of an image."""

import sys
import warnings
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from kernelstudy.commandline import InputError, Parser
from kernelstudy.handcrafted import bank
from kernelstudy.handcrafted.linear import PADDINGS, Padding, check_padding
from kernelstudy.handcrafted.stencils import Kernel
from kernelstudy.handcrafted.worked_example import explain

LUMA = (0.2126, 0.7152, 0.0722)  # ITU-R BT.709, item 3.2
SHOWN = 640  # longest side of a map in the figure, pixels
LIMIT = Image.MAX_IMAGE_PIXELS or 2**26
FORMATS = (".png", ".pdf", ".svg")


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns 0 when done and 2 when the input is wrong."""
    try:
        options = _parser().parse_args(argv)
        if options.worked_example:
            print(explain())
            return 0
        kernels = bank(options.bank, options.size)
        title, image = _input(options.image)
        check_padding(options.padding, image.shape, (options.size, options.size))
        out = _writable(options.out, options.image)
    except ValueError as error:
        print(f"kernelstudy.filter: {error}", file=sys.stderr)
        return 2
    _draw(title, image, kernels, options.padding, out)
    print(f"maps: {out}")
    return 0


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


def _draw(
    title: str, image: NDArray[np.float32], kernels: dict[str, Kernel], padding: Padding, out: Path
) -> None:
    # Only here, because they take seconds to import and a wrong argument should be told at once.
    from kernelstudy.conv import correlate
    from kernelstudy.reporting import maps
    from kernelstudy.runs import replacing

    step = -(-max(image.shape) // SHOWN)
    shown = {}
    # Group by group: a large bank on a large photo would not fit in memory as one array.
    for names in maps.groups(kernels):
        stack = np.stack([kernels[name] for name in names])
        full = np.asarray(correlate(image, stack, padding=padding))
        if maps.is_smoothing(stack[0]):
            shown[names[0]] = maps.block_mean(full[..., 0], step)
        else:
            # A Gabor kernel's small answer to the mean grey would tint all of its map.
            constant = (stack.sum(axis=(1, 2)) * image.mean()).astype(np.float32)
            small = maps.block_strongest(full - constant, step)
            shown |= {name: small[..., i] for i, name in enumerate(names)}
    pooled = f"Shown: the strongest response of {step} x {step} px."
    figure = maps.feature_maps(
        maps.block_mean(image, step),
        kernels,
        shown,
        title=f"{title}, {image.shape[1]} x {image.shape[0]} pixels",
        note=f"Padding '{padding}'. " + (pooled if step > 1 else ""),
    )
    with replacing(out) as temporary:
        figure.savefig(temporary, dpi=150, format=out.suffix[1:].lower())


def _input(path: Path | None) -> tuple[str, NDArray[np.float32]]:
    """A title and the grey image."""
    if path is not None:
        return path.name, read(path)
    from skimage import data

    return "camera (scikit-image)", data.camera().astype(np.float32) / 255


def _writable(out: Path, image: Path | None) -> Path:
    """`out`, if a figure can be written there."""
    if out.suffix.lower() not in FORMATS:
        raise InputError(f"--out must end in {', '.join(FORMATS)}, not {out.name!r}")
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


def read(path: Path) -> NDArray[np.float32]:
    """An image file as grey levels.

    Colour is taken to luma with the weights of Rec. 709 (0.2126, 0.7152, 0.0722) on the values as
    stored, transparency is laid over white, the camera's orientation tag is obeyed. Of a file with
    many pages the first is read. 16-bit colour keeps its depth in TIFF; in PNG its upper 8 bits.

    Returns:
        (H, W) float32, 0 = black and 1 = the file's white (255, 65535); float files as they are.

    Raises:
        InputError: the file is missing, unreadable, empty, truncated, too large or not an image.
    """
    try:
        if path.is_dir():
            raise InputError(f"{path} is a directory: name an image file")
        if path.stat().st_size == 0:
            raise InputError(f"{path} is empty: name an image file")
        with path.open("rb"):
            pass
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            grey = _decode(path)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise InputError(f"{path} has more than {LIMIT:,} pixels: scale it down") from error
    except UnidentifiedImageError as error:
        raise InputError(f"{path} is not an image that can be read: PNG, JPEG, TIFF") from error
    except Exception as error:  # a decoder may answer damaged bytes with any exception
        raise InputError(f"{path} is truncated or damaged: {error}") from error
    if not np.isfinite(grey).all():
        raise InputError(f"{path} holds values that are not finite")
    return grey


def _decode(path: Path) -> NDArray[np.float32]:
    with Image.open(path) as file:
        if file.format == "TIFF" and file.mode.startswith("RGB") and _depth(file) > 8:
            return _deep_colour(path)
        image = ImageOps.exif_transpose(file)
        if image.mode.startswith("I"):
            values = np.asarray(image).astype(np.float32)
            return values / np.float32(max(65535, values.max()))
        if image.mode == "F":
            return np.asarray(image, dtype=np.float32)
        if image.has_transparency_data:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        if image.mode in ("1", "L"):
            return np.asarray(image.convert("L"), dtype=np.float32) / np.float32(255)
        return _luma(np.asarray(image.convert("RGB")), 255)


def _depth(file: Image.Image) -> int:
    bits_per_sample = 258  # the TIFF tag
    return max(getattr(file, "tag_v2", {}).get(bits_per_sample, (8,)))


def _deep_colour(path: Path) -> NDArray[np.float32]:
    """A TIFF of 16-bit colour, of which Pillow would keep 8 bits."""
    import tifffile

    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        pixels = page.asarray()
    pixels = np.moveaxis(pixels, 0, -1) if page.axes == "SYX" else pixels
    return _luma(pixels, np.iinfo(pixels.dtype).max)


def _luma(pixels: np.ndarray, white: float) -> NDArray[np.float32]:
    """(H, W, 3 or more) to grey levels between 0 and 1; channels after the third are left out."""
    grey = np.zeros(pixels.shape[:2], np.float32)
    for channel, weight in enumerate(LUMA):
        grey += pixels[..., channel] * np.float32(weight / white)
    return grey


if __name__ == "__main__":
    sys.exit(main())
