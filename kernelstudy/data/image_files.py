"""Image files of any common kind as grey levels."""

import math
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from kernelstudy.system import files
from kernelstudy.system.errors import InputError, first_line

LUMA = (0.2126, 0.7152, 0.0722)  # ITU-R BT.709, item 3.2
# Pillow also opens kinds that start other programs: Ghostscript, for PostScript of any name.
FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "PPM", "WEBP", "JPEG2000")
LIMIT = Image.MAX_IMAGE_PIXELS or 2**26


def read_image(path: Path) -> NDArray[np.float32]:
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
        with files.opened(path) as file:
            if not file.peek(1):
                raise InputError(f"{path} is empty: name an image file")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            grey = _decode(path)
    except InputError:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise InputError(f"{path} has more than {LIMIT:,} pixels: scale it down") from error
    except UnidentifiedImageError as error:
        raise InputError(f"{path} is not an image that can be read: PNG, JPEG, TIFF") from error
    except Exception as error:  # a decoder may answer damaged bytes with any exception
        raise InputError(f"{path} is truncated or damaged: {first_line(error)[:300]}") from error
    if not np.isfinite(grey).all():
        raise InputError(f"{path} holds values that are not finite")
    return grey


def _decode(path: Path) -> NDArray[np.float32]:
    with Image.open(path, formats=FORMATS) as file:
        _check_planes(file, path)
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


def _check_planes(file: Image.Image, path: Path) -> None:
    """InputError where a TIFF has more values than a large image of four channels: in samples or in depth."""
    samples_per_pixel, image_depth, tile_depth = 277, 32997, 32998  # the TIFF tags
    tags = getattr(file, "tag_v2", {})
    planes = math.prod(
        int(np.max(tags.get(tag, 1))) for tag in (samples_per_pixel, image_depth, tile_depth)
    )
    if file.width * file.height * planes > 4 * LIMIT or planes > 2**10:
        raise InputError(f"{path} has {planes:,} planes of {file.width} x {file.height}: no image")


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
