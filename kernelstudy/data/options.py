"""What can be set of the images; a key's meaning stands behind it, in `conf/data/` or here."""

from dataclasses import dataclass

TASKS = ("class", "rotation", "photo")


@dataclass
class Data:
    """What is looked at; results/data/ tells of every set."""

    name: str = "mnist5k"  #: the set of images: a choice of `data`, which sets it
    dataset: str | None = None
    path: str | None = None  #: of data=folder a directory, of data=arrays an .npz file
    white: int | None = None  #: of data=arrays: 1 or 255, what white is in floats; uint8 needs none
    #: what is to be told of an image. class: its label, with data=folder the folder it is in. rotation: by 0,
    #: 90, 180 or 270 degrees. photo: of data=folder, which photograph a patch of 32 x 32 is from; takes
    #: data.resize=null
    task: str = "class"
    colour: str | None = None
    crop: int | None = None
    resize: int | None = None
    subset: int | None = None  #: so many training examples, stratified; null: all
    val_fraction: float = 0.0  #: of the training examples, stratified, held out to validate
    split_seed: int = 0  #: which random draw of training examples `subset` and `val_fraction` take
    flip: bool = False  #: augmentation: mirrored at random
    shift: int = 0  #: augmentation: moved at random by up to so many pixels
    orientation: float = 0.0
    concentration: float = 0.0
    blur: float = 1.0
    in_memory_gib: float = 2.0  #: larger training sets (as float32) are streamed
