"""Patches of natural photographs: the class is the photograph that a patch is from."""

from importlib import resources

import numpy as np

from kernelstudy.data import DataError, Part, Parts

# Package, file. They are opened as files, for the packages' own loaders may try to download.
PHOTOS = (
    ("skimage", "data/astronaut.png"),
    ("skimage", "data/chelsea.png"),
    ("skimage", "data/coffee.png"),
    ("skimage", "data/motorcycle_left.png"),
    ("skimage", "data/rocket.jpg"),
    ("sklearn", "datasets/images/china.jpg"),
    ("sklearn", "datasets/images/flower.jpg"),
    ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
)
SIDE, BLOCK = 32, 96
TRAIN, TEST = 500, 125  # crops of each photograph
TEST_BLOCKS = 4  # every fourth block of a photograph is for testing
MIN_STD, MAX_Z = 4.0, 5.0
SMALLEST = 2 * BLOCK  # sides of a photograph, for four blocks
MOST_DRAWS = 20  # for a crop that serves, on average
CENTRE, SCALE = 128, 25  # of contrast-normalised pixels, so that MAX_Z standard deviations fit


def photo_patches(colour: str) -> Parts:
    """Crops of 32 x 32 pixels; those to train on and those to test lie in disjoint blocks.

    A photograph is cut into blocks of 96 x 96; every fourth is for testing. 'rgb': pixels as they
    are. 'grey': every crop with mean 128 and standard deviation 25, so that neither colour nor
    brightness nor contrast tells the photograph. Both colours have the same crops; what is too flat
    (below 4 grey levels of standard deviation) or has pixels beyond 5 standard deviations is not
    drawn.
    """
    train, test = [], []
    for index, (package, file) in enumerate(PHOTOS):
        for_training, for_test = patches_of(_open(package, file), index, colour)
        train.append(for_training)
        test.append(for_test)
    return Parts(_mixed(train), _mixed(test))


def patches_of(photo: np.ndarray, index: int, colour: str) -> tuple[list, list]:
    """Patches to train on and patches to test on of a photograph (H, W, 3) or (H, W, 1), uint8.

    `index`: of the photograph among others; its random numbers are of it alone.

    Raises:
        DataError: it is too small, or too flat.
    """
    height, width = photo.shape[:2]
    places = [
        (y, x)
        for y in range(0, height - BLOCK + 1, BLOCK)
        for x in range(0, width - BLOCK + 1, BLOCK)
    ]
    if len(places) < TEST_BLOCKS:
        raise DataError(
            f"has {width} x {height} pixels, too few for four blocks of {BLOCK} x {BLOCK}"
        )
    grey = luma(photo) if photo.shape[2] == 3 else photo[..., 0].astype(float)
    rng = np.random.default_rng([index, SIDE])
    for_test = [p for i, p in enumerate(places) if i % TEST_BLOCKS == TEST_BLOCKS - 1]
    for_training = [p for p in places if p not in for_test]
    found = []
    for blocks, count in ((for_training, TRAIN), (for_test, TEST)):
        crops = _draw(rng, grey, blocks, count)
        found.append(
            [photo[c] if colour == "rgb" else normalised(grey[c])[..., None] for c in crops]
        )
    return found[0], found[1]


def luma(rgb: np.ndarray) -> np.ndarray:
    """Brightness (..., H, W) float64 of RGB (..., H, W, 3), by ITU-R BT.601."""
    return rgb @ np.array([0.299, 0.587, 0.114])


def normalised(patch: np.ndarray) -> np.ndarray:
    """A patch with mean `CENTRE` and standard deviation `SCALE`, uint8."""
    z = (patch - patch.mean()) / patch.std()
    return np.clip(np.rint(CENTRE + SCALE * z), 0, 255).astype(np.uint8)


def _open(package: str, file: str) -> np.ndarray:
    from PIL import Image

    path = resources.files(package) / file
    try:
        with path.open("rb") as opened:
            return np.asarray(Image.open(opened).convert("RGB"))
    except OSError as error:
        raise DataError(
            f"data.name: photo_patches needs {file} of the package {package}, which cannot be read "
            f"({error.strerror or error}); install another version of it"
        ) from error


def _draw(rng: np.random.Generator, grey: np.ndarray, blocks: list, count: int) -> list:
    """`count` crops (slices) that lie within blocks and are neither flat nor spiky."""
    found, draws = [], 0
    while len(found) < count:
        draws += 1
        if draws > MOST_DRAWS * count:
            raise DataError("is too flat: next to none of its crops show anything")
        y, x = np.array(blocks[rng.integers(len(blocks))]) + rng.integers(0, BLOCK - SIDE + 1, 2)
        crop = np.s_[y : y + SIDE, x : x + SIDE]
        spread = np.abs(grey[crop] - grey[crop].mean()).max()
        if grey[crop].std() >= MIN_STD and spread <= MAX_Z * grey[crop].std():
            found.append(crop)
    return found


def _mixed(of_photos: list) -> Part:
    """Patches of photograph 0, 1, .. as one part in a fixed mixed order."""
    images = np.concatenate([np.stack(patches) for patches in of_photos])
    labels = np.repeat(np.arange(len(of_photos)), [len(p) for p in of_photos])
    order = np.random.RandomState(0).permutation(len(labels))
    return Part(images[order], labels[order].astype(np.int32))
