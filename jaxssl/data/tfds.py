"""Image data sets of tensorflow-datasets, read without TensorFlow."""

import contextlib
import functools
import math
import os
import warnings
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from absl import logging

from jaxssl.data.folders import check_size, decode_bytes
from jaxssl.data.sources import RESIDENT_BYTES, DataSet, LazySource, Source, in_memory
from jaxssl.errors import InputError, nearest

TEST_SPLITS = ("test", "validation")


class Columns(NamedTuple):
  """Which features of a data set are used.

  Attributes:
    image: name of the image feature.
    label: name of the class label, or None.
    shape: [height, width, channels] after decoding, channels 1 or 3.
    resize: side of the square that images are brought to; None keeps their size.
    classes: class names; empty without labels.
  """

  image: str
  label: str | None
  shape: tuple[int, int, int]
  resize: int | None
  classes: tuple[str, ...]


def tfds_images(
  name: str,
  *,
  size: int | None = None,
  data_dir: str | os.PathLike | None = None,
  train: str = "train",
  test: str | None = None,
  resident_bytes: int = RESIDENT_BYTES,
  also: Sequence[str] = (),
) -> DataSet:
  """Opens an image data set of tensorflow-datasets that is already prepared.

  Nothing is downloaded. The data must be in the array_record format, which is read
  without TensorFlow; images are decoded with pillow.

  Args:
    name: for instance "fashion_mnist", "cifar10" or "imagenette/320px-v2".
    size: side in pixels that images are scaled and centre-cropped to; None keeps
      them as they are, if all have the same size.
    data_dir: where the data are; None for TFDS_DATA_DIR or tfds's default.
    train: the split to train on, for instance "train" or "train[:80%]".
    test: the split to test on; None for `test`, or for `validation` if there is no
      test split or it has no labels; no test data if there is neither.
    resident_bytes: splits up to this size are kept in memory.
    also: names that the caller knows too, to suggest for an unknown name.

  Raises:
    InputError: if tensorflow-datasets is not installed, knows no such data set, has
      not prepared it (the message has the command), or it has no images.
  """
  check_size(size)
  with _quiet():
    tfds = _import(name, also)
    builder = _builder(tfds, name, data_dir, also)
    columns = _columns(tfds, builder.info.features, name, size)
    _check_prepared(builder, name, data_dir)
    sources = {
      role: _source(tfds, builder, split, columns, resident_bytes)
      for role, split in _splits(tfds, builder, columns, train, test).items()
    }
  return DataSet(name, sources["train"], sources.get("test"), columns.classes)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
  """Silences what tfds logs and warns about TensorFlow and OpenCV being absent."""
  before = logging.get_verbosity()
  logging.set_verbosity(logging.ERROR)
  try:
    yield
  finally:
    logging.set_verbosity(before)


def _import(name, also):
  """Imports tensorflow-datasets."""
  try:
    with warnings.catch_warnings():
      warnings.simplefilter("ignore")
      import tensorflow_datasets
  except ImportError as error:
    raise InputError(
      f"the data '{name}' need tensorflow-datasets, which cannot be imported"
      f" ({error}): pip install tensorflow-datasets importlib_resources array_record."
      f"{nearest(name, also)}"
    ) from error
  return tensorflow_datasets


def _builder(tfds, name, data_dir, also):
  """Returns the builder of `name`; finds its closest name where there is none."""
  try:
    return tfds.builder(name, data_dir=data_dir)
  except Exception as error:  # tfds raises a dozen types for bad names
    known = [*also, *tfds.list_builders(with_community_datasets=False)]
    if name.split("/")[0].split(":")[0] in known:
      first = str(error).strip().splitlines()[0]
      raise InputError(f"tensorflow-datasets cannot open '{name}': {first}") from error
    raise InputError(
      f"there is no data set '{name}': it is no file or folder, and tensorflow-datasets"
      f" has none of that name.{nearest(name, known)}"
    ) from error


