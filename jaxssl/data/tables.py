"""Tables: numeric and categorical columns, missing values, and the moments of training.

A row is a `Row`. Which columns it has, their moments and categories are learned from
the training rows once, and belong to the encoder from then on: `Columns`.
"""

import json
import math
import pathlib
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxssl.data.kept import is_kept, read_kept
from jaxssl.data.kinds import Kind
from jaxssl.data.sources import ArraySource, DataSet, Left, counted
from jaxssl.data.table_files import UNNAMED, Cells, find_column, read_cells
from jaxssl.errors import InputError, nearest

BREAST_CANCER = "breast_cancer"
MOST_VALUES = 254  # of a categorical column; rarer ones are "other"
MOST_CLASSES = 1000
LARGEST = 1e100  # of a column's numbers: squares of larger ones overflow in the moments
OWN = 2  # codes of every categorical column: 0 missing, 1 other


class Row(NamedTuple):
  """Rows of a table as nets take them.

  Attributes:
    numeric: float32 [..., columns], standardised by the training rows; NaN is missing.
    categorical: int32 [..., columns]; 0 is missing, 1 a value that training never saw
      (or one of too many), 2 and on the column's values.
  """

  numeric: jax.Array
  categorical: jax.Array


class Numeric(NamedTuple):
  """A column of numbers: name, mean and deviation over the training rows."""

  name: str
  mean: float
  deviation: float


class Categorical(NamedTuple):
  """A column of words: name and values, of which the first has the code 2."""

  name: str
  values: tuple[str, ...]


class Columns(NamedTuple):
  """What an encoder knows of a table.

  Attributes:
    numeric: the columns of `Row.numeric`.
    categorical: the columns of `Row.categorical`.
    label: name of the column of the labels, or "".
    classes: names of the classes.
    headed: whether the names come from the file.
  """

  numeric: tuple[Numeric, ...]
  categorical: tuple[Categorical, ...]
  label: str
  classes: tuple[str, ...]
  headed: bool

  @property
  def sizes(self) -> tuple[int, ...]:
    """Codes of each categorical column, "missing" and "other" included."""
    return tuple(len(column.values) + OWN for column in self.categorical)

  def to_json(self) -> str:
    """Returns the text of a `columns.json`."""
    parts = self._asdict()
    for name in ("numeric", "categorical"):
      parts[name] = [column._asdict() for column in parts[name]]
    return json.dumps(parts, indent=1)


def columns_from_json(text: str) -> Columns:
  """Reads what `Columns.to_json` wrote."""
  parts = json.loads(text)
  numeric = tuple(Numeric(**column) for column in parts["numeric"])
  words = [(c["name"], tuple(c["values"])) for c in parts["categorical"]]
  categorical = tuple(Categorical(*column) for column in words)
  classes = tuple(parts["classes"])
  return Columns(numeric, categorical, parts["label"], classes, parts["headed"])


def open_table(
  spec: str, *, label: str = "", header: bool | None = None, test_share: float = 0.2
) -> DataSet:
  """Opens a table as a data set.

  A column is numeric if all of its values are numbers, else categorical. A constant
  column, one of more than 254 words no two of which are equal, or one without a name
  that numbers the rows is left out and named in `train.skipped`, and so are rows
  without a label. A fifth of the rows (of every class) is the test split, always the
  same one.

  Args:
    spec: "breast_cancer" (scikit-learn's, 569 rows, 30 numeric columns) or a file, as
      `table_files.read_cells` reads it.
    label: column of the labels, by name or position ("-1": the last); "": no labels,
      but those of "breast_cancer".
    header: whether the first line names the columns; None looks.
    test_share: share of the rows that are held out, from 0 and below 1.

  Returns:
    The data set, of `Row`s; its `like` opens other tables with the same columns.

  Raises:
    InputError: if the file or the label cannot be read, or no column is left.
  """
  if not 0.0 <= test_share < 1.0:
    raise InputError(f"test_share is {test_share}; pass a share of the rows, below 1")
  if is_kept(spec):
    kept = read_kept(spec)
    columns = columns_from_json(kept.files["columns.json"])
    return data_set(kept.name, columns, *kept.splits(Row))
  cells = _open(spec, header)
  if spec == BREAST_CANCER and not label:
    label = "diagnosis"
  if label:
    at = find_column(cells.names, label, what=spec, why=cells.why)
    label = cells.names[at]
  labels, classes, cells, notes = _take_label(cells, label, spec)
  train, test = _split(labels, len(cells.columns[0]), test_share)
  found, dropped = _find_columns(cells, train, spec)
  columns = Columns(*found, label, classes, cells.headed)
  rows = encode_cells(cells, columns, what=spec)
  sources = [_source(rows, labels, part) for part in (train, test)]
  sources[0] = ArraySource(sources[0].data, skipped=(*notes, *dropped))
  name = spec if spec == BREAST_CANCER else pathlib.Path(spec).name
  return data_set(name, columns, sources[0], sources[1] if len(test) else None)


