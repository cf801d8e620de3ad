"""Directories of images: layouts, what is left out and told, pixels against Pillow's own, tasks, the cache."""

import os
import shutil

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from kernelstudy.data import DataError, decoded, folder, image_files, images, photos
from kernelstudy.data.options import Data
from kernelstudy.system.errors import InputError


def picture(seed, height=60, width=80):
    """Smooth noise in colours, as a photograph is to a JPEG encoder."""
    noise = np.random.default_rng(seed).standard_normal((height, width, 3))
    smooth = gaussian_filter(noise, (2, 2, 0))
    return Image.fromarray((128 + 40 * smooth / smooth.std()).clip(0, 255).astype(np.uint8))


@pytest.fixture
def flowers(tmp_path):
    """Two classes of ten images each, of several formats and sizes."""
    root = tmp_path / "flowers"
    for row, name in enumerate(("rose", "tulip")):
        (root / name).mkdir(parents=True)
        for i in range(10):
            ending = ("png", "jpg", "tif", "webp", "bmp")[i % 5]
            picture(20 * row + i, 60 + i, 80).save(root / name / f"{i}.{ending}")
    return root


def load(root, **options):
    return images.load(Data("folder", path=str(root), **({"resize": 16} | options)))


def as_bytes(found, images):
    return np.rint(images * found.facts["pixel_std"] + found.facts["pixel_mean"]).astype(int)


def test_a_class_is_a_folder(flowers, place):
    found = load(flowers)
    assert found.train_images.shape == (16, 16, 16, 3)
    np.testing.assert_array_equal(np.bincount(found.train_labels), [8, 8])
    np.testing.assert_array_equal(np.bincount(found.test_labels), [2, 2])
    assert found.facts["class_names"] == ["rose", "tulip"]
    assert (found.facts["name"], found.facts["left_out"]["count"]) == ("flowers", 0)
    # Each image is there once, scaled as Pillow scales the largest central square.
    ours = {
        tuple(i.ravel())
        for p in (found.train_images, found.test_images)
        for i in as_bytes(found, p)
    }
    theirs = set()
    for path in flowers.rglob("*.png"):
        whole = Image.open(path)
        left, top = (whole.width - whole.height) // 2, 0
        square = whole.crop((left, top, left + whole.height, top + whole.height))
        small = square.resize((16, 16), Image.Resampling.BILINEAR)
        theirs.add(tuple(np.asarray(small).astype(int).ravel()))
    assert len(ours) == 20
    assert theirs <= ours


def test_folders_that_say_which_to_test_on(flowers, place):
    for part in ("train", "test"):
        shutil.copytree(flowers, flowers.parent / "split" / part)
    (flowers.parent / "split" / "test" / "rose" / "0.png").unlink()
    found = load(flowers.parent / "split")
    np.testing.assert_array_equal(np.bincount(found.train_labels), [10, 10])
    np.testing.assert_array_equal(np.bincount(found.test_labels), [9, 10])
    turned = load(flowers.parent / "split", task="rotation")
    assert (len(turned.train_labels), len(turned.test_labels)) == (80, 76)


def test_what_is_left_out_is_told(flowers, place):
    rose = flowers / "rose"
    (rose / "notes.txt").write_text("not an image")
    (rose / "cut.jpg").write_bytes((rose / "1.jpg").read_bytes()[:400])
    (rose / "nothing.png").touch()
    (rose / ".hidden.png").write_bytes((rose / "0.png").read_bytes())
    (rose / "secret.png").symlink_to("/etc/passwd")
    (flowers / "more").symlink_to(rose)
    (flowers / "README").write_text("flowers")
    os.mkfifo(flowers / "tulip" / "pipe.jpg")
    postscript = "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 20 20\nshowpage\n"
    (rose / "script.jpg").write_text(postscript)
    found = load(flowers)
    assert len(found.train_labels) + len(found.test_labels) == 20
    told = found.facts["left_out"]
    assert told["count"] == 9
    for name, why in (
        ("rose/notes.txt", "is not an image"),
        ("rose/script.jpg", "is not an image"),
        ("rose/cut.jpg", "is truncated or damaged"),
        ("rose/nothing.png", "is empty"),
        ("rose/.hidden.png", "is hidden"),
        ("rose/secret.png", "is a link"),
        ("more", "is a link"),
        ("tulip/pipe.jpg", "is no regular file"),
        ("README", "is in no class's folder"),
    ):
        assert any(line.startswith(f"{name} {why}") for line in told["files"]), name
    assert "9 left out: " in found.describe()


