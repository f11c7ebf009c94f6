"""tensorflow-datasets: a tiny data set prepared on the spot, without TensorFlow."""

import io
import sys

import numpy as np
import pytest
from absl import logging
from PIL import Image

from jaxssl.data import open_data, tfds_images
from jaxssl.errors import InputError

tfds = pytest.importorskip("tensorflow_datasets")
registered = pytest.importorskip("tensorflow_datasets.core.registered")

CLASSES = ["ant", "bee", "cow"]


def png(red, size):
  """Returns a PNG of one colour as bytes."""
  file = io.BytesIO()
  Image.new("RGB", size, (red, 0, 0)).save(file, "PNG")
  return file.getvalue()


def prepare(name, folder, *, shape, splits, sizes=((6, 6),), hidden=(), features=None):
  """Writes a data set of red images: the red of each tells which one it is.

  Labels are red % 3, or -1 in the splits that are `hidden`. The builder is not
  registered, so tfds knows the data from the files alone.
  """
  image = {"image": tfds.features.Image(shape=shape, encoding_format="png")}
  label = {"label": tfds.features.ClassLabel(names=CLASSES)}
  box = {"boxes": tfds.features.Sequence({"box": tfds.features.BBoxFeature()})}
  chosen = features or image | label | box

  def examples(split, reds):
    for red in reds:
      record = {
        "image": png(red, sizes[red % len(sizes)]),
        "label": -1 if split in hidden else red % 3,
        "boxes": [{"box": tfds.features.BBox(0.0, 0.0, 0.5, 1.0)}],
        "number": red,
      }
      yield red, {key: record[key] for key in chosen}

  with registered.skip_registration():

    class Builder(tfds.core.GeneratorBasedBuilder):
      VERSION = tfds.core.Version("1.0.0")
      name = "to_be_set"
      pkg_dir_path = folder

      def _info(self):
        return self.dataset_info_from_configs(
          features=tfds.features.FeaturesDict(chosen)
        )

      def _split_generators(self, dl_manager):
        return {split: examples(split, reds) for split, reds in splits.items()}

      _generate_examples = None

  Builder.name = name
  Builder(data_dir=folder, file_format="array_record").download_and_prepare()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """A data_dir with several tiny data sets."""
  folder = tmp_path_factory.mktemp("tfds")
  plain = {"shape": (6, 6, 3)}
  prepare("reds", folder, **plain, splits={"train": range(40), "test": range(50, 57)})
  prepare(
    "secret_test",
    folder,
    **plain,
    splits={"train": range(6), "test": range(6, 12), "validation": range(20, 24)},
    hidden=("test",),
  )
  prepare("unlabelled", folder, **plain, splits={"train": range(4)}, hidden=("train",))
  mixed = {"shape": (None, None, 3), "sizes": ((6, 8), (12, 6))}
  prepare("mixed", folder, **mixed, splits={"train": range(8)})
  numbers = {"number": tfds.features.Scalar(np.int64)}
  prepare("numbers", folder, **plain, features=numbers, splits={"train": range(4)})
  return folder


def reds(source):
  """Returns the red of each image."""
  return source[np.arange(len(source))]["input"][:, 0, 0, 0].astype(int)


@pytest.mark.parametrize("limit", [0, 2**20], ids=["host", "memory"])
def test_read(folder, limit):
  data = tfds_images("reds", data_dir=folder, resident_bytes=limit)
  assert data.name == "reds" and data.classes == tuple(CLASSES)
  assert (len(data.train), len(data.test)) == (40, 7)
  assert data.train.resident == (limit > 0)
  batch = data.train[np.arange(40)]
  assert batch["input"].shape == (40, 6, 6, 3) and batch["input"].dtype == np.uint8
  assert batch["label"].dtype == np.int32
  np.testing.assert_array_equal(batch["label"], reds(data.train) % 3)
  assert sorted(reds(data.train)) == list(range(40))
  assert sorted(reds(data.test)) == list(range(50, 57))


def test_host_and_memory_have_the_same_positions(folder):
  memory = tfds_images("reds", data_dir=folder).train
  host = tfds_images("reds", data_dir=folder, resident_bytes=0).train
  rows = np.asarray([7, 39, 0, 7])
  for name, values in memory[rows].items():
    np.testing.assert_array_equal(host[rows][name], values)


def test_open_data_by_name(folder):
  for spec in ("reds", "tfds:reds"):
    assert len(open_data(spec, data_dir=folder, size=4).train) == 40


def test_resize(folder):
  data = tfds_images("reds", data_dir=folder, size=4)
  assert data.train.arrays()["input"].shape == (40, 4, 4, 3)


