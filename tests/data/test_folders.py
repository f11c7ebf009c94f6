"""Folders of images: layouts, broken files, decoding."""

import os
import shutil

import numpy as np
import pytest
from PIL import Image

from jaxssl.data import decode_image, image_folder, skipped_message
from jaxssl.data.folders import EXTENSIONS
from jaxssl.errors import InputError

HOST = 0  # bytes: nothing fits in memory, everything is decoded as it is needed
MEMORY = 2**20


def picture(path, *, color=(200, 10, 90), size=(12, 8), **options):
  """Writes an image of one colour."""
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.new("RGB", size, color).save(path, **options)


def reds(source):
  """Returns the mean red of each image: which file it is."""
  return source[np.arange(len(source))]["input"][..., 0].mean((1, 2)).round().tolist()


@pytest.fixture
def classes(tmp_path):
  """A folder of two classes: reds 10, 20 (ant) and 30 (bee), and hidden files."""
  picture(tmp_path / "bee" / "a.png", color=(30, 0, 0))
  picture(tmp_path / "ant" / "b.png", color=(20, 0, 0))
  picture(tmp_path / "ant" / "a.png", color=(10, 0, 0))
  (tmp_path / "ant" / "._a.png").write_bytes(b"of a Mac")
  (tmp_path / ".cache").mkdir()
  (tmp_path / "notes.txt").write_text("not an image")
  return tmp_path


@pytest.mark.parametrize("limit", [HOST, MEMORY])
def test_class_subfolders(classes, limit):
  data = image_folder(classes, size=4, resident_bytes=limit)
  assert data.name == classes.name and data.test is None
  assert data.classes == ("ant", "bee")
  assert data.train.resident == (limit == MEMORY)
  batch = data.train[np.arange(3)]
  assert batch["input"].shape == (3, 4, 4, 3) and batch["input"].dtype == np.uint8
  assert batch["label"].tolist() == [0, 0, 1] and batch["label"].dtype == np.int32
  assert reds(data.train) == [10, 20, 30]  # sorted by name
  assert data.train.skipped == () and skipped_message(data) == ""


def test_both_ways_decode_the_same(tmp_path):
  noise = np.random.default_rng(0).integers(0, 255, (90, 70, 3), dtype=np.uint8)
  for i, ending in enumerate((".jpg", ".png", ".webp", ".bmp")):
    Image.fromarray(np.roll(noise, i)).save(tmp_path / f"{i}{ending}")
  memory = image_folder(tmp_path, size=8)
  host = image_folder(tmp_path, size=8, resident_bytes=HOST)
  rows = np.asarray([3, 1, 0, 2, 3])
  np.testing.assert_array_equal(memory.train[rows]["input"], host.train[rows]["input"])


@pytest.mark.parametrize("limit", [HOST, MEMORY])
def test_no_subfolders_no_labels(tmp_path, limit):
  for i in range(3):
    picture(tmp_path / f"{i}.png", color=(i, 0, 0))
  data = image_folder(str(tmp_path), size=4, resident_bytes=limit)
  assert data.classes == () and set(data.train[np.arange(2)]) == {"input"}
  assert reds(data.train) == [0, 1, 2]


def test_images_beside_subfolders_have_no_labels(classes):
  picture(classes / "a.png", color=(5, 0, 0))
  data = image_folder(classes, size=4)
  assert data.classes == () and set(data.train.arrays()) == {"input"}
  assert reds(data.train) == [5, 10, 20, 30]


@pytest.mark.parametrize("test_name", ["test", "val", "validation"])
def test_splits(tmp_path, test_name):
  for color, name in enumerate(["train/ant/a", "train/bee/a", f"{test_name}/bee/a"]):
    picture(tmp_path / f"{name}.png", color=(color, 0, 0))
  data = image_folder(tmp_path, size=4)
  assert reds(data.train) == [0, 1] and reds(data.test) == [2]
  assert data.test.arrays()["label"].tolist() == [1]


def test_train_folder_alone(tmp_path):
  picture(tmp_path / "train" / "a.png")
  data = image_folder(tmp_path, size=4)
  assert data.test is None and data.classes == () and len(data.train) == 1


def test_a_class_may_be_called_train(tmp_path):
  for name in ("bus", "train"):
    picture(tmp_path / name / "a.png")
  assert image_folder(tmp_path, size=4).classes == ("bus", "train")


