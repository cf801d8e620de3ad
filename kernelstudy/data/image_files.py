"""Image files of any common kind, as grey levels or as bytes."""

import logging
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from kernelstudy.system import files
from kernelstudy.system.errors import InputError, first_line

LUMA = (0.2126, 0.7152, 0.0722)  # ITU-R BT.709, item 3.2
# Pillow also opens kinds that start other programs: Ghostscript, for PostScript of any name.
FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "PPM", "WEBP", "JPEG2000")
ENDINGS = (
    *(".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp"),
    *(".ppm", ".pgm", ".pbm", ".jp2", ".j2k"),
)  # the usual ones; what a file is tells its content
LIMIT = Image.MAX_IMAGE_PIXELS or 2**26


def read_image(path: Path) -> NDArray[np.float32]:
    """An image file as grey levels.

    Colour is taken to luma with the weights of Rec. 709 (0.2126, 0.7152, 0.0722) on the values as
    stored, transparency is laid over white, the camera's orientation tag is obeyed. Of a file with
    many pages the first is read. Deep colour keeps its depth in TIFF; 16-bit PNG its upper 8 bits.

    Returns:
        (H, W) float32, 0 = black and 1 = the file's white (255, 65535, 2^32 - 1); floats as they are.

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
    with _told(path), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        grey = _decode(path)
    if not np.isfinite(grey).all():
        raise InputError(f"{path} holds values that are not finite")
    return grey


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Whatever a decoder raises, as an InputError of one sentence that begins with the path."""
    try:
        yield
    except InputError:
        raise
    except OSError as error:
        if error.errno is None:  # Pillow's own
            raise _damaged(path, error) from error
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise InputError(f"{path} has more than {LIMIT:,} pixels: scale it down") from error
    except Exception as error:  # a decoder may answer damaged bytes with any exception
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> InputError:
    if isinstance(error, UnidentifiedImageError):
        return InputError(f"{path} is not an image that can be read: PNG, JPEG, TIFF")
    return InputError(f"{path} is truncated or damaged: {first_line(error)[:300]}")


def read_pixels(
    path: Path, colour: str, *, crop: int | None = None, resize: int | None = None
) -> NDArray[np.uint8]:
    """An image file as bytes (H, W, C): `colour` grey (by Rec. 601, as JPEG has it) or rgb.

    First its central square of `crop` pixels; then, scaled to `resize` pixels (bilinear, with antialiasing),
    the largest central square. A JPEG that is to be scaled is decoded at two to four times the size asked for
    where its own block transform gives that. Orientation, transparency and pages as in `read_image`; of
    16-bit images the upper 8 bits. Links are not followed. Threads may call this at the same time.

    Raises:
        InputError: the file cannot be read or does not serve, in one sentence that begins with `path`.
    """
    with _told(path), files.opened(path, follow=False) as opened:
        if not opened.peek(1):
            raise InputError(f"{path} is empty")
        with Image.open(opened, formats=FORMATS) as file:
            _check_planes(file, path)
            if file.width * file.height > LIMIT:
                raise Image.DecompressionBombError
            return _fitted(file, path, colour, crop, resize)