def test_images_of_several_sizes(folder):
  data = tfds_images("mixed", data_dir=folder, size=5)
  assert data.train.arrays()["input"].shape == (8, 5, 5, 3) and data.test is None
  with pytest.raises(InputError, match="images of 'mixed' differ in size; pass `size`"):
    tfds_images("mixed", data_dir=folder)


def test_split_slices(folder):
  data = tfds_images("reds", data_dir=folder, train="train[:75%]", test="train[75%:]")
  assert (len(data.train), len(data.test)) == (30, 10)
  both = [*reds(data.train), *reds(data.test)]
  assert sorted(both) == list(range(40))


def test_validation_where_the_labels_of_test_are_secret(folder):
  data = tfds_images("secret_test", data_dir=folder)
  assert sorted(reds(data.test)) == list(range(20, 24))
  secret = tfds_images("secret_test", data_dir=folder, test="test").test
  assert "label" not in secret.arrays()


def test_training_split_without_labels(folder):
  assert set(tfds_images("unlabelled", data_dir=folder).train.arrays()) == {"input"}


@pytest.fixture
def absl_verbosity():
  """Leaves absl as talkative as it was."""
  before = logging.get_verbosity()
  yield
  logging.set_verbosity(before)


@pytest.mark.parametrize("level", [logging.WARNING, logging.INFO])
def test_absl_is_as_talkative_as_before(folder, absl_verbosity, level):
  logging.set_verbosity(level)
  tfds_images("reds", data_dir=folder)
  assert logging.get_verbosity() == level


def test_reading_imports_no_tensorflow(folder):
  tfds_images("reds", data_dir=folder)
  assert "tensorflow" not in sys.modules


# --- what can go wrong


def test_not_prepared_shows_the_command(tmp_path):
  with pytest.raises(InputError) as error:
    tfds_images("fashion_mnist", data_dir=tmp_path)
  message = str(error.value)
  assert f"'fashion_mnist' is not prepared in {tmp_path}/fashion_mnist" in message
  assert (
    "python -c \"import tensorflow_datasets as tfds; tfds.builder('fashion_mnist',"
    f" data_dir='{tmp_path}', file_format='array_record').download_and_prepare()\""
  ) in message
  assert "TFDS_DATA_DIR" in message


def test_prepared_in_a_format_that_needs_tensorflow(folder, tmp_path):
  info = (folder / "reds" / "1.0.0" / "dataset_info.json").read_text()
  copy = tmp_path / "reds" / "1.0.0"
  copy.mkdir(parents=True)
  for name in ("features.json", "label.labels.txt"):
    (copy / name).write_bytes((folder / "reds" / "1.0.0" / name).read_bytes())
  changed = info.replace("array_record", "tfrecord")
  (copy / "dataset_info.json").write_text(changed)
  with pytest.raises(
    InputError, match=r"as tfrecord, which needs TensorFlow.*array_rec"
  ):
    tfds_images("reds", data_dir=tmp_path)


@pytest.mark.parametrize(
  ("name", "message"),
  [
    ("fashion_mnst", r"no data set 'fashion_mnst'.* Did you mean 'fashion_mnist'\?"),
    ("digit", r"Did you mean 'digits'\?"),
    ("Fashion-MNIST", "there is no data set 'Fashion-MNIST'"),
    ("imagenette/1px", "cannot open 'imagenette/1px': .* BuilderConfig 1px not found"),
    ("cifar10:9.9.9", "cannot open 'cifar10:9.9.9': .*only: "),
    (
      "ag_news_subset",
      "'ag_news_subset' has no uint8 image; it has the features descr",
    ),
  ],
)
def test_wrong_names(tmp_path, name, message):
  with pytest.raises(InputError, match=message):
    open_data(name, data_dir=tmp_path)


def test_no_images(folder):
  with pytest.raises(InputError, match="no uint8 image; it has the features number"):
    tfds_images("numbers", data_dir=folder)


def test_wrong_split(folder):
  message = r"no examples 'tain' \(Unknown .*are train, test\. Did you mean 'train'\?"
  with pytest.raises(InputError, match=message):
    tfds_images("reds", data_dir=folder, train="tain")


def test_wrong_size(folder):
  with pytest.raises(InputError, match="size is -1"):
    tfds_images("reds", data_dir=folder, size=-1)


def test_empty_slice(folder):
  with pytest.raises(InputError, match=r"no examples 'train\[:0\]'"):
    tfds_images("reds", data_dir=folder, train="train[:0]")


def test_not_installed(monkeypatch):
  monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
  with pytest.raises(InputError, match="pip install tensorflow-datasets") as error:
    open_data("digit")
  assert "Did you mean 'digits'?" in str(error.value)