def data_set(
  name: str, columns: Columns, train: ArraySource, test: ArraySource | None
) -> DataSet:
  """Returns a data set of `Row`s with its kind, its `like` and its columns.json."""
  return DataSet(
    name,
    train,
    test,
    columns.classes,
    kind=table_kind(columns),
    like=partial(open_like, columns),
    files={"columns.json": columns.to_json()},
  )


def open_like(columns: Columns, spec: str) -> DataSet:
  """Opens another table for an encoder that knows `columns`; all of it is training.

  Values that training never saw are "other". Labels are there if the table has their
  column and no other classes.

  Raises:
    InputError: if a column is missing, or holds words where training had numbers.
  """
  cells = _open(spec, columns.headed)
  rows = encode_cells(cells, columns, what=spec)
  data = {"input": rows} | _known_labels(cells, columns)
  return data_set(spec, columns, ArraySource(data), None)


def marginals(data: DataSet, *, most: int = 50_000) -> Row:
  """Returns training rows for corruptions to draw from, at most so many, evenly."""
  rows = len(data.train)
  chosen = np.linspace(0, rows - 1, min(rows, most)).round().astype(np.int64)
  return data.train[chosen]["input"]


def encode_cells(cells: Cells, columns: Columns, *, what: str) -> Row:
  """Turns text into `Row`s of numpy arrays, by the moments and values of `columns`.

  Raises:
    InputError: if a column is missing, or holds words where training had numbers.
  """
  rows = len(cells.columns[0])
  numeric = np.empty((rows, len(columns.numeric)), np.float32)
  categorical = np.empty((rows, len(columns.categorical)), np.int32)
  for i, column in enumerate(columns.numeric):
    values = _parse(cells, column.name, what)
    numeric[:, i] = _standardised(values, column, what)
  for i, column in enumerate(columns.categorical):
    categorical[:, i] = _codes(_column(cells, column.name, what), column.values)
  return Row(numeric, categorical)


def _standardised(values, column, what):
  values = (values - column.mean) / column.deviation
  if (far := np.nanmax(np.abs(values), initial=0.0)) > np.finfo(np.float32).max:
    raise InputError(
      f"{what}: the column '{column.name}' has a value {far:g} deviations from the "
      "mean of the training rows, too far for float32"
    )
  return values


def row_values(rows: Row, sizes: tuple[int, ...]) -> jax.Array:
  """Rows as one vector: numbers, whether each is missing, and one-hot categories.

  Args:
    rows: [batch, ...].
    sizes: `Columns.sizes`.

  Returns:
    float32 [batch, 2 * numeric columns + sum(sizes)]; a missing number is 0.
  """
  missing = jnp.isnan(rows.numeric)
  numbers = jnp.where(missing, 0.0, rows.numeric)
  words = [jax.nn.one_hot(rows.categorical[:, i], n) for i, n in enumerate(sizes)]
  return jnp.concatenate([numbers, missing.astype(jnp.float32), *words], axis=1)


def table_kind(columns: Columns) -> Kind:
  """Returns the kind of data sets with these columns."""

  @partial(jax.jit, static_argnames="patches")
  def raw(inputs, patches=False):
    values = row_values(inputs, columns.sizes)
    return values[:, None] if patches else values

  numbers, words = len(columns.numeric), len(columns.categorical)
  name = f"raw columns ({numbers} numeric, {words} categorical one-hot)"
  return Kind(
    "tables",
    partial(check_rows, columns=columns),
    raw,
    lambda inputs: name,
    partial(_tiles, columns=columns),
  )