def test_unlabelled_test_split(tmp_path):
  picture(tmp_path / "train" / "ant" / "a.png")
  picture(tmp_path / "test" / "a.png")
  data = image_folder(tmp_path, size=4)
  assert data.classes == ("ant",) and "label" not in data.test.arrays()


def test_unknown_class_in_the_test_split(tmp_path):
  picture(tmp_path / "train" / "ant" / "a.png")
  picture(tmp_path / "test" / "fly" / "a.png")
  with pytest.raises(
    InputError, match=r"classes fly, which are not in .* allowed: ant"
  ):
    image_folder(tmp_path, size=4)


def test_nested_folders_belong_to_the_class_above(tmp_path):
  for path in ("ant/red/a.png", "ant/b.png", "bee/x/y/a.png"):
    picture(tmp_path / path)
  data = image_folder(tmp_path, size=4)
  assert data.classes == ("ant", "bee")
  assert data.train.arrays()["label"].tolist() == [0, 0, 1]


@pytest.mark.parametrize("ending", [*EXTENSIONS, ".JPG", ".Png"])
def test_every_extension(tmp_path, ending):
  picture(tmp_path / f"a{ending}")
  image = image_folder(tmp_path, size=4).train[np.arange(1)]["input"][0]
  np.testing.assert_allclose(image, np.full((4, 4, 3), (200, 10, 90)), atol=4)


# --- broken files


def break_files(folder):
  """Adds a text, an empty file, a cut PNG and a cut JPEG under image names."""
  noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
  for name in ("cut.png", "cut.jpg"):
    path = folder / "bee" / name
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
  (folder / "bee" / "text.png").write_text("not an image")
  (folder / "ant" / "empty.jpg").write_bytes(b"")


@pytest.mark.parametrize("limit", [HOST, MEMORY])
def test_broken_images_are_named_counted_and_left_out(classes, limit):
  break_files(classes)
  data = image_folder(classes, size=4, resident_bytes=limit)
  assert len(data.train) == 3 and reds(data.train) == [10, 20, 30]
  assert data.train[np.arange(3)]["label"].tolist() == [0, 0, 1]
  names = [line.split(": ")[0] for line in data.train.skipped]
  assert names == ["ant/empty.jpg", "bee/cut.jpg", "bee/cut.png", "bee/text.png"]
  assert "truncated" in data.train.skipped[1]
  assert "skipped 4 unreadable images: ant/empty.jpg: cannot" in skipped_message(data)


@pytest.mark.parametrize("limit", [HOST, MEMORY])
def test_only_broken_images(tmp_path, limit):
  for i in range(3):
    (tmp_path / f"{i}.png").write_text("not an image")
  with pytest.raises(InputError, match=r"none of the 3 images .* the first: 0\.png: "):
    image_folder(tmp_path, size=4, resident_bytes=limit)


def test_an_image_that_vanishes_during_the_run(classes):
  data = image_folder(classes, size=4, resident_bytes=HOST)
  (classes / "bee" / "a.png").unlink()
  assert data.train[np.arange(2)]["input"].shape == (2, 4, 4, 3)
  with pytest.raises(InputError, match=r"bee/a\.png could be read when the folder"):
    data.train[np.arange(3)]


# --- folders that are none


def test_missing_folder(tmp_path):
  with pytest.raises(InputError, match=r"there is no folder .*/none"):
    image_folder(tmp_path / "none", size=4)


def test_a_file_for_a_folder(tmp_path):
  picture(tmp_path / "a.png")
  with pytest.raises(InputError, match=r"a\.png is a file; give a folder"):
    image_folder(tmp_path / "a.png", size=4)


def test_empty_folder(tmp_path):
  with pytest.raises(InputError, match=r"found nothing; images end in \.bmp, \.jpeg"):
    image_folder(tmp_path, size=4)


def test_folder_of_other_files(tmp_path):
  for name in ("a.txt", "b.TXT", "c.gif", "README"):
    (tmp_path / name).write_text("x")
  with pytest.raises(
    InputError, match=r"found 1 \(no ending\), 1 \.gif, 2 \.txt files"
  ):
    image_folder(tmp_path, size=4)


def test_empty_test_split(tmp_path):
  picture(tmp_path / "train" / "a.png")
  (tmp_path / "test").mkdir()
  with pytest.raises(InputError, match=r"no images in .*/test: found nothing"):
    image_folder(tmp_path, size=4)