def _empty(root):
    shutil.rmtree(root)
    root.mkdir()


def _flat(root):
    for path in (root / "rose").iterdir():
        path.rename(root / path.name)


def _spoil(root):
    for path in (root / "rose").iterdir():
        path.write_bytes(b"spoilt")


def _few(root):
    for path in sorted((root / "rose").iterdir())[2:]:
        path.unlink()


def _half_split(root):
    root.rename(root.parent / "moved")
    root.mkdir()
    (root.parent / "moved").rename(root / "train")


def _mixed_split(root):
    _half_split(root)
    shutil.copytree(root / "train", root / "test")
    shutil.copytree(root / "train" / "rose", root / "lily")


def _class_without_test(root):
    _half_split(root)
    shutil.copytree(root / "train" / "tulip", root / "test" / "tulip")


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (shutil.rmtree, "does not exist; name a directory"),
        (lambda root: (_empty(root), root.rmdir(), root.touch()), "is no directory"),
        (_empty, "is empty: it must hold a folder of images for each class"),
        (lambda root: shutil.rmtree(root / "rose"), "has one class, 'tulip', where two are needed"),
        (lambda root: (root / "lily").mkdir(), "lily is empty: a class needs images"),
        (
            _flat,
            r"0.png is in no class's folder: a class is a folder of images; data.task=rotation",
        ),
        (
            lambda root: (root / "rose" / "red").mkdir(),
            "holds a folder, red/, where a class has files",
        ),
        (_few, "has 2 images of class 'rose', too few to train and to test on: 3 are needed"),
        (
            _spoil,
            "has 0 images of class 'rose', too few .*10 left out, such as rose/0.png, which is not",
        ),
        (_half_split, "has train/ with folders in it, and no such test/"),
        (_mixed_split, "mixes two layouts: lily/ lies beside train/ and test/"),
        (_class_without_test, "has no images of class 'rose' to test on: test/ needs one or more"),
    ],
)
def test_what_is_no_set_is_told_in_one_sentence(harm, said, flowers, place):
    harm(flowers)
    with pytest.raises(DataError, match=said) as raised:
        load(flowers)
    assert str(raised.value).startswith("data.path: ")
    assert not list(place.rglob("*.npy"))


def test_images_of_several_sizes_need_one(flowers, place):
    with pytest.raises(DataError, match=r"data\.resize: .* differ in size"):
        load(flowers, resize=None)
    assert load(flowers, resize=None, crop=50).train_images.shape[1:] == (50, 50, 3)


def test_the_second_start_decodes_nothing_and_other_contents_are_decoded_anew(
    flowers, place, monkeypatch
):
    first = load(flowers)
    with monkeypatch.context() as patch:
        patch.setattr(folder, "read_pixels", None)
        again = load(flowers)
    np.testing.assert_array_equal(again.train_images, first.train_images)
    assert again.facts == first.facts
    picture(99).save(flowers / "rose" / "0.png")
    assert load(flowers).facts["sha256"] != first.facts["sha256"]
    assert (
        len(list(place.rglob("train_images.npy"))) == 1
    )  # what was made of the former contents is gone