def _check_prepared(builder, name, data_dir):
  """Raises, with the command that prepares the data, unless they can be read."""
  place = "" if data_dir is None else f"data_dir='{data_dir}', "
  command = (
    'python -c "import tensorflow_datasets as tfds; '
    f"tfds.builder('{name}', {place}file_format='array_record')"
    '.download_and_prepare()"'
  )
  if not builder.is_prepared():
    raise InputError(
      f"'{name}' is not prepared in {builder.data_dir}. Prepare it once (most data sets"
      f" need TensorFlow for that, reading them does not):\n  {command}\nor say where"
      " it is with data_dir, or in the environment variable TFDS_DATA_DIR"
    )
  formats = {file_format.value for file_format in builder.info.available_file_formats()}
  if "array_record" not in formats:
    raise InputError(
      f"'{name}' is prepared in {builder.data_dir} as {', '.join(sorted(formats))},"
      " which needs TensorFlow to read. Prepare it in another data_dir, as"
      f" array_record:\n  {command}"
    )


def _columns(tfds, features, name, size) -> Columns:
  """Chooses the image and the label among the features."""
  of_type = lambda kind: [key for key, f in features.items() if isinstance(f, kind)]
  image = _preferred("image", of_type(tfds.features.Image))
  label = _preferred("label", of_type(tfds.features.ClassLabel))
  if image is None or features[image].np_dtype != np.uint8:
    raise InputError(
      f"'{name}' has no uint8 image; it has the features {', '.join(sorted(features))}"
    )
  height, width, channels = features[image].shape
  if size is None and None in (height, width):
    raise InputError(
      f"the images of '{name}' differ in size; pass `size`, the side in pixels to"
      " bring them to"
    )
  square = size if size is not None and (height, width) != (size, size) else None
  return Columns(
    image,
    label,
    shape=(square or height, square or width, 1 if channels == 1 else 3),
    resize=square,
    classes=tuple(features[label].names) if label else (),
  )


def _preferred(name, keys):
  """Returns `name` if it is among the keys, else the only key, else None."""
  if name in keys:
    return name
  return keys[0] if len(keys) == 1 else None


def _splits(tfds, builder, columns, train, test) -> dict[str, str]:
  """Returns the split of each role; `test` is absent where there is none."""
  if test is None:
    found = [split for split in TEST_SPLITS if split in builder.info.splits]
    labelled = lambda split: _is_labelled(_records(tfds, builder, split), columns)
    test = next(filter(labelled, found), found[0] if found else None)
  return {"train": train} if test is None else {"train": train, "test": test}


def _records(tfds, builder, split) -> Sequence[bytes]:
  """Returns the examples of a split as tfds wrote them."""
  try:
    return builder.as_data_source(
      split=split,
      file_format="array_record",
      deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES,
    )
  except (ValueError, KeyError, AssertionError) as error:
    splits = builder.info.splits
    hint = "" if split in splits else nearest(split, splits)
    raise InputError(
      f"'{builder.info.name}' has no examples '{split}' ({str(error).splitlines()[0]});"
      f" its splits are {', '.join(splits)}.{hint}"
    ) from error


def _parse(record, columns) -> tuple[bytes, int]:
  """Returns the encoded image and the label of a record; -1 for no label.

  Only these two are parsed. tfds's own parser decodes every feature, and takes OpenCV
  or pillow for the image as it finds them, which do not give the same pixels.
  """
  from tensorflow_datasets.proto import tf_example_pb2

  features = tf_example_pb2.Example.FromString(record).features.feature
  image = features[columns.image].bytes_list.value[0]
  if columns.label is None:
    return image, -1
  return image, features[columns.label].int64_list.value[0]


def _is_labelled(records, columns) -> bool:
  """Returns whether there are labels: tfds writes -1 where they are secret."""
  return _parse(records[0], columns)[1] >= 0


def _source(tfds, builder, split, columns, resident_bytes) -> Source:
  records = _records(tfds, builder, split)
  source = LazySource(_reader(records, columns), len(records))
  fits = len(records) * math.prod(columns.shape) <= resident_bytes
  return in_memory(source) if fits else source


def _reader(records, columns):
  """Returns a function from positions to a batch."""
  decode = functools.partial(
    decode_bytes, size=columns.resize, channels=columns.shape[-1]
  )
  labelled = _is_labelled(records, columns)

  def read(indices):
    rows = [_parse(row, columns) for row in records.__getitems__(indices.tolist())]
    batch = {"input": np.stack([decode(image) for image, _ in rows])}
    if labelled:
      batch["label"] = np.asarray([label for _, label in rows], np.int32)
    return batch

  return read
