"""What a run keeps of its data: enough for its encoder, without the data.

`run:FOLDER` in place of a data set's name opens it: as many examples of the same form,
all alike and blank, and the tokenizer, the columns and what else lies in the folder.
"""

import json
import math
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxssl.data.kinds import Kind
from jaxssl.data.sources import ArraySource, DataSet
from jaxssl.errors import InputError

PyTree = Any
PREFIX, FILE = "run:", "data.json"


class Kept(NamedTuple):
  """What `form_of` found, read from a run's folder.

  Attributes:
    spec: what the run's data were opened by.
    name: of the data set.
    classes: names of its classes.
    lengths: number of training and of test examples; 0: no test split.
    leaves: shape and dtype of each array of an example.
    labelled: whether training examples have labels.
    files: as `DataSet.files`.
  """

  spec: str
  name: str
  classes: tuple[str, ...]
  lengths: tuple[int, int]
  leaves: tuple[tuple[tuple[int, ...], str], ...]
  labelled: bool
  files: Mapping[str, str]

  def splits(self, make: Callable[..., PyTree]) -> list[ArraySource | None]:
    """Returns training and test examples that take no memory.

    Args:
      make: the arrays of one example, all zeros -> the example.
    """
    example = make(*(np.zeros(shape, dtype) for shape, dtype in self.leaves))
    return [self._split(example, n) if n else None for n in self.lengths]

  def _split(self, example, count):
    repeat = lambda x: np.broadcast_to(x, (count, *np.shape(x)))
    data = {"input": jax.tree.map(repeat, example)}
    if self.labelled:
      data["label"] = np.zeros(count, np.int32)
    return ArraySource(data)

  def data_set(
    self,
    kind: Kind,
    make: Callable[..., PyTree] = lambda array: array,
    like: Callable[[str], DataSet] | None = None,
  ) -> DataSet:
    """Returns the data set; see `splits` and `DataSet`."""
    splits = self.splits(make)
    return DataSet(self.name, *splits, self.classes, kind, like=like, files=self.files)


def form_of(data: DataSet, spec: str) -> str:
  """Returns what `data.json` holds: form and number of the examples, as JSON.

  Args:
    data: the data set of a run.
    spec: what it was opened by.
  """
  first = data.train[np.zeros(1, np.int32)]
  leaves = [[x.shape[1:], str(x.dtype)] for x in jax.tree.leaves(first["input"])]
  form = {
    "spec": spec,
    "name": data.name,
    "classes": list(data.classes),
    "lengths": [len(data.train), 0 if data.test is None else len(data.test)],
    "leaves": leaves,
    "labelled": "label" in first,
    "files": list(data.files),
  }
  return json.dumps(form, indent=1)


def same_text(one: str, other: str) -> bool:
  """Returns whether two kept texts say the same.

  Numbers with a fraction in JSON may differ in their last digits: moments are computed
  on whatever device is there.
  """
  try:
    return _same(json.loads(one), json.loads(other))
  except ValueError:
    return one == other


def _same(one, other):
  if type(one) is not type(other):
    return False
  if isinstance(one, dict):
    return one.keys() == other.keys() and all(_same(one[n], other[n]) for n in one)
  if isinstance(one, list):
    return len(one) == len(other) and all(map(_same, one, other))
  if isinstance(one, float):
    return math.isclose(one, other, rel_tol=1e-4, abs_tol=1e-6)
  return one == other


def is_kept(spec: str | os.PathLike) -> bool:
  """Returns whether this is `run:FOLDER`."""
  return str(spec).startswith(PREFIX)


def read_kept(spec: str) -> Kept:
  """Reads what the run of `run:FOLDER` keeps of its data.

  Raises:
    InputError: if the folder keeps nothing.
  """
  folder = pathlib.Path(spec.removeprefix(PREFIX))
  if not (folder / FILE).is_file():
    raise InputError(f"{folder} is no run that keeps the form of its data in {FILE}.")
  form = json.loads((folder / FILE).read_text(encoding="utf-8"))
  files = {n: (folder / n).read_text(encoding="utf-8") for n in form.pop("files")}
  leaves = tuple((tuple(shape), dtype) for shape, dtype in form.pop("leaves"))
  classes, lengths = tuple(form.pop("classes")), tuple(form.pop("lengths"))
  return Kept(**form, classes=classes, lengths=lengths, leaves=leaves, files=files)
