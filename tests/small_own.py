"""python tests/small_own.py PLACE: images such as people have, cut from the photographs that packages ship.

PLACE/classes: a folder of files for each of three photographs; PLACE/pile: the photographs themselves;
PLACE/arrays.npz: images and labels.
"""

import sys
from importlib import resources
from pathlib import Path

import numpy as np
from PIL import Image

from kernelstudy.data.photos import PHOTOS


def build(place: Path) -> None:
    rng, crops, labels = np.random.default_rng(0), [], []
    (place / "pile").mkdir(parents=True)
    for label, (package, file) in enumerate(PHOTOS[:3]):
        photo = Image.open(str(resources.files(package) / file)).convert("RGB")
        photo.save(place / "pile" / f"{Path(file).stem}.jpg")
        folder = place / "classes" / Path(file).stem
        folder.mkdir(parents=True)
        for number in range(60):
            side = int(rng.integers(60, 200))
            left, top = (int(rng.integers(0, n - side)) for n in photo.size)
            crop = photo.crop((left, top, left + side, top + side))
            crop.save(folder / f"{number}.{('jpg', 'png', 'tif')[number % 3]}")
            crops.append(np.asarray(crop.resize((24, 24))))
            labels.append(label)
    (place / "classes" / Path(PHOTOS[0][1]).stem / "notes.txt").write_text("no image\n")
    np.savez_compressed(place / "arrays.npz", images=np.stack(crops), labels=np.array(labels))


if __name__ == "__main__":
    build(Path(sys.argv[1]))
