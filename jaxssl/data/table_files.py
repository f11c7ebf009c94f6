"""Tables in files: delimited text, plain or gzipped, and parquet, as cells of text."""

import collections
import csv
import gzip
import io
import os
import pathlib
import zlib
from typing import NamedTuple

import numpy as np

from jaxssl.errors import InputError, nearest

MISSING = ("", "?", "na", "n/a", "nan", "null")
DELIMITERS = (",", "\t", ";")
ENDINGS = (".csv", ".tsv", ".txt", ".data", ".parquet")
SHOWN = 5  # lines that a message names
UNNAMED = "column {}"  # what a column without a name is called, by its position


class Cells(NamedTuple):
  """A table as it was written.

  Attributes:
    names: of the columns; "column 0", "column 1", ... where the file names none.
    columns: the stripped text of each column, [rows]; "" is missing.
    lines: of the file, in which each row stands, int [rows].
    headed: whether the names come from the file.
    why: line 1 was taken for data, for messages; "" where it was not.
  """

  names: tuple[str, ...]
  columns: tuple[np.ndarray, ...]
  lines: np.ndarray
  headed: bool
  why: str = ""


def read_cells(path: str | os.PathLike, *, header: bool | None = None) -> Cells:
  """Reads a table.

  Text is UTF-8, its delimiter a comma, tab or semicolon (what the first line has most
  of), and may be gzipped. Empty lines do not count.

  Args:
    path: .csv, .tsv, .txt or .data, each also with .gz; or .parquet, which needs
      pyarrow.
    header: whether the first line names the columns; None looks. It does not if one of
      its cells is a number. It does if words in it stand above numbers, in no fewer
      columns than have their word again further down; or if no column has, and none of
      its cells stands for a missing value, but for empty ones.

  Raises:
    InputError: if there is no such file, it is empty or of another kind, bytes cannot
      be decoded, lines have different numbers of cells (their numbers are shown), or
      two columns have one name.
  """
  path = pathlib.Path(path).expanduser()
  if not path.is_file():
    raise InputError(f"there is no file {path}; tables end in {', '.join(ENDINGS)}")
  if path.suffix.lower() == ".parquet":
    return _read_parquet(path)
  lines = _read_lines(path)
  _check_widths(lines, path)
  rows = [[cell.strip() for cell in row] for _, row in lines]
  why = _taken_for_data(rows) if header is None else ""
  headed = not why if header is None else header
  at = np.asarray([number for number, _ in lines])[int(headed) :]
  names = rows.pop(0) if headed else [""] * len(rows[0])
  if not rows:
    raise InputError(f"{path} has a header and no rows")
  names = [name or UNNAMED.format(i) for i, name in enumerate(names)]
  _check_names(names, path)
  columns = tuple(_cleaned(column) for column in zip(*rows, strict=True))
  return Cells(tuple(names), columns, at, headed, why)


def find_column(
  names: tuple[str, ...], wanted: str, *, what: str, why: str = ""
) -> int:
  """Returns the position of a column, given by name or by position ("-1": the last).

  Args:
    names: of the columns.
    wanted: the name, or the position.
    what: the table, for the message.
    why: its first line was taken for data, for the message; see `Cells`.

  Raises:
    InputError: if there is none; the nearest name is shown.
  """
  if wanted in names:
    return names.index(wanted)
  try:
    return range(len(names))[int(wanted)]
  except (ValueError, IndexError):
    raise InputError(
      f"{what} has no column '{wanted}'.{nearest(wanted, names)}{unheaded(why)} Give a"
      f" name or a position from 0 (-1: the last) of: {', '.join(names[:20])}"
    ) from None


def unheaded(why: str) -> str:
  """Returns " Line 1 was taken for data, ..." for a `Cells.why`, or ""."""
  return f" Line 1 was taken for data, as {why}." if why else ""


def is_missing(cells: np.ndarray) -> np.ndarray:
  """Returns where cells, text [rows], are missing: bool [rows]."""
  return np.isin(np.char.lower(cells), MISSING)


def read_rows(
  text: str, path: pathlib.Path, *, delimiter: str = ""
) -> list[tuple[int, list[str]]]:
  """Reads delimited text.

  Lines end at a line feed, a carriage return or both, outside of quotes; no other sign
  ends one.

  Args:
    text: what is read.
    path: of the file, for messages.
    delimiter: between cells; "": that of `DELIMITERS` which the first line that is not
      empty has most of.

  Returns:
    (line number, cells) of every line that is not empty.

  Raises:
    InputError: for what the csv module cannot read.
  """
  first = next((line for line in text.split("\n") if line.strip()), "")
  delimiter = delimiter or max(DELIMITERS, key=first.count)
  reader = csv.reader(
    io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True
  )
  try:
    return [(reader.line_num, row) for row in reader if "".join(row).strip() or row[1:]]
  except csv.Error as error:
    raise InputError(f"{path}, line {reader.line_num}: {error}") from error


