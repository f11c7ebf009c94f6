"""Sequences of items: what users bought or heard in order, and walks made on the spot.

A row is int32 [length]: ids 1 ... n of the items, the oldest first, then 0. The last
item of every user is held out: `train` holds what came before, and `test` the same
rows with the held-out item as label.
"""

import functools
import math
import os
import pathlib
from datetime import datetime
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxssl.data.kept import is_kept, read_kept
from jaxssl.data.kinds import Kind
from jaxssl.data.sources import ArraySource, DataSet, Left
from jaxssl.data.table_files import read_rows
from jaxssl.errors import InputError, nearest

BUCKETS = 1024  # of a bag of items or words, where there are more
COLUMNS = ("user", "item", "time")


class Items(NamedTuple):
  """Sequences of items and what the items are called.

  Attributes:
    data: the data set; see the module.
    names: of the items 1 ... n.
  """

  data: DataSet
  names: tuple[str, ...]


def open_items(spec: str, *, length: int = 50) -> Items:
  """Opens sequences of items by what a user would type.

  Args:
    spec: "walks", made on the spot, or the path of a csv file, see `item_csv`.
    length: most items of a row; of longer histories the latest stay.

  Raises:
    InputError: if there is no such data.
  """
  if is_kept(spec):
    kept = read_kept(spec)
    names = tuple(kept.files["items.txt"].split("\n")[:-1])
    like = functools.partial(open_like, names, length)
    return Items(kept.data_set(item_kind(names), like=like), names)
  if spec == "walks":
    return walks(length=length)
  return item_csv(_path(spec), length=length)


def _path(spec):
  if not spec.endswith((".csv", ".txt", ".tsv")) and not pathlib.Path(spec).exists():
    raise InputError(
      f"There are no items '{spec}'.{nearest(spec, ('walks',))} Give 'walks', or the "
      "path of a csv file with the columns user, item and time."
    )
  return pathlib.Path(spec).expanduser()


def item_csv(path: str | os.PathLike, *, length: int = 50) -> Items:
  """Reads who had which item when.

  The first line names the columns, among them `user`, `item` and, if known, `time`: a
  number, or a date as 2024-05-31 or 2024-05-31T12:00. Without times the order of the
  lines counts. Lines with another number of fields, empty ones of user or item and
  times that are none are left out, named and counted; so are users with one item, who
  have nothing before it, and histories that are cut.

  Args:
    path: the file; fields are separated by tabs in .tsv files, in others by commas,
      tabs or semicolons, what the first line has most of.
    length: most items of a row; of longer histories the latest stay.

  Raises:
    InputError: if there is no such file, it is not UTF-8 text, columns are missing, or
      no user has two items.
  """
  _check_length(length)
  path = pathlib.Path(path).expanduser()
  lines, skipped = _read(path)
  users, more = _by_user(lines)
  if not users:
    raise InputError(
      f"{path} has no user with two items or more"
      f"{'; first: ' + (skipped + more)[0] if skipped + more else ''}."
    )
  names = tuple(sorted({item for items in users.values() for item in items}))
  number = {name: i for i, name in enumerate(names, 1)}
  rows = [[number[item] for item in items] for items in users.values()]
  skipped = (*skipped, *more, *_cuts(users, length))
  data = _data_set(path.stem, rows, names, length, skipped)
  return Items(data, names)


def open_like(names: tuple[str, ...], length: int, spec: str) -> DataSet:
  """Opens histories for an encoder that knows certain items, each to its last item.

  Args:
    names: of the items 1 ... n that the encoder knows.
    length: most items of a row; of longer histories the latest stay.
    spec: "walks", for an encoder of these (their last items are left out, as in
      training), or the path of a csv file, see `item_csv`. Items that the encoder
      doesn't know are left out, named and counted.

  Returns:
    The histories as `train`; of a csv its `files` are the names of the users.

  Raises:
    InputError: if there is no such data, none of its items is known, or the encoder
      is none of walks.
  """
  if spec == "walks":
    return _walks_like(names, length)
  lines, skipped = _read(_path(spec))
  number = {name: i for i, name in enumerate(names, 1)}
  unknown = sorted({item for _, item, _ in lines if item not in number})
  users = _in_order(line for line in lines if line[1] in number)
  if not users:
    raise InputError(f"{spec} has none of the {len(names)} items that the run knows.")
  rows = pad_rows([[number[i] for i in items] for items in users.values()], length)
  skipped += [Left(f"item {x}: not known to the run", what="item") for x in unknown]
  source = ArraySource({"input": rows}, tuple(skipped), tuple(users))
  return DataSet(pathlib.Path(spec).stem, source, None, (), item_kind(names))