def test_streamed_from_the_decoded_arrays_with_the_same_bits(flowers, place):
    for task in ("class", "rotation"):
        whole, rows = (load(flowers, task=task, in_memory_gib=gib) for gib in (2, 0))
        assert rows.streamed
        assert not whole.streamed
        some = np.array([3, 1, 1, 12])
        np.testing.assert_array_equal(rows.train_images[some], whole.train_images[some])
        np.testing.assert_array_equal(rows.sample(), whole.sample())
        assert rows.facts == whole.facts


def test_rotation_needs_no_classes_and_turns_every_image_four_ways(flowers, place):
    _flat(flowers)
    found, plain = load(flowers, task="rotation"), load(flowers, task="rotation", subset=8)
    assert found.classes == 4
    np.testing.assert_array_equal(np.bincount(found.train_labels), [16] * 4)
    upright = found.train_images[found.train_labels == 0]
    for turn in range(4):
        seen = {i.tobytes() for i in found.train_images[found.train_labels == turn]}
        wanted = {np.ascontiguousarray(np.rot90(i, turn)).tobytes() for i in upright}
        assert seen == wanted
        assert len(seen) == 16
    assert len(plain.train_labels) == 32  # of 8 images


def test_rotation_keeps_validation_images_apart_and_needs_squares():
    found = images.load(Data("digits", task="rotation", val_fraction=0.1))
    upright, held_out = (
        {i.tobytes() for i in part[labels == 0]}
        for part, labels in (
            (found.train_images, found.train_labels),
            (found.val_images, found.val_labels),
        )
    )
    assert len(held_out) == len(found.val_labels) // 4
    assert not upright & held_out
    with pytest.raises(
        DataError, match="rotation needs square images, and those of digits are 8 x 9"
    ):
        images._rotated(found._replace(train_images=np.zeros((4, 8, 9, 1), np.float32)), 1e9)


def test_the_class_of_a_patch_is_its_photograph(tmp_path, place, monkeypatch):
    monkeypatch.setattr(photos, "TRAIN", 40)
    monkeypatch.setattr(photos, "TEST", 10)
    for name, seed in (("a", 1), ("b", 2), ("c", 3), ("copy_of_b", 2)):
        picture(seed, 200, 300).save(tmp_path / f"{name}.png")
    picture(4, 100, 300).save(tmp_path / "small.png")
    Image.new("RGB", (300, 300), "blue").save(tmp_path / "flat.png")
    found = load(tmp_path, task="photo", resize=None, colour="grey")
    assert found.train_images.shape == (3 * photos.TRAIN, 32, 32, 1)
    np.testing.assert_array_equal(np.bincount(found.test_labels), [photos.TEST] * 3)
    assert found.facts["class_names"] == ["a.png", "b.png", "c.png"]
    told = " ".join(found.facts["left_out"]["files"])
    assert "copy_of_b.png shows what b.png shows" in told
    assert "small.png has 300 x 100 pixels, too few for four blocks" in told
    assert "flat.png is too flat" in told
    # as photo_patches cuts them
    whole = np.asarray(Image.open(tmp_path / "b.png"))
    luma = np.asarray(Image.open(tmp_path / "b.png").convert("L"))
    train, _ = photos.patches_of(luma[..., None], 1, "grey")
    ours = as_bytes(found, found.train_images[found.train_labels == 1])
    np.testing.assert_array_equal(ours, np.stack(train))
    assert whole.shape == (200, 300, 3)
    for name in ("a", "c", "copy_of_b"):
        (tmp_path / f"{name}.png").unlink()
    with pytest.raises(DataError, match="has one photograph that serves"):
        load(tmp_path, task="photo", resize=None, colour="grey")


