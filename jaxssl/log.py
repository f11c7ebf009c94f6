"""What a run writes down: metrics, TensorBoard events, JSON files, a progress bar.

Everything here survives a kill: files are replaced whole, and a metrics row is either
in the file or not. JSON has no NaN and no infinity, so those are written as the strings
"nan", "inf" and "-inf", which `read_metrics` turns back into floats.
"""

import json
import math
import os
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from jaxssl.errors import InputError

if TYPE_CHECKING:
  from rich.console import Console

METRICS = "metrics.jsonl"
NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def write_text(path: str | os.PathLike, text: str) -> None:
  """Writes a file that is afterwards either the old one or all of the new one.

  Args:
    path: the file; its folder must exist.
    text: the whole content.
  """
  path = Path(path)
  part = path.with_name(path.name + ".tmp")
  with part.open("w", encoding="utf-8") as file:
    file.write(text)
    file.flush()
    os.fsync(file.fileno())
  os.replace(part, path)


def write_json(path: str | os.PathLike, value: Any) -> None:
  """Writes `value` as indented JSON, whole or not at all.

  Args:
    path: the file; its folder must exist.
    value: dicts, lists, tuples, strings, numbers, None, paths and arrays.

  Raises:
    InputError: if `value` holds anything else.
  """
  write_text(path, json.dumps(_plain(value), indent=2, allow_nan=False) + "\n")


def read_metrics(path: str | os.PathLike) -> list[dict]:
  """Reads the rows of a metrics.jsonl, without a last line that a kill cut short.

  Args:
    path: the file.

  Returns:
    One dict a row, in the order of the file, each with "step".

  Raises:
    InputError: if there is no such file, or if a line before the last is damaged.
  """
  try:
    lines = Path(path).read_bytes().splitlines()
  except OSError as error:
    raise InputError(f"no metrics in {path}: {error.strerror}") from error
  rows = []
  for number, line in enumerate(lines, 1):
    try:
      rows.append(_revived(json.loads(line)))
    except ValueError as error:
      if number < len(lines):
        raise InputError(f"line {number} of {path} is damaged: {error}") from error
  return rows


class MetricsLog:
  """The metrics of a run, in metrics.jsonl and as TensorBoard events.

  A context manager. Where tensorboardX is not installed there are no events. Under
  several processes only the first may open it.
  """

  def __init__(self, folder: str | os.PathLike, *, resume_step: int | None):
    """Opens the log of the run in `folder`.

    Args:
      folder: the run's folder, created if it is absent.
      resume_step: the step that the run goes on from: rows of later steps are removed,
        since it will write them again. None for a new run, whose log begins empty.
    """
    path = Path(folder) / METRICS
    path.parent.mkdir(parents=True, exist_ok=True)
    last = -1 if resume_step is None else resume_step
    kept = resume_step is not None and path.exists()
    rows = read_metrics(path) if kept else []
    write_text(path, "".join(_line(row) for row in rows if row["step"] <= last))
    self._file: IO[str] = path.open("a", encoding="utf-8")
    self._events = _open_events(path.parent, purge_step=last + 1)

  def __enter__(self) -> "MetricsLog":
    return self

  def __exit__(self, *_):
    self.close()

  def write(self, step: int, metrics: dict) -> None:
    """Adds one row: in metrics.jsonl when this returns, in the events 5 s later.

    Args:
      step: the number of steps taken.
      metrics: names to numbers or scalar arrays; text and lists go to the file only.

    Raises:
      InputError: if a metric is called "step" or cannot be written as JSON.
    """
    if "step" in metrics:
      raise InputError("a metric is called 'step'; that is the name of the row's step")
    row = _plain({"step": step, **metrics})
    self._file.write(_line(row))
    self._file.flush()
    if self._events:
      for name in metrics:
        if isinstance(row[name], int | float):
          self._events.add_scalar(name, row[name], step)

  def close(self) -> None:
    """Closes the files."""
    self._file.close()
    if self._events:
      self._events.close()


