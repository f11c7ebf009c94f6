"""Metrics that survive kills and resumes, atomic files, and the progress bar."""

import io
import json
import math
import os
import pathlib
import struct
import sys

import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

from jaxssl.errors import InputError
from jaxssl.log import MetricsLog, Progress, read_metrics, write_json, write_text


def write_rows(folder, *steps, resume_step=None):
  with MetricsLog(folder, resume_step=resume_step) as log:
    for step in steps:
      log.write(step, {"loss": step / 10})


def steps_in(folder):
  return [row["step"] for row in read_metrics(folder / "metrics.jsonl")]


# metrics.jsonl


def test_rows_are_json_and_come_back(tmp_path):
  metrics = {
    "a": jnp.float32(1.5),
    "b": np.int64(3),
    "c": [1],
    "d": "text",
    "e": True,
  }
  with MetricsLog(tmp_path / "run", resume_step=None) as log:
    log.write(10, metrics)
    log.write(20, {"a": jnp.asarray(0.25, jnp.bfloat16)})
  path = tmp_path / "run" / "metrics.jsonl"
  expected = [
    {"step": 10, "a": 1.5, "b": 3, "c": [1], "d": "text", "e": True},
    {"step": 20, "a": 0.25},
  ]
  assert [json.loads(line) for line in path.read_text().splitlines()] == expected
  assert read_metrics(path) == expected


def test_what_is_not_finite_stays_valid_json(tmp_path):
  values = {"a": math.nan, "b": jnp.float32(-np.inf), "c": np.inf}
  with MetricsLog(tmp_path, resume_step=None) as log:
    log.write(1, values)
  path = tmp_path / "metrics.jsonl"

  def refuse(name):
    raise AssertionError(f"{name} is not JSON")

  row = json.loads(path.read_text(), parse_constant=refuse)
  assert row == {"step": 1, "a": "nan", "b": "-inf", "c": "inf"}
  back = read_metrics(path)[0]
  assert math.isnan(back["a"])
  assert (back["b"], back["c"]) == (-math.inf, math.inf)


def test_a_row_is_in_the_file_when_write_returns(tmp_path):
  with MetricsLog(tmp_path, resume_step=None) as log:
    for step in (1, 2, 3):
      log.write(step, {"loss": 1.0})
      assert steps_in(tmp_path)[-1] == step


@pytest.mark.parametrize("resume_step", [0, 10, 15, 20, 99])
def test_resume_drops_the_rows_that_will_be_written_again(tmp_path, resume_step):
  write_rows(tmp_path, 10, 20, 30)
  with MetricsLog(tmp_path, resume_step=resume_step):
    assert steps_in(tmp_path) == [s for s in (10, 20, 30) if s <= resume_step]


def test_a_resumed_log_is_the_log_of_one_run(tmp_path):
  write_rows(tmp_path / "once", 10, 20, 30, 40)
  write_rows(tmp_path / "twice", 10, 20, 30)
  write_rows(tmp_path / "twice", 30, 40, resume_step=20)
  once, twice = (tmp_path / name / "metrics.jsonl" for name in ("once", "twice"))
  assert once.read_bytes() == twice.read_bytes()


def test_resume_keeps_what_is_not_finite(tmp_path):
  with MetricsLog(tmp_path, resume_step=None) as log:
    log.write(1, {"loss": math.nan})
  before = (tmp_path / "metrics.jsonl").read_bytes()
  write_rows(tmp_path, resume_step=1)
  assert (tmp_path / "metrics.jsonl").read_bytes() == before


def test_a_new_run_begins_with_an_empty_log(tmp_path):
  (tmp_path / "metrics.jsonl").write_text("damaged\n{}\n")
  write_rows(tmp_path, 10, 20)
  write_rows(tmp_path, 5)
  assert steps_in(tmp_path) == [5]


def test_a_torn_last_line_is_dropped_wherever_it_was_cut(tmp_path):
  write_rows(tmp_path, 1, 2)
  path = tmp_path / "metrics.jsonl"
  whole = path.read_bytes()
  first = whole.index(b"\n") + 1
  for cut in range(first, len(whole) - 1):
    path.write_bytes(whole[:cut])
    assert steps_in(tmp_path) == [1]
    write_rows(tmp_path, 2, resume_step=9)
    assert path.read_bytes() == whole


def test_a_row_that_lost_only_its_line_end_is_kept(tmp_path):
  write_rows(tmp_path, 1, 2)
  path = tmp_path / "metrics.jsonl"
  path.write_bytes(path.read_bytes()[:-1])
  write_rows(tmp_path, 3, resume_step=2)
  assert steps_in(tmp_path) == [1, 2, 3]


@pytest.mark.parametrize("line", ["{", "3", "{}", "\0\0"])
def test_a_damaged_line_in_the_middle_is_an_error(tmp_path, line):
  path = tmp_path / "metrics.jsonl"
  path.write_text(f'{{"step": 1}}\n{line}\n{{"step": 3}}\n')
  with pytest.raises(InputError, match=f"line 2 of {path} is damaged"):
    read_metrics(path)