def _walks_like(names, length):
  made = walks(length=length)
  if made.names != names:
    raise InputError(
      f"The run knows {len(names)} items of its own, not those of 'walks'; give a csv "
      "file with the columns user, item and time."
    )
  return made.data


def walks(
  *,
  users: int = 1200,
  groups: int = 12,
  size: int = 40,
  length: int = 50,
  seed: int = 0,
) -> Items:
  """Users who walk over a small graph of items: data made on the spot, for trials.

  Each item has 4 items of its group that lead on from it. A user starts anywhere in a
  group, follows these 9 times out of 10 and jumps within the group otherwise, for 6 to
  16 items. The groups are the labels of `probe`, which holds 80 % of the users to
  train on and the others to test.

  Args:
    users: how many.
    groups: of items.
    size: items in a group.
    length: most items of a row.
    seed: of the graph and of the walks.
  """
  _check_length(length)
  rng = np.random.default_rng(seed)
  onward = [rng.choice(size, 4, replace=False) for _ in range(groups * size)]
  homes = rng.integers(0, groups, users)
  rows = [_walk(rng, home * size, size, onward) for home in homes]
  names = tuple(f"{chr(97 + g)}{i}" for g in range(groups) for i in range(size))
  data = _data_set("walks", rows, names, length, ())
  cut = int(0.8 * users)
  histories, labels = data.train.arrays()["input"], homes.astype(np.int32)
  parts = [
    ArraySource({"input": histories[s], "label": labels[s]})
    for s in (slice(cut), slice(cut, None))
  ]
  classes = tuple(f"group {chr(97 + g)}" for g in range(groups))
  probe = DataSet("walks", *parts, classes=classes, kind=data.kind)
  return Items(data._replace(probe=probe), names)


def _walk(rng, first, size, onward):
  place = rng.integers(size)
  row = [first + place + 1]
  for _ in range(rng.integers(5, 16)):
    follow = rng.random() < 0.9
    place = rng.choice(onward[first + place]) if follow else rng.integers(size)
    row.append(first + place + 1)
  return row


def item_kind(names: tuple[str, ...]) -> Kind:
  """What rows of items are: a bag of items without a net, names for a report.

  Args:
    names: of the items 1 ... n; the id after them is the mask.
  """
  shown = ("", *names, "[mask]")
  ids = len(names) + 1

  check = functools.partial(check_ids, ids=len(shown), what="Items")

  def tiles(inputs):
    return [" › ".join(shown[i] for i in row if i) for row in check(inputs)]

  raw = functools.partial(bag, ids=ids)
  return Kind("items", check, raw, lambda inputs: bag_name("items", ids), tiles)


@functools.partial(jax.jit, static_argnames=("patches", "ids"))
def bag(inputs: jax.Array, patches: bool = False, *, ids: int) -> jax.Array:
  """Which ids a row has: counts over their number, in at most 1,024 buckets.

  Args:
    inputs: int [batch, length], 0 for none.
    patches: each place by itself.
    ids: number of ids; from 1,024 on an id falls into the bucket of its remainder.

  Returns:
    float32 [batch, dim], or with `patches` [batch, length, dim].
  """
  buckets = min(ids, BUCKETS)
  there = (inputs > 0).astype(jnp.float32)
  if patches:
    return jax.nn.one_hot(inputs % buckets, buckets) * there[..., None]
  rows = jnp.arange(len(inputs), dtype=inputs.dtype)[:, None]
  rows = jnp.broadcast_to(rows, inputs.shape)
  counts = jnp.zeros((len(inputs), buckets)).at[rows, inputs % buckets].add(there)
  return counts / jnp.maximum(there.sum(1, keepdims=True), 1.0)


def bag_name(what: str, ids: int) -> str:
  """What a table calls the rows that `bag` makes."""
  more = f" ({BUCKETS:,} buckets)" if ids > BUCKETS else ""
  return f"bag of {what}{more}"


