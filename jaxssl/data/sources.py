"""Where examples come from: the data set, sources in memory and on disk.

A source is indexed with an array of positions and answers with a batch. Images are
uint8 throughout: a quarter of the memory of floats, converted on the device by
`jaxssl.ops.to_float`. What other kinds of examples look like is in `kinds`.
"""

import collections
import os
import pathlib
import types
import zipfile
import zlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import jax
import numpy as np

from jaxssl.data.kinds import IMAGES, Kind, check_images
from jaxssl.errors import InputError, nearest

Arrays = dict[str, np.ndarray]

# Sources up to this many bytes are decoded once and kept in memory: what still fits
# beside a model on a 16 GB accelerator.
RESIDENT_BYTES = 4 * 2**30

IMAGE_KEYS = ("x", "images", "image", "input", "x_train")
LABEL_KEYS = ("y", "labels", "label", "y_train")
CLASS_KEYS = ("classes", "class_names")


class Left(str):
  """A line of `skipped` that isn't about one example left out.

  Attributes:
    what: one of those that it is about, such as "column".
    count: how many they are.
    done: what was done to them: "skipped" or "cut".
  """

  what: str
  count: int
  done: str

  def __new__(
    cls, line: str, *, what: str = "example", count: int = 1, done: str = "skipped"
  ) -> "Left":
    made = super().__new__(cls, line)
    made.what, made.count, made.done = what, count, done
    return made


class Source(Protocol):
  """Examples by position.

  Attributes:
    resident: whether all examples are in memory, as `arrays()`.
    skipped: what could not be read and was left out, "name: reason" each; a `Left`
      where it isn't one example.
    files: the file of each example, relative to its folder; empty without files.
  """

  resident: bool
  skipped: tuple[str, ...]
  files: tuple[str, ...]

  def __len__(self) -> int:
    """Returns the number of examples."""

  def __getitem__(self, indices: np.ndarray) -> Arrays:
    """Returns the rows at `indices`, int [n], as a dict.

    `input` of images is uint8 [n, height, width, channels]; `label`, int32 [n], is
    absent where the data have no labels.
    """

  def arrays(self) -> Arrays:
    """Returns all rows in order; an InputError where the source is not resident."""


class DataSet(NamedTuple):
  """A data set with its splits.

  Attributes:
    name: for logs and reports.
    train: the examples to pretrain on.
    test: held-out examples, or None.
    classes: class names by label; empty where there are no labels.
    kind: what the examples are.
    probe: the data set that features are scored and measured on, in the same form;
      None: this one. Its sources may be `Parts`.
    like: (spec) -> another data set in the form of this one (its tokenizer, sampling
      rate or column moments); None: images.
    files: name -> text of what an encoder needs beside its weights, such as
      "tokenizer.json"; written into the run's folder.
  """

  name: str
  train: Source
  test: Source | None
  classes: tuple[str, ...]
  kind: Kind = IMAGES
  probe: "DataSet | None" = None
  like: Callable[[str], "DataSet"] | None = None
  files: Mapping[str, str] = types.MappingProxyType({})

  @property
  def scored(self) -> "DataSet":
    """The data set that features are scored on: the probe, or this one."""
    return self if self.probe is None else self.probe


@dataclass(frozen=True, eq=False)
class ArraySource:
  """Examples that are arrays in memory.

  Attributes:
    data: `input` [n, ...], an array or a pytree of arrays, and, where known, `label`
      int32 [n].
    skipped: what could not be read, "name: reason" each.
    files: the file of each example, where there is one.
  """

  data: Arrays
  skipped: tuple[str, ...] = ()
  files: tuple[str, ...] = ()

  resident = True

  def __len__(self) -> int:
    return len(jax.tree.leaves(self.data["input"])[0])

  def __getitem__(self, indices: np.ndarray) -> Arrays:
    return jax.tree.map(lambda values: values[indices], dict(self.data))

  def arrays(self) -> Arrays:
    """Returns all rows, without a copy."""
    return self.data


@dataclass(frozen=True, eq=False)
class LazySource:
  """Examples that are read and decoded when they are asked for, in threads.

  Attributes:
    read: positions, int [n] -> batch dict; called from several threads at once.
    length: number of examples.
    skipped: what could not be read, "name: reason" each.
    files: the file of each example, where there is one.
  """

  read: Callable[[np.ndarray], Arrays]
  length: int
  skipped: tuple[str, ...] = ()
  files: tuple[str, ...] = ()

  resident = False

  def __len__(self) -> int:
    return self.length

  def __getitem__(self, indices: np.ndarray) -> Arrays:
    indices = np.asarray(indices)
    parts = np.array_split(indices, max(1, min(len(indices), 4 * threads())))
    with ThreadPoolExecutor(threads()) as pool:
      blocks = list(pool.map(self.read, parts))
    return {name: np.concatenate([b[name] for b in blocks]) for name in blocks[0]}

  def arrays(self) -> Arrays:
    """Raises an InputError: these examples do not fit in memory."""
    raise InputError(
      f"these {self.length} examples are decoded as they are needed and cannot be"
      " had as arrays; index the source, or use jaxssl.data.prefetch"
    )


