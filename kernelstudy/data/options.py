"""What can be set of the images."""

from dataclasses import dataclass

TASKS = ("class", "rotation", "photo")


@dataclass
class Data:
    """What is looked at; results/data/ tells of every set."""

    name: str = "mnist5k"
    dataset: str | None = None  # of TFDS, for data=tfds
    path: str | None = None  # of data=folder a directory, of data=arrays an .npz file
    white: int | None = None  # of data=arrays: 1 or 255, what white is in floats
    task: str = "class"  # class, rotation, photo: what is to be told of an image
    colour: str | None = None  # grey, rgb; null: as the set has it
    crop: int | None = None  # pixels: the central square, taken first
    resize: int | None = None  # pixels: what that is then scaled to
    subset: int | None = None  # so many training examples, stratified
    val_fraction: float = 0.0  # of the training examples, stratified, held out to validate
    flip: bool = False  # augmentation: mirrored at random
    shift: int = 0  # augmentation: moved at random by up to so many pixels
    # for data=oriented
    orientation: float = 0.0  # degrees, mean direction of gradients
    concentration: float = 0.0  # of orientations; 0: all alike
    blur: float = 1.0  # pixels
    in_memory_gib: float = 2.0  # larger training sets (as float32) are streamed