def test_no_metrics(tmp_path):
  with pytest.raises(InputError, match=r"no metrics in .*No such file"):
    read_metrics(tmp_path / "metrics.jsonl")


def test_a_metric_may_not_be_called_step(tmp_path):
  with (
    MetricsLog(tmp_path, resume_step=None) as log,
    pytest.raises(InputError, match="a metric is called 'step'"),
  ):
    log.write(1, {"step": 2})


# TensorBoard


def events(folder):
  """All events of all files, the files in the order of their names."""
  from tensorboardX.proto.event_pb2 import Event

  found = []
  for path in sorted(folder.glob("events.out.tfevents.*")):
    data = path.read_bytes()
    while data:  # a TFRecord: length, its checksum, the event, its checksum
      (length,) = struct.unpack("<Q", data[:8])
      found.append(Event.FromString(data[12 : 12 + length]))
      data = data[16 + length :]
  return found


def scalars(folder):
  return [
    (e.step, v.tag, v.simple_value) for e in events(folder) for v in e.summary.value
  ]


def test_numbers_go_to_tensorboard(tmp_path):
  with MetricsLog(tmp_path, resume_step=None) as log:
    log.write(10, {"loss": 0.5, "name": "text", "bad": math.nan, "list": [1]})
  assert scalars(tmp_path) == [(10, "loss", 0.5)]


def test_resume_tells_tensorboard_what_to_forget(tmp_path):
  write_rows(tmp_path, 10, 20, 30)
  write_rows(tmp_path, 30, resume_step=20)
  assert len(list(tmp_path.glob("events.out.tfevents.*"))) == 2
  starts = [e.step for e in events(tmp_path) if e.HasField("session_log")]
  assert 21 in starts
  assert sorted(step for step, _, _ in scalars(tmp_path)) == [10, 20, 30, 30]


def test_without_tensorboard_the_rows_are_still_written(tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, "tensorboardX", None)
  write_rows(tmp_path, 10)
  assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]


# Whole files


def test_write_json_maps_what_runs_hold(tmp_path):
  path = tmp_path / "config.json"
  value = {"path": pathlib.PurePosixPath("a/b"), "array": jnp.arange(2), 3: (1, None)}
  write_json(path, value | {"nested": {"x": np.float32(np.nan), "y": np.bool_(True)}})
  assert json.loads(path.read_text()) == {
    "path": "a/b",
    "array": [0, 1],
    "3": [1, None],
    "nested": {"x": "nan", "y": True},
  }


def test_write_json_refuses_other_objects_and_leaves_the_file(tmp_path):
  path = tmp_path / "config.json"
  write_json(path, 1)
  with pytest.raises(InputError, match=r"cannot write <object .*as JSON; give numbers"):
    write_json(path, {"a": object()})
  assert [p.name for p in tmp_path.iterdir()] == ["config.json"]
  assert path.read_text() == "1\n"


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
  path = tmp_path / "report.html"
  write_text(path, "old")

  def fail(_):
    raise OSError(28, "No space left on device")

  monkeypatch.setattr(os, "fsync", fail)
  with pytest.raises(OSError, match="No space left"):
    write_text(path, "new")
  assert path.read_text() == "old"


# The progress bar


class Clock:
  """Seconds that pass only when the test says so."""

  def __init__(self):
    self.now = 0.0

  def __call__(self):
    return self.now


def show(*, terminal):
  """Ten steps of 32 in 100 s (compiling), then 20 in 10 s, of 50; all that is shown."""
  console = Console(file=io.StringIO(), force_terminal=terminal, width=120)
  clock = Clock()
  with Progress(50, start=0, batch=32, console=console, clock=clock) as progress:
    for step, seconds, loss in ((10, 100.0, jnp.float32(4.25)), (30, 10.0, 3.0)):
      clock.now += seconds
      progress.update(step, loss)
    progress.say("collapse? [features] have rank 2")
  return console.file.getvalue()


def test_away_from_a_terminal_each_update_is_a_plain_line():
  assert show(terminal=False).splitlines() == [
    "step 10/50  loss 4.25  3 examples/s  0:06:40 left",
    "step 30/50  loss 3  64 examples/s  0:00:10 left",
    "collapse? [features] have rank 2",
  ]


def test_on_a_terminal_there_is_a_bar_with_the_same_figures():
  shown = show(terminal=True)
  assert "━" in shown
  assert "step 30/50" in shown
  assert "loss 3  64 examples/s  0:00:10 left" in shown
  assert "collapse? [features] have rank 2" in shown


def test_a_resumed_run_counts_only_its_own_steps():
  console, clock = Console(file=io.StringIO(), force_terminal=False), Clock()
  with Progress(100, start=80, batch=10, console=console, clock=clock) as progress:
    clock.now = 5.0
    progress.update(90, 1.0)
  assert console.file.getvalue() == "step 90/100  loss 1  20 examples/s  0:00:05 left\n"


def test_no_time_has_passed():
  console = Console(file=io.StringIO(), force_terminal=False)
  with Progress(10, start=0, batch=4, console=console, clock=Clock()) as progress:
    progress.update(1, math.nan)
  assert console.file.getvalue() == "step 1/10  loss nan  0 examples/s  ? left\n"