def check_rows(rows: Any, *, columns: Columns) -> None:
  """Raises InputError unless `rows` are `Row`s with these columns, [batch, ...]."""
  if isinstance(rows, dict) and "input" in rows:
    rows = rows["input"]
  if not isinstance(rows, Row):
    raise InputError(f"rows of a table are a `Row`, not {type(rows).__name__}")
  numeric, categorical = (np.asarray(x) for x in rows)
  want = len(columns.numeric), len(columns.categorical)
  if any(x.ndim != 2 or not len(x) for x in (numeric, categorical)):
    shapes = numeric.shape, categorical.shape
    raise InputError(f"rows have the shapes {shapes}; pass [batch, columns], not empty")
  if (numeric.shape[1], categorical.shape[1]) != want:
    raise InputError(
      f"rows have {numeric.shape[1]} numeric and {categorical.shape[1]} categorical "
      f"columns; the encoder knows {want[0]} and {want[1]}"
    )
  if np.isinf(numeric).any():
    raise InputError("rows hold infinite numbers; NaN stands for a missing one")
  if (categorical < 0).any() or (categorical >= np.asarray(columns.sizes, int)).any():
    raise InputError("rows hold categories that the columns don't have; encode by them")


def _open(spec, header):
  return _breast_cancer() if spec == BREAST_CANCER else read_cells(spec, header=header)


def _breast_cancer():
  from sklearn.datasets import load_breast_cancer

  found = load_breast_cancer()
  columns = [column.astype(np.str_) for column in found.data.T]
  names = (*map(str, found.feature_names), "diagnosis")
  lines = 1 + np.arange(len(found.target))
  diagnosis = found.target_names[found.target].astype(np.str_)
  return Cells(names, (*columns, diagnosis), lines, headed=True)


def _take_label(cells, label, what):
  """Splits off the labels: codes or None, classes, the other columns, notes."""
  if not label:
    return None, (), cells, ()
  at = cells.names.index(label)
  words = cells.columns[at]
  known = words != ""
  names = cells.names[:at] + cells.names[at + 1 :]
  others = [x[known] for i, x in enumerate(cells.columns) if i != at]
  rest = cells._replace(names=names, columns=tuple(others), lines=cells.lines[known])
  classes = _in_order(words[known])
  if not 2 <= len(classes) <= MOST_CLASSES:
    raise InputError(
      f"the label '{label}' of {what} has {len(classes)} values; classes are 2 to "
      f"{MOST_CLASSES}. Without label, nothing is scored."
    )
  missing = int((~known).sum())
  reason = f"{counted(missing, 'row')}: no label in '{label}'"
  notes = (Left(reason, what="row", count=missing),) if missing else ()
  return _codes(words[known], classes) - OWN, classes, rest, notes


def _in_order(words):
  """Distinct words, by value if all are numbers."""
  found = [str(word) for word in np.unique(words)]
  try:
    return tuple(sorted(found, key=float))
  except ValueError:
    return tuple(found)


def _split(labels, rows, share):
  """Positions of the training and the test rows, the share taken of every class."""
  rng = np.random.default_rng(0)
  classes = [np.arange(rows)]
  if labels is not None:
    classes = [np.flatnonzero(labels == c) for c in np.unique(labels)]
  drawn = [rng.permutation(members) for members in classes]
  held = [round(share * len(members)) for members in classes]
  train = [x[n:] for x, n in zip(drawn, held, strict=True)]
  test = [x[:n] for x, n in zip(drawn, held, strict=True)]
  return np.sort(np.concatenate(train)), np.sort(np.concatenate(test))