class Progress:
  """A progress bar with loss, speed and time left; plain lines if not on a terminal.

  A context manager.
  """

  def __init__(
    self,
    total: int,
    *,
    start: int,
    batch: int,
    console: "Console | None" = None,
    clock: Callable[[], float] = time.monotonic,
  ):
    """Prepares the bar; nothing is shown before `with`.

    Args:
      total: steps of the whole run.
      start: the step that the run begins or goes on from.
      batch: examples in a step.
      console: where it goes; standard output if None.
      clock: gives seconds.
    """
    from rich.console import Console

    self._console = console or Console()
    self._total, self._batch, self._clock = total, batch, clock
    self._begun, self._warm = (start, clock()), False
    self._bar = _make_bar(self._console) if self._console.is_terminal else None
    if self._bar is not None:
      self._task = self._bar.add_task("compiling", total=total, completed=start)

  def __enter__(self) -> "Progress":
    if self._bar is not None:
      self._bar.start()
    return self

  def __exit__(self, *_):
    if self._bar is not None:
      self._bar.stop()

  def update(self, step: int, loss: float) -> None:
    """Shows where the run is.

    Args:
      step: the number of steps taken.
      loss: the loss of that step.
    """
    speed = self._speed(step)
    left = timedelta(seconds=round((self._total - step) / speed)) if speed else "?"
    text = f"loss {float(loss):.4g}  {speed * self._batch:,.0f} examples/s  {left} left"
    if self._bar is not None:
      self._bar.update(self._task, completed=step, description=text)
    else:
      print(f"step {step}/{self._total}  {text}", file=self._console.file, flush=True)

  def say(self, text: str) -> None:
    """Prints a sentence, above the bar if there is one.

    Args:
      text: the sentence.
    """
    self._console.print(text, markup=False, highlight=False, soft_wrap=True)

  def _speed(self, step: int) -> float:
    """Steps a second since the first update, so that compiling counts only there."""
    now = self._clock()
    steps, seconds = step - self._begun[0], now - self._begun[1]
    if not self._warm:
      self._begun, self._warm = (step, now), True
    return steps / seconds if seconds > 0 else 0.0


def _make_bar(console: "Console"):
  from rich import progress

  return progress.Progress(
    progress.TextColumn("step {task.completed}/{task.total}"),
    progress.BarColumn(),
    progress.TextColumn("{task.description}", markup=False),
    console=console,
    refresh_per_second=2,
  )


def _open_events(folder: Path, *, purge_step: int):
  try:
    from tensorboardX import SummaryWriter
  except ImportError:
    return None
  return SummaryWriter(
    str(folder),
    purge_step=purge_step,
    flush_secs=5,
    filename_suffix=f".{purge_step}",  # else two of the same second meet in one file
  )


def _line(row: dict) -> str:
  return json.dumps(_plain(row), allow_nan=False) + "\n"


def _revived(row: dict) -> dict:
  """Turns the strings that stand for floats that are not finite back into them."""
  if not isinstance(row, dict) or "step" not in row:
    raise ValueError('it is not an object with a "step"')
  return {k: NOT_FINITE.get(v, v) if isinstance(v, str) else v for k, v in row.items()}


def _plain(value: Any) -> Any:
  """Maps arrays, numpy scalars, paths and floats that are not finite to plain JSON."""
  if isinstance(value, dict):
    return {str(key): _plain(item) for key, item in value.items()}
  if isinstance(value, list | tuple):
    return [_plain(item) for item in value]
  if isinstance(value, float):
    return float(value) if math.isfinite(value) else str(float(value))
  if value is None or isinstance(value, str | int):
    return value
  if isinstance(value, os.PathLike):
    return os.fspath(value)
  if hasattr(value, "tolist"):
    return _plain(value.tolist())
  raise InputError(
    f"cannot write {value!r} as JSON; give numbers, text, lists, dicts or arrays"
  )