@dataclass(frozen=True, eq=False)
class Parts:
  """Parts of examples: nodes of a graph, frames of a recording.

  A part's features are those that `encode(..., patches=True)` gives it.

  Attributes:
    whole: the examples.
    row: position of each part's example in `whole`, int [n].
    part: position of each part in its example, int [n].
    label: int32 [n], or None where none are known.
  """

  whole: ArraySource
  row: np.ndarray
  part: np.ndarray
  label: np.ndarray | None

  resident = False
  skipped = ()
  files = ()

  def __len__(self) -> int:
    return len(self.part)

  def __getitem__(self, indices: np.ndarray) -> Arrays:
    return {} if self.label is None else {"label": self.label[indices]}

  def arrays(self) -> Arrays:
    """Raises an InputError: parts are not examples by themselves."""
    raise InputError("parts of examples are read through `whole`")

  def some(self, indices: np.ndarray) -> "Parts":
    """Returns the parts at `indices`."""
    label = None if self.label is None else self.label[indices]
    return Parts(self.whole, self.row[indices], self.part[indices], label)


def threads() -> int:
  """Returns how many threads decode images: one per core, at most 32."""
  return min(32, os.cpu_count() or 1)


def in_memory(source: LazySource) -> ArraySource:
  """Reads every example of `source`, in blocks that bound the extra memory."""
  blocks = np.array_split(np.arange(len(source)), max(1, len(source) // 1024))
  first = source[blocks[0]]
  data = {
    name: np.empty((len(source), *values.shape[1:]), values.dtype)
    for name, values in first.items()
  }
  for block in blocks:
    for name, values in (first if block is blocks[0] else source[block]).items():
      data[name][block] = values
  return ArraySource(data, skipped=source.skipped)


def skipped_message(data: DataSet, *, shown: int = 5) -> str:
  """Returns one line about what was left out or cut, or "" if there is nothing.

  It is about the data set and its probe.

  Args:
    data: a data set.
    shown: how many of the lines are repeated.
  """
  probe = () if data.probe is None else (data.probe.train, data.probe.test)
  sources = [s for s in (data.train, data.test, *probe) if s is not None]
  what = "unreadable image" if data.kind is IMAGES else "example"
  skipped = [line for source in sources for line in source.skipped]
  if not skipped:
    return ""
  more = f"; and {len(skipped) - shown} more" if len(skipped) > shown else ""
  said = _counted(skipped, what)
  return f"{data.name}: {said}: {'; '.join(skipped[:shown])}{more}"


def _counted(lines, what):
  """How many of each kind the lines are about: "skipped 3 rows and 1 column"."""
  counts = {}
  for line in lines:
    left = line if isinstance(line, Left) else Left(line, what=what)
    things = counts.setdefault(left.done, collections.Counter())
    things[left.what] += left.count
  listed = lambda things: " and ".join(counted(n, x) for x, n in things.items())
  return ", ".join(f"{done} {listed(things)}" for done, things in counts.items())


def counted(count: int, what: str) -> str:
  """Returns a number of things: "1 row", "2 rows"."""
  return f"{count} {what}{'' if count == 1 else 's'}"


def blank(shape: str) -> DataSet:
  """Returns red images that take no memory: for plans and timings.

  Args:
    shape: examples, height, width and channels: "1000x256x256x3".

  Raises:
    InputError: if it isn't four positive numbers.
  """
  sizes = [int(n) if n.isdigit() else 0 for n in shape.split("x")]
  if len(sizes) != 4 or min(sizes) < 1:
    raise InputError(
      f"'{shape}' are no blank images; write examples, height, width and channels, as "
      "in blank:1000x256x256x3."
    )
  length, *size = sizes

  def read(indices):
    rows = len(indices)
    images = reddened(np.zeros((rows, *size), np.uint8))
    return {"input": images, "label": np.zeros(rows, np.int32)}

  return DataSet(f"blank {shape}", LazySource(read, length), None, ("none",))


def reddened(images: np.ndarray) -> np.ndarray:
  """Makes images red in place, as colorization refuses those without a colour."""
  images[..., 0] = 255
  return images


def digits() -> DataSet:
  """Returns the handwritten digits that ship with scikit-learn.

  1,797 grey images of 8x8 pixels in 10 classes, scaled from 0..16 to uint8 0..255;
  1,297 to train on and 500 to test, stratified by class, always the same ones.
  """
  from sklearn.datasets import load_digits
  from sklearn.model_selection import train_test_split

  images, labels = load_digits(return_X_y=True)
  images = np.round(images * (255.0 / 16.0)).astype(np.uint8).reshape(-1, 8, 8, 1)
  labels = labels.astype(np.int32)
  train, test = train_test_split(
    np.arange(len(labels)), test_size=500, random_state=0, stratify=labels
  )
  splits = [
    ArraySource({"input": images[rows], "label": labels[rows]})
    for rows in (train, test)
  ]
  return DataSet("digits", *splits, classes=tuple("0123456789"))


def npz(path: str | os.PathLike) -> DataSet:
  """Opens images that were saved with `numpy.savez`.

  Keys: images under `x`, `images`, `image`, `input` or `x_train`; if known, labels
  under `y`, `labels`, `label` or `y_train`; a test split under `x_test` (and
  `y_test`); class names under `classes` or `class_names` (else "0", "1", ...).

  Args:
    path: the .npz file. Images are [n, height, width] or
      [n, height, width, channels], uint8, or float in [0, 1], which is rounded to
      uint8; labels are integers from 0, [n].

  Raises:
    InputError: if the file, its keys, or an array in it is not as said here.
  """
  path = pathlib.Path(path).expanduser()
  with _open_npz(path) as archive:
    image_key = _find_key(archive, IMAGE_KEYS)
    if image_key is None:
      raise InputError(_no_images(path, archive.files))
    train = _npz_split(archive, path, image_key, _find_key(archive, LABEL_KEYS))
    test = _npz_split(archive, path, "x_test", "y_test")
    class_key = _find_key(archive, CLASS_KEYS)
    names = () if class_key is None else _read(archive, class_key, path).ravel()
  _check_test_shape(train, test, path)
  return DataSet(path.stem, train, test, _class_names(names, train, test, path))


def _open_npz(path):
  if not path.is_file():
    raise InputError(f"there is no file {path}; expected an .npz of numpy.savez")
  if not zipfile.is_zipfile(path):
    raise InputError(f"{path} is not an .npz file (written by numpy.savez)")
  return np.load(path)


def _find_key(archive, keys):
  """Returns the first of `keys` that the archive has, or None."""
  return next((key for key in keys if key in archive.files), None)


def _no_images(path, found):
  hint = "".join(nearest(name, IMAGE_KEYS) for name in found[:1])
  return (
    f"{path} has the keys {', '.join(found) or '(none)'}; images are looked for"
    f" under {', '.join(IMAGE_KEYS)}.{hint}"
  )


def _read(archive, key, path):
  try:
    return archive[key]
  except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
    raise InputError(f"cannot read '{key}' of {path}: {error}") from error


def _npz_split(archive, path, image_key, label_key):
  """Returns one split as an ArraySource, or None where the file has none."""
  label_key = label_key if label_key in archive.files else None
  if image_key not in archive.files:
    if label_key:
      raise InputError(f"{path} has '{label_key}' but no '{image_key}'")
    return None
  data = {"input": _images(_read(archive, image_key, path), f"'{image_key}' of {path}")}
  if label_key:
    labels = _read(archive, label_key, path)
    name = f"'{label_key}' of {path}"
    data["label"] = _labels(labels, len(data["input"]), name)
  return ArraySource(data)


def _images(images, name):
  """Checks images and returns them as uint8 [n, height, width, channels]."""
  if images.ndim == 3:
    images = images[..., None]
  check_images(images, name=name)
  if images.dtype == np.uint8:
    return images
  return np.round(images.astype(np.float32) * 255.0).astype(np.uint8)


def _labels(labels, examples, name):
  """Checks labels and returns them as int32 [n]."""
  if labels.shape != (examples,):
    raise InputError(
      f"{name} has shape {labels.shape}, but there are {examples} images; labels"
      f" are one integer per image, shape ({examples},)"
    )
  if labels.dtype.kind not in "iu":
    raise InputError(f"{name} is {labels.dtype}; labels are integers from 0")
  if labels.min() < 0:
    raise InputError(f"{name} has the label {labels.min()}; labels start at 0")
  return labels.astype(np.int32)


def _check_test_shape(train, test, path):
  if test is None:
    return
  shapes = [source.data["input"].shape[1:] for source in (train, test)]
  if shapes[0] != shapes[1]:
    raise InputError(
      f"{path} has training images of shape {shapes[0]} and test images of shape"
      f" {shapes[1]}; both must be the same"
    )


def _class_names(names, train, test, path):
  """Returns `names`, or "0", "1", ... up to the largest label."""
  labelled = [s.data["label"] for s in (train, test) if s and "label" in s.data]
  count = max((int(labels.max()) + 1 for labels in labelled), default=0)
  if len(names) and len(names) < count:
    raise InputError(
      f"{path} has {len(names)} class names but labels up to {count - 1}"
    )
  return tuple(str(name) for name in names) or tuple(str(i) for i in range(count))