def _fitted(
    file: Image.Image, path: Path, colour: str, crop: int | None, resize: int | None
) -> NDArray[np.uint8]:
    turn = file.getexif().get(_ORIENTATION, 1)
    width, height = file.size if turn < _SIDES_EXCHANGED else file.size[::-1]
    if turn >= _SIDES_EXCHANGED and file.format == "TIFF":
        raise InputError(f"{path} is a TIFF whose sides are exchanged: save it upright")
    side = crop or min(width, height)
    if side > min(width, height):
        raise InputError(f"{path} has {width} x {height} pixels, fewer than data.crop, {side}")
    if resize:
        least = 2 * resize / side  # of the size that it has
        mode = "L" if colour == "grey" else "RGB"
        file.draft(mode, tuple(math.ceil(least * n) for n in file.size))  # type: ignore[arg-type]
    image = _bytes(ImageOps.exif_transpose(file), path, "L" if colour == "grey" else "RGB")
    if crop or resize:
        scale = np.array(image.size) / (width, height)  # less than 1 where it was drafted
        corner = np.array([(width - side) // 2, (height - side) // 2])
        low, high = corner * scale, (corner + side) * scale
        start = np.floor(low).astype(int)
        image = image.crop((*start.tolist(), *np.ceil(high).astype(int).tolist()))
        if resize:
            box = (*(low - start).tolist(), *(high - start).tolist())
            image = image.resize((resize, resize), Image.Resampling.BILINEAR, box)
    pixels = np.asarray(image)
    return pixels.reshape(*pixels.shape[:2], -1)


def _bytes(image: Image.Image, path: Path, mode: str) -> Image.Image:
    """An image in mode L or RGB, laid over white where it is transparent."""
    if image.mode == "F":
        raise InputError(f"{path} holds floating-point pixels: save it with 8 bits")
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(float)
        image = Image.fromarray((values * 255 / max(65535, values.max())).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert(mode) if image.mode in ("L", "RGB") else image.convert("RGB").convert(mode)


def _decode(path: Path) -> NDArray[np.float32]:
    with files.opened(path) as file:
        tiff = file.read(4) in _TIFF
    if tiff and (found := _tiff(path)) is not None:
        return found
    with Image.open(path, formats=FORMATS) as file:
        _check_planes(file, path)
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


_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# TIFF's orientation, tag 274: how the stored array becomes what is to be seen.
_TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: np.rot90,
}
_ORIENTATION, _SIDES_EXCHANGED = 274, 5  # the tag, and its values from there on
_ALPHA = (1, 2)  # of tag 338: premultiplied, and not
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE = range(4)  # tag 262


def _check_planes(file: Image.Image, path: Path) -> None:
    samples_per_pixel, image_depth, tile_depth = 277, 32997, 32998  # the TIFF tags
    tags = getattr(file, "tag_v2", {})
    planes = [int(np.max(tags.get(tag, 1))) for tag in (samples_per_pixel, image_depth, tile_depth)]
    _check_size(path, file.width, file.height, math.prod(planes))


def _check_size(path: Path, width: int, height: int, planes: int) -> None:
    """InputError where a TIFF has more values than a large image of four channels: in samples or in depth."""
    if width * height * planes > 4 * LIMIT or planes > 2**10:
        raise InputError(f"{path} has {planes:,} planes of {width} x {height}: no image")


def _tiff(path: Path) -> NDArray[np.float32] | None:
    """The first page of a TIFF, of any depth and orientation; None where Pillow is to decode it.

    Pillow keeps 8 bits of deep colour, and garbles uncompressed images whose sides are exchanged.
    """
    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what is wrong is told once
    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        kind, bits = int(page.photometric), page.bitspersample
        if page.imagelength * page.imagewidth * page.imagedepth > LIMIT:
            raise Image.DecompressionBombError
        width, height = (
            max(page.imagewidth, page.tilewidth),
            max(page.imagelength, page.tilelength),
        )
        planes = page.samplesperpixel * max(page.imagedepth, 1) * max(page.tiledepth, 1)
        _check_size(path, width, height, planes)
        if kind not in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE):
            return None
        try:
            pixels = page.asarray()
        except (ValueError, KeyError, NotImplementedError) as error:
            if "imagecodecs" not in str(error):
                raise
            if bits > 8:  # of which Pillow would keep 8
                raise InputError(
                    f"{path} is a TIFF of {bits} bits in the compression {page.compression!s}: save it "
                    "without compression"
                ) from error
            return None
        extra = [int(e) for e in page.extrasamples]
        turn = page.tags.get(274)
        colours = page.colormap
    pixels = np.moveaxis(pixels, 0, -1) if page.axes == "SYX" else pixels
    if page.axes not in ("YX", "YXS", "SYX") or pixels.dtype.kind not in "buif":
        raise InputError(
            f"{path} is a TIFF of {pixels.dtype} pixels in the axes {page.axes}, which is not read"
        )
    grey = _grey(pixels, kind, bits, extra, colours)
    return np.ascontiguousarray(_TURNS.get(int(turn.value) if turn else 1, np.asarray)(grey))


def _grey(
    pixels: np.ndarray, kind: int, bits: int, extra: list[int], colours: np.ndarray | None
) -> NDArray[np.float32]:
    """(H, W[, C]) as stored to grey levels: 0 black, 1 the type's white; floats as they are."""
    floats = pixels.dtype.kind == "f"
    signed = pixels.dtype.kind == "i"
    white = 1.0 if floats else float(2 ** (bits - 1 if signed else bits) - 1)
    if kind == _PALETTE and colours is not None:
        return _luma(np.moveaxis(colours[:, pixels], 0, -1), 65535)
    pixels = pixels if pixels.ndim == 3 else pixels[..., None]
    count = 3 if kind == _RGB else 1
    if pixels.shape[-1] < count:
        raise InputError(f"a colour image of {pixels.shape[-1]} channels")
    if kind == _RGB:
        grey = _luma(pixels, white)
    else:
        grey = pixels[..., 0].astype(np.float32) / np.float32(white)
        grey = 1 - grey if kind == _WHITE_IS_ZERO else grey
    if extra and extra[0] in _ALPHA and pixels.shape[-1] > count:
        alpha = pixels[..., count].astype(np.float32) / np.float32(white)
        grey = (grey if extra[0] == 1 else grey * alpha) + (1 - alpha)
    return grey


def _luma(pixels: np.ndarray, white: float) -> NDArray[np.float32]:
    """(H, W, 3 or more) to grey levels between 0 and 1; channels after the third are left out."""
    grey = np.zeros(pixels.shape[:2], np.float32)
    for channel, weight in enumerate(LUMA):
        grey += pixels[..., channel] * np.float32(weight / white)
    return grey
