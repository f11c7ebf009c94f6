"""Data in memory: digits, .npz files, checks of images."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl.data import ArraySource, DataSet, LazySource, check_images, digits, npz
from jaxssl.data.kinds import IMAGES as IMAGE_KIND
from jaxssl.data.sources import Left, in_memory, skipped_message
from jaxssl.errors import InputError

IMAGES = np.arange(6 * 4 * 5 * 3, dtype=np.uint8).reshape(6, 4, 5, 3)
LABELS = np.asarray([0, 1, 2, 0, 1, 2])


@pytest.fixture
def save(tmp_path):
  """Returns a function that writes an .npz file and returns its path."""

  def write(**arrays):
    np.savez(tmp_path / "mine.npz", **arrays)
    return tmp_path / "mine.npz"

  return write


def test_digits():
  data = digits()
  assert (data.name, len(data.train), len(data.test)) == ("digits", 1297, 500)
  assert data.classes == tuple("0123456789")
  train, test = data.train.arrays(), data.test.arrays()
  assert train["input"].shape == (1297, 8, 8, 1)
  assert train["input"].dtype == np.uint8 and train["label"].dtype == np.int32
  assert train["input"].max() == 255
  shares = [np.bincount(part["label"]) / len(part["label"]) for part in (train, test)]
  np.testing.assert_allclose(shares[0], shares[1], atol=0.002)  # stratified


def test_digits_hold_the_pixels_of_scikit_learn():
  from sklearn.datasets import load_digits

  images, labels = load_digits(return_X_y=True)
  pixels = np.round(images * 255 / 16)
  expected = {(tuple(x), y) for x, y in zip(pixels, labels, strict=True)}
  data = digits()
  parts = [data.train.arrays(), data.test.arrays()]
  found = {
    (tuple(x.ravel().astype(float)), y)
    for part in parts
    for x, y in zip(part["input"], part["label"], strict=True)
  }
  assert found == expected


def test_digits_are_split_the_same_way_every_time():
  np.testing.assert_array_equal(
    digits().test.arrays()["input"], digits().test.arrays()["input"]
  )


def test_array_source_gathers_rows():
  source = ArraySource({"input": IMAGES, "label": LABELS})
  batch = source[np.asarray([4, 0, 4])]
  np.testing.assert_array_equal(batch["input"], IMAGES[[4, 0, 4]])
  assert batch["label"].tolist() == [1, 0, 1]
  assert source.resident and len(source) == 6 and source.skipped == ()


def lazy(read=lambda rows: {"input": IMAGES[rows], "label": LABELS[rows]}, length=6):
  return LazySource(read, length)


def test_lazy_source_keeps_the_order_across_its_threads():
  rows = np.random.default_rng(0).integers(0, 6, 301)
  batch = lazy()[rows]
  np.testing.assert_array_equal(batch["input"], IMAGES[rows])
  np.testing.assert_array_equal(batch["label"], LABELS[rows])


def test_lazy_source_has_no_arrays():
  assert not lazy().resident
  with pytest.raises(InputError, match="these 6 examples are decoded as they are need"):
    lazy().arrays()


def test_lazy_source_raises_what_its_reader_raises():
  def read(rows):
    raise RuntimeError("disk gone")

  with pytest.raises(RuntimeError, match="disk gone"):
    lazy(read)[np.arange(3)]


def test_in_memory_reads_everything_in_order():
  many = np.arange(10_000, dtype=np.uint8).reshape(-1, 1, 1, 1)
  source = in_memory(lazy(lambda rows: {"input": many[rows]}, length=10_000))
  assert source.resident
  np.testing.assert_array_equal(source.arrays()["input"], many)


@pytest.mark.parametrize(
  ("lines", "message"),
  [
    ((), ""),
    (("a.png: cut",), "cats: skipped 1 unreadable image: a.png: cut"),
    (
      tuple(f"{i}.png: cut" for i in range(4)),
      "cats: skipped 4 unreadable images: 0.png: cut; 1.png: cut; and 2 more",
    ),
  ],
)
def test_skipped_message_counts_both_splits(lines, message):
  train = ArraySource({"input": IMAGES}, skipped=lines[:1])
  test = ArraySource({"input": IMAGES}, skipped=lines[1:])
  assert skipped_message(DataSet("cats", train, test, ()), shown=2) == message
  alone = DataSet("cats", ArraySource({"input": IMAGES}, lines), None, ())
  assert skipped_message(alone, shown=2) == message


def test_skipped_message_counts_what_the_lines_are_about():
  lines = (
    Left("4 rows: no label", what="row", count=4),
    Left("column 'x': constant", what="column"),
    Left("row 7: cut to 3", done="cut"),
    Left("column 'y': constant", what="column"),
  )
  source = ArraySource({"input": IMAGES}, skipped=lines)
  table = DataSet("cats", source, None, (), IMAGE_KIND._replace(name="tables"))
  said = (
    "cats: skipped 4 rows and 2 columns, cut 1 example: 4 rows: no label; and 3 more"
  )
  assert skipped_message(table, shown=1) == said


# --- .npz files


@pytest.mark.parametrize("image_key", ["x", "images", "image", "input", "x_train"])
@pytest.mark.parametrize("label_key", ["y", "labels", "label", "y_train"])
def test_npz_keys(save, image_key, label_key):
  data = npz(save(**{image_key: IMAGES, label_key: LABELS}))
  assert data.name == "mine" and data.test is None and data.classes == ("0", "1", "2")
  np.testing.assert_array_equal(data.train.arrays()["input"], IMAGES)
  assert data.train.arrays()["label"].dtype == np.int32


def test_npz_with_test_split_and_class_names(save):
  names = np.asarray(["ant", "bee", "cow"])
  path = save(x=IMAGES, y=LABELS, x_test=IMAGES[:2], y_test=LABELS[:2], classes=names)
  data = npz(str(path))
  assert data.classes == ("ant", "bee", "cow")
  np.testing.assert_array_equal(data.test.arrays()["input"], IMAGES[:2])
  assert data.test.arrays()["label"].tolist() == [0, 1]


def test_npz_without_labels(save):
  data = npz(save(x=IMAGES))
  assert set(data.train.arrays()) == {"input"} and data.classes == ()


def test_npz_adds_a_channel_to_grey_images(save):
  grey = npz(save(x=IMAGES[..., 0])).train.arrays()["input"]
  np.testing.assert_array_equal(grey, IMAGES[..., :1])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_npz_rounds_floats_to_uint8(save, dtype):
  data = npz(save(x=(IMAGES / 255).astype(dtype))).train.arrays()["input"]
  assert data.dtype == np.uint8
  np.testing.assert_array_equal(data, IMAGES)


NAN = np.where(np.arange(IMAGES.size).reshape(IMAGES.shape) == 100, np.nan, 0.5)


@pytest.mark.parametrize(
  ("arrays", "message"),
  [
    ({"x": IMAGES[0, 0]}, r"shape \(5, 3\); images are \[batch"),
    ({"x": IMAGES[None]}, r"images are \[batch, height, width, channels\]"),
    ({"x": IMAGES[:0]}, "there are no images"),
    ({"x": IMAGES.astype(np.int64)}, "is int64; images are uint8"),
    ({"x": IMAGES > 3}, "is bool"),
    ({"x": IMAGES.astype(np.float32)}, "0 to 255; float images are in .*divide by 255"),
    ({"x": IMAGES / 255 - 0.5}, "values from -0.5"),
    ({"x": NAN}, "holds NaN"),
    ({"x": np.where(np.isnan(NAN), np.inf, NAN)}, "to inf"),
    ({"x": IMAGES, "y": LABELS[:4]}, r"shape \(4,\), but there are 6 images"),
    ({"x": IMAGES, "y": LABELS[:, None]}, r"shape \(6, 1\), but"),
    ({"x": IMAGES, "y": LABELS / 2}, "labels are integers"),
    ({"x": IMAGES, "y": LABELS - 1}, "label -1; labels start at 0"),
    ({"x": IMAGES, "y_test": LABELS}, "'y_test' but no 'x_test'"),
    ({"x": IMAGES, "x_test": IMAGES[:, 1:]}, r"test images of shape \(3, 5, 3\)"),
    ({"x": IMAGES, "y": LABELS, "classes": ["a", "b"]}, "2 class names but labels up"),
    ({"x": np.asarray([{}, {}], object)}, "cannot read 'x'"),
    ({"imags": IMAGES}, "has the keys imags; .* Did you mean 'images'"),
    ({}, r"keys \(none\)"),
  ],
)
def test_wrong_npz(save, arrays, message):
  with pytest.raises(InputError, match=message):
    npz(save(**arrays))


def test_missing_npz(tmp_path):
  with pytest.raises(InputError, match=r"there is no file .*none\.npz"):
    npz(tmp_path / "none.npz")


def test_npz_that_is_another_file(tmp_path):
  (tmp_path / "text.npz").write_text("hello")
  with pytest.raises(InputError, match=r"not an \.npz file"):
    npz(tmp_path / "text.npz")


def test_damaged_npz(save):
  path = save(x=IMAGES)
  content = bytearray(path.read_bytes())
  content[200:240] = bytes(40)
  path.write_bytes(content)
  with pytest.raises(InputError, match="cannot read 'x'"):
    npz(path)


# --- checks of a batch


def test_check_images_accepts_good_ones():
  check_images(IMAGES)
  check_images({"input": jnp.asarray(IMAGES)})
  check_images(jnp.full((1, 2, 2, 1), 0.5, jnp.bfloat16))


@pytest.mark.parametrize(
  ("batch", "message"),
  [
    ({"label": LABELS}, r"needs the key 'input'; it has \['label'\]"),
    ({"input": IMAGES[0]}, r"input has shape \(4, 5, 3\)"),
    (IMAGES.astype(np.int32), "input is int32"),
    (jnp.full((1, 2, 2, 1), jnp.nan, jnp.bfloat16), "NaN"),
    (IMAGES[:, :0], "there are no images"),
  ],
)
def test_check_images_rejects_bad_ones(batch, message):
  with pytest.raises(InputError, match=message):
    check_images(batch)