@pytest.mark.parametrize("colour", ["grey", "rgb"])
def test_a_drafted_jpeg_is_nearly_what_all_of_it_gives(colour, tmp_path):
    path = tmp_path / "large.jpg"
    picture(5, 800, 1000).save(path, quality=95)
    ours = image_files.read_pixels(path, colour, resize=64)
    mode = "L" if colour == "grey" else "RGB"
    with Image.open(path) as opened:
        square = opened.convert(mode).crop((100, 0, 900, 800))
    whole = np.asarray(square.resize((64, 64), Image.Resampling.BILINEAR)).reshape(64, 64, -1)
    assert abs(ours.astype(int) - whole).mean() < 1
    assert np.corrcoef(ours.ravel(), whole.ravel())[0, 1] > 0.99
    with Image.open(path) as opened:
        opened.draft(mode, (160, 128))
        assert opened.size == (250, 200)  # so that the test is of what it says


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("ending", ["jpg", "png"])
def test_orientation_is_obeyed(turn, ending, tmp_path):
    """The same picture, stored in each of the eight orientations, is seen upright."""
    upright = picture(6, 160, 120)
    inverse = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[turn]  # of Image.Transpose
    stored = upright if inverse is None else upright.transpose(Image.Transpose(inverse))
    exif = Image.Exif()
    exif[274] = turn
    fine = {"quality": 95, "subsampling": 0} if ending == "jpg" else {}
    stored.save(tmp_path / f"turned.{ending}", exif=exif, **fine)
    upright.save(tmp_path / f"upright.{ending}", **fine)
    for options in ({}, {"crop": 60}, {"crop": 60, "resize": 20}, {"resize": 20}):
        seen, wanted = (
            image_files.read_pixels(tmp_path / f"{name}.{ending}", "rgb", **options).astype(int)
            for name in ("turned", "upright")
        )
        assert seen.shape == wanted.shape
        assert abs(seen - wanted).mean() < (1.5 if ending == "jpg" else 0.01)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_every_mode_becomes_bytes(mode, tmp_path):
    grey = np.arange(0, 256, 4, np.uint8).repeat(64).reshape(64, 64)
    if mode == "I;16":
        image = Image.fromarray(grey.astype(np.uint16) * 257)
    else:
        image = Image.fromarray(grey).convert("RGBA" if mode == "RGBA" else mode)
    path = tmp_path / ("image.tif" if mode == "CMYK" else "image.png")
    image.save(path)
    for colour, channels in (("grey", 1), ("rgb", 3)):
        found = image_files.read_pixels(path, colour)
        assert found.shape == (64, 64, channels)
        assert found.dtype == np.uint8
        if mode == "1":
            assert set(found.ravel().tolist()) == {0, 255}
        else:
            assert abs(found.astype(int) - grey[..., None]).max() <= (6 if mode == "P" else 1)


def test_transparency_lies_over_white(tmp_path):
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    assert (image_files.read_pixels(tmp_path / "clear.png", "rgb") == 255).all()


def test_pixels_are_bounded(tmp_path, monkeypatch):
    picture(7).save(tmp_path / "image.png")
    monkeypatch.setattr(image_files, "LIMIT", 60 * 80 - 1)
    with pytest.raises(InputError, match="has more than 4,799 pixels"):
        image_files.read_pixels(tmp_path / "image.png", "rgb")
    with pytest.raises(InputError, match=r"fewer than data\.crop, 61"):
        monkeypatch.setattr(image_files, "LIMIT", 60 * 80)
        image_files.read_pixels(tmp_path / "image.png", "rgb", crop=61)


def test_a_spool_is_what_numpy_saves(tmp_path):
    whole = np.random.default_rng(0).integers(0, 256, (1234, 3, 4, 1), np.uint8)
    spool = decoded.Spool(tmp_path / "spool.npy")
    for start in range(0, 1234, 100):
        spool.append(whole[start : start + 100])
    np.testing.assert_array_equal(spool.close(), whole)
    np.save(tmp_path / "saved.npy", whole)
    assert (tmp_path / "spool.npy").read_bytes() == (tmp_path / "saved.npy").read_bytes()