def test_unreadable_folder(classes, monkeypatch):
  scan = os.scandir

  def denied(path):
    if str(path).endswith("bee"):
      raise PermissionError(13, "Permission denied", str(path))
    return scan(path)

  monkeypatch.setattr(os, "scandir", denied)
  with pytest.raises(InputError, match=r"cannot read the folder .*Permission denied"):
    image_folder(classes, size=4)


def test_wrong_size(classes):
  with pytest.raises(InputError, match=r"size is 0; .* at least 1"):
    image_folder(classes, size=0)


def test_linked_class_folders(classes, tmp_path_factory):
  other = tmp_path_factory.mktemp("linked")
  (other / "ant").symlink_to(classes / "ant")
  assert len(image_folder(other, size=4).train) == 2
  shutil.rmtree(other)


# --- decoding


def test_resize_then_centre_crop(tmp_path):
  noise = np.random.default_rng(0).integers(0, 255, (8, 24, 3), dtype=np.uint8)
  image = Image.fromarray(noise)
  image.save(tmp_path / "a.png")
  crop = decode_image(tmp_path / "a.png", size=8)
  np.testing.assert_array_equal(crop, noise[:, 8:16])
  half = np.asarray(image.resize((12, 4), Image.Resampling.BICUBIC))[:, 4:8]
  found = decode_image(tmp_path / "a.png", size=4)
  np.testing.assert_allclose(found.astype(int), half.astype(int), atol=1)


def test_decode_without_size_keeps_the_image(tmp_path):
  picture(tmp_path / "a.png", size=(5, 3))
  assert decode_image(tmp_path / "a.png", size=None).shape == (3, 5, 3)
  assert decode_image(tmp_path / "a.png", size=None, channels=1).shape == (3, 5, 1)


def test_small_images_are_enlarged(tmp_path):
  picture(tmp_path / "a.png", size=(3, 2))
  image = decode_image(tmp_path / "a.png", size=8)
  np.testing.assert_array_equal(image, np.full((8, 8, 3), (200, 10, 90)))


@pytest.mark.parametrize(
  ("mode", "color", "expected"),
  [
    ("L", 77, (77, 77, 77)),
    ("1", 1, (255, 255, 255)),
    ("LA", (77, 255), (77, 77, 77)),
    ("RGBA", (9, 9, 9, 0), (255, 255, 255)),
    ("RGBA", (9, 10, 11, 255), (9, 10, 11)),
    ("I;16", 77 * 256 + 5, (77, 77, 77)),
  ],
)
def test_other_modes_become_colour(tmp_path, mode, color, expected):
  Image.new(mode, (4, 4), color).save(tmp_path / "a.png")
  image = decode_image(tmp_path / "a.png", size=4)
  np.testing.assert_array_equal(image, np.full((4, 4, 3), expected))


def test_palette_with_transparency(tmp_path):
  image = Image.new("P", (4, 4), 1)
  image.putpalette([0, 0, 0, 10, 20, 30])
  image.save(tmp_path / "a.png", transparency=bytes([0, 255]))
  decoded = decode_image(tmp_path / "a.png", size=4)
  np.testing.assert_array_equal(decoded, np.full((4, 4, 3), (10, 20, 30)))


def test_cmyk_jpeg(tmp_path):
  Image.new("CMYK", (4, 4), (0, 0, 0, 0)).save(tmp_path / "a.jpg")
  decoded = decode_image(tmp_path / "a.jpg", size=4)
  np.testing.assert_allclose(decoded, np.full((4, 4, 3), 255), atol=2)


def test_large_jpeg_at_reduced_scale_stays_close(tmp_path):
  ramp = np.linspace(0, 255, 256, dtype=np.uint8)
  image = np.stack(np.broadcast_arrays(ramp[:, None], ramp[None], 128), -1)
  Image.fromarray(image.astype(np.uint8)).save(tmp_path / "a.jpg", quality=95)
  Image.fromarray(image.astype(np.uint8)).save(tmp_path / "a.png")
  jpeg, png = (decode_image(tmp_path / f"a.{e}", size=16) for e in ("jpg", "png"))
  np.testing.assert_allclose(jpeg.astype(int), png.astype(int), atol=4)