def _read_lines(path):
  """Returns (line number, cells) of every line that is not empty."""
  lines = read_rows(_read_text(path), path)
  lines = [line for line in lines if "".join(line[1]).strip()]
  if not lines:
    raise InputError(f"{path} is empty; a table has a line per row")
  return lines


def _read_text(path):
  zipped = path.suffix.lower() == ".gz"
  ending = pathlib.Path(path.stem).suffix if zipped else path.suffix
  if ending.lower() not in ENDINGS[:-1]:
    raise InputError(
      f"{path} ends in '{ending}'; tables end in {', '.join(ENDINGS)} (text also .gz)"
    )
  try:
    raw = gzip.decompress(path.read_bytes()) if zipped else path.read_bytes()
    return raw.decode("utf-8-sig")
  except UnicodeDecodeError as error:
    raise InputError(
      f"{path} is not UTF-8: byte {error.start} cannot be decoded; convert it first"
    ) from error
  except (OSError, EOFError, zlib.error) as error:
    raise InputError(f"cannot read {path}: {error}") from error


def _check_widths(lines, path):
  """Raises unless all lines have as many cells as most of them."""
  widths = collections.Counter(len(row) for _, row in lines)
  width = widths.most_common(1)[0][0]
  ragged = [(at, len(row)) for at, row in lines if len(row) != width]
  if not ragged:
    return
  shown = ", ".join(f"line {at} has {cells}" for at, cells in ragged[:SHOWN])
  more = f" and {len(ragged) - SHOWN} more lines differ" if len(ragged) > SHOWN else ""
  raise InputError(
    f"{path}: lines have {width} cells, but {shown}{more}; quote cells that hold the"
    " delimiter"
  )


def _taken_for_data(rows):
  """Why the first line holds no names; "" if it does."""
  head, *rest = rows
  below = [*zip(*rest, strict=True)] if rest else [()] * len(head)
  if number := next((cell for cell in head if _is_number(cell)), ""):
    return f"its cell '{number}' is a number"
  pairs = [pair for pair in zip(head, below, strict=True) if pair[0]]
  again = [name for name, cells in pairs if name in cells]
  above = sum(_stands_above_numbers(name, cells) for name, cells in pairs)
  if above and above >= len(again):
    return ""
  if again:
    return f"its cell '{again[0]}' occurs again in its column"
  missing = [name for name, _ in pairs if name.lower() in MISSING]
  if missing or not pairs:
    return f"its cell '{''.join(missing[:1])}' stands for a missing value"
  return ""


def _stands_above_numbers(name, cells):
  """Whether below a word there are only numbers, or things as 5%, 1,000 and 3 May."""
  present = [cell for cell in cells if cell.lower() not in MISSING]
  digit = lambda cell: any(c.isdecimal() for c in cell)
  if name.lower() in MISSING or not present or not all(map(digit, present)):
    return False
  return not digit(name) or all(map(_is_number, present))


def _is_number(cell):
  try:
    float(cell)
  except ValueError:
    return False
  return True


def _check_names(names, path):
  twice = sorted(name for name, n in collections.Counter(names).items() if n > 1)
  if twice:
    raise InputError(f"{path} has more than one column '{twice[0]}'; rename them")


def _cleaned(cells):
  cells = np.asarray(cells, dtype=np.str_)
  return np.where(is_missing(cells), "", cells)


def _read_parquet(path):
  try:
    from pyarrow import ArrowException, parquet
  except ImportError as error:
    raise InputError(
      f"{path} needs pyarrow: `pip install jaxssl[parquet]`, or save it as .csv"
    ) from error
  try:
    table = parquet.read_table(path)
  except (ArrowException, OSError) as error:
    raise InputError(f"cannot read {path}: {error}") from error
  if not table.num_rows or not table.num_columns:
    raise InputError(f"{path} is empty; a table has rows and columns")
  _check_names(table.column_names, path)
  text = [["" if v is None else str(v).strip() for v in c.to_pylist()] for c in table]
  columns = tuple(_cleaned(column) for column in text)
  lines = 1 + np.arange(table.num_rows)
  return Cells(tuple(table.column_names), columns, lines, headed=True)
