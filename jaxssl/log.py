"""What a run writes while it trains: metrics, TensorBoard events, a progress bar."""

import json
import math
import os
import pathlib
import sys
from collections.abc import Mapping
from typing import Any

PathLike = str | os.PathLike


class MetricsLog:
  """Writes RUN/metrics.jsonl and TensorBoard event files: a context manager.

  One JSON object a line, each with "step", written whole and flushed at once. Values
  that are not finite are written as strings ("nan", "inf", "-inf"), so that every
  line is valid JSON.
  """

  def __init__(self, folder: PathLike, *, resume_step: int | None):
    """Opens the log.

    Args:
      folder: the run's folder.
      resume_step: the step that the run goes on from; lines of later steps, and a
        line that a killed process left torn, are dropped. None for a new run.
    """
    from tensorboardX import SummaryWriter

    path = pathlib.Path(folder) / "metrics.jsonl"
    purge = None
    if resume_step is not None:
      kept = [row for row in read_metrics(path) if row["step"] <= resume_step]
      _replace(path, "".join(_line(row) for row in kept))
      purge = resume_step + 1
    self._file = path.open("a", encoding="utf8")
    self._board = SummaryWriter(str(folder), purge_step=purge)

  def __enter__(self) -> "MetricsLog":
    return self

  def __exit__(self, *exception):
    self._file.close()
    self._board.close()

  def write(self, step: int, values: Mapping[str, float | str]) -> None:
    """Adds one line; numbers also become TensorBoard scalars."""
    self._file.write(_line({"step": step, **values}))
    self._file.flush()
    for name, value in values.items():
      write = self._board.add_text if isinstance(value, str) else self._board.add_scalar
      write(name, value, step)
    self._board.flush()


def read_metrics(path: PathLike) -> list[dict[str, Any]]:
  """Returns the lines of a metrics file; a torn last line is left out."""
  path = pathlib.Path(path)
  if not path.is_file():
    return []
  lines = path.read_text(encoding="utf8").split("\n")[:-1]  # a whole line ends in \n
  return [json.loads(line) for line in lines if line]


def write_json(path: PathLike, value: Any) -> None:
  """Writes a JSON file that is whole or not there, whatever kills the process."""
  _replace(pathlib.Path(path), json.dumps(value, indent=2, default=str) + "\n")


def _replace(path, text):
  temporary = path.with_name(path.name + ".tmp")
  with temporary.open("w", encoding="utf8") as file:
    file.write(text)
    file.flush()
    os.fsync(file.fileno())
  os.replace(temporary, path)


def _line(row):
  return json.dumps({n: _jsonable(x) for n, x in row.items()}) + "\n"


def _jsonable(x):
  if isinstance(x, str | int) or x is None:
    return x
  x = float(x)
  return x if math.isfinite(x) else str(x)


class Progress:
  """A progress bar with loss, examples a second and time left: a context manager.

  Where the output is no terminal there is one plain line a log instead.
  """

  def __init__(self, total: int, *, start: int = 0):
    """Makes the bar.

    Args:
      total: steps of the run.
      start: steps done already.
    """
    self._total = total
    self._bar = _bar() if sys.stdout.isatty() else None
    if self._bar is not None:
      empty = {"loss": "", "rate": ""}
      self._task = self._bar.add_task("train", total=total, completed=start, **empty)

  def __enter__(self) -> "Progress":
    if self._bar is not None:
      self._bar.start()
    return self

  def __exit__(self, *exception):
    if self._bar is not None:
      self._bar.stop()

  def update(self, step: int, values: Mapping[str, float]) -> None:
    """Shows `values["loss"]` and `values["examples_per_second"]` of a step."""
    loss = f"loss {values['loss']:.4f}"
    rate = f"{values['examples_per_second']:,.0f} examples/s"
    if self._bar is None:
      print(f"step {step:,} of {self._total:,}: {loss}, {rate}", flush=True)
    else:
      self._bar.update(self._task, completed=step, loss=loss, rate=rate)


def _bar():
  from rich import progress

  return progress.Progress(
    progress.TextColumn("[bold]{task.description}"),
    progress.BarColumn(),
    progress.MofNCompleteColumn(),
    progress.TextColumn("{task.fields[loss]}"),
    progress.TextColumn("{task.fields[rate]}"),
    progress.TimeRemainingColumn(),
  )