def pad_rows(rows: list[Any], length: int) -> np.ndarray:
  """The last `length` ids of each row, then 0; int32 [rows, length]."""
  padded = np.zeros((len(rows), length), np.int32)
  for place, row in zip(padded, rows, strict=True):
    kept = row[-length:]
    place[: len(kept)] = kept
  return padded


def check_ids(inputs: Any, ids: int, what: str) -> np.ndarray:
  """Returns ids as an array.

  Args:
    inputs: int [batch, length].
    ids: they run from 0 to one below this.
    what: they are, in a message.

  Raises:
    InputError: for another rank or type, no rows, or ids out of range.
  """
  rows = np.asarray(inputs)
  if rows.ndim != 2 or rows.dtype.kind not in "iu" or not rows.size:
    raise InputError(
      f"{what} are integers [batch, length], one or more; got {rows.dtype} "
      f"{rows.shape}."
    )
  if rows.min() < 0 or rows.max() >= ids:
    raise InputError(
      f"{what} run from {rows.min()} to {rows.max()}; they are 0 to {ids - 1}."
    )
  return rows


def _data_set(name, rows, names, length, skipped):
  histories = pad_rows([row[:-1] for row in rows], length)
  last = np.asarray([row[-1] for row in rows], np.int32)
  train = ArraySource({"input": histories}, skipped=tuple(skipped))
  test = ArraySource({"input": histories, "label": last})
  files = {"items.txt": "\n".join(names) + "\n"}
  like = functools.partial(open_like, names, length)
  return DataSet(name, train, test, (), item_kind(names), like=like, files=files)


def _cuts(users, length):
  """A line on each history, all items but the last, that doesn't fit into a row."""
  counts = [(user, len(items) - 1) for user, items in users.items()]
  return [
    Left(f"user {u}: cut to the last {length} of {n} items", done="cut")
    for u, n in counts
    if n > length
  ]


def _check_length(length):
  if length < 2:
    raise InputError(f"Rows of {length} items hold no next one; length is 2 or more.")


def _read(path):
  """Lines as (user, item, time), and what was left out."""
  if not path.is_file():
    raise InputError(f"There is no file {path}; expected a csv of user, item, time.")
  try:
    text = path.read_text(encoding="utf-8-sig")
  except UnicodeDecodeError as error:
    raise InputError(f"{path} is not UTF-8 text: {error}") from error
  table = read_rows(text, path, delimiter="\t" if path.suffix.lower() == ".tsv" else "")
  header = [name.strip().lower() for name in table[0][1]] if table else []
  missing = [name for name in COLUMNS[:2] if name not in header]
  if missing:
    raise InputError(
      f"{path} has the columns {', '.join(header) or '(none)'}; it needs "
      f"{' and '.join(missing)}.{nearest(missing[0], header)}"
    )
  return _lines(table[1:], header)


def _lines(table, header):
  kept, skipped = [], []
  for number, fields in table:
    try:
      kept.append(_line(fields, header, number))
    except ValueError as error:
      skipped.append(Left(f"line {number}: {error}", what="line"))
  return kept, skipped


def _line(fields, header, number):
  if len(fields) != len(header):
    raise ValueError(f"{len(fields)} fields in place of {len(header)}")
  named = dict(zip(header, (_name(f) for f in fields), strict=True))
  if not named["user"] or not named["item"]:
    raise ValueError("an empty user or item")
  time = _time(named["time"]) if "time" in named else float(number)
  return named["user"], named["item"], time


def _name(field):
  """A field on one line: items.txt, which a run keeps, has a name a line."""
  return field.strip().replace("\n", " ")


def _time(text):
  try:
    time = float(text)
  except ValueError:
    try:
      time = datetime.fromisoformat(text).timestamp()
    except ValueError:
      raise ValueError(f"'{text}' is no time") from None
  if not math.isfinite(time):
    raise ValueError(f"'{text}' is no time")
  return time


def _by_user(lines):
  """User -> items in order, and users with one item."""
  users = _in_order(lines)
  alone = [f"user {user}: one item" for user, items in users.items() if len(items) < 2]
  return {u: items for u, items in users.items() if len(items) > 1}, alone


def _in_order(lines):
  """User -> items, the oldest first."""
  users = {}
  for user, item, _ in sorted(lines, key=lambda line: line[2]):
    users.setdefault(user, []).append(item)
  return users