def _find_columns(cells, train, what):
  """Numeric and categorical columns by the training rows, and those left out."""
  numeric, categorical, dropped = [], [], []
  unnamed = [UNNAMED.format(i) for i in range(len(cells.names) + 1) if cells.headed]
  for name, words in zip(cells.names, cells.columns, strict=True):
    values, seen = np.unique(words[train], return_counts=True)
    present = values != ""
    if len(values) == 1 or not present.any():
      dropped.append(Left(f"column '{name}': constant", what="column"))
    elif name in unnamed and _counts_rows(words):
      line = f"'{name}': it has no name and numbers the rows"
      dropped.append(Left(line, what="column"))
    elif _all_numbers(words):
      numbers = _parse(cells, name, what)[train]
      deviation = float(np.nanstd(numbers)) or 1.0
      numeric.append(Numeric(name, float(np.nanmean(numbers)), deviation))
    elif seen[present].max() == 1 and present.sum() > MOST_VALUES:
      dropped.append(Left(f"column '{name}': every value is another", what="column"))
    else:
      kept = np.argsort(-seen[present], kind="stable")[:MOST_VALUES]
      categorical.append(Categorical(name, _in_order(values[present][kept])))
  if not numeric and not categorical:
    raise InputError(f"{what} has no column to learn from: {'; '.join(dropped)}")
  return (tuple(numeric), tuple(categorical)), tuple(dropped)


def _counts_rows(words):
  """Whether these are whole numbers that rise, as an index that was saved with rows."""
  if not all(word.isdecimal() for word in words):
    return False
  return len(words) > 1 and (np.diff(words.astype(np.float64)) >= 1).all()


def _all_numbers(words):
  try:
    words[words != ""].astype(np.float64)
  except ValueError:
    return False
  return True


def _column(cells, name, what):
  if name not in cells.names:
    raise InputError(
      f"{what} has no column '{name}', which the encoder was trained with; it has "
      f"{', '.join(cells.names[:20])}.{nearest(name, cells.names)}"
    )
  return cells.columns[cells.names.index(name)]


def _parse(cells, name, what):
  """A numeric column, float64 [rows]; NaN is missing."""
  words = _column(cells, name, what)
  if not _all_numbers(words):
    bad = next(i for i in range(len(words)) if not _all_numbers(words[i : i + 1]))
    raise InputError(
      f"{what}, line {cells.lines[bad]}: '{words[bad]}' in the column '{name}', which "
      "had only numbers in training"
    )
  numbers = np.where(words == "", "nan", words).astype(np.float64)
  if np.isinf(numbers).any():
    raise InputError(f"{what}: the column '{name}' has infinite values")
  if (large := np.nanmax(np.abs(numbers), initial=0.0)) > LARGEST:
    raise InputError(
      f"{what}: the column '{name}' has values as large as {large:g}; pass numbers up "
      f"to {LARGEST:g}, or their logarithms"
    )
  return numbers


def _codes(words, values):
  """Codes int32 [rows] of a categorical column."""
  known = {value: i + OWN for i, value in enumerate(values)} | {"": 0}
  found, place = np.unique(words, return_inverse=True)
  return np.asarray([known.get(str(w), 1) for w in found], np.int32)[place]


def _known_labels(cells, columns):
  if columns.label not in cells.names:
    return {}
  codes = _codes(cells.columns[cells.names.index(columns.label)], columns.classes)
  return {"label": codes - OWN} if (codes >= OWN).all() else {}


def _source(rows, labels, positions):
  data = {"input": Row(*(x[positions] for x in rows))}
  return ArraySource(data if labels is None else {**data, "label": labels[positions]})


def _tiles(inputs, *, columns):
  check_rows(inputs, columns=columns)
  return [_tile(*row, columns) for row in zip(*map(np.asarray, inputs), strict=True)]


def _tile(numeric, categorical, columns):
  """One row as column -> value, in the table's own units."""
  tile = {}
  for column, x in zip(columns.numeric, numeric.astype(np.float64), strict=True):
    digits = max(0, 3 - math.floor(math.log10(column.deviation)))  # x is float32
    value = round(column.mean + column.deviation * x, digits) + 0.0
    tile[column.name] = "missing" if np.isnan(x) else f"{value:.6g}"
  for column, code in zip(columns.categorical, categorical, strict=True):
    tile[column.name] = ("missing", "other", *column.values)[code]
  return tile
