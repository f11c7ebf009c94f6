"""Two processes of two devices end where one of four does; a lost one ends both."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from jaxssl import processes, runs
from jaxssl.data import indices
from jaxssl.errors import InputError
from jaxssl.log import read_metrics
from jaxssl.mesh import data_mesh

TOY = str(pathlib.Path(__file__).parent / "toy.py") + ":toy"
SETTINGS = ["--steps", "12", "--log-every", "3", "--eval-every", "12"]
LONG = ["--steps", "80", "--log-every", "1", "--eval-every", "80"]


def environment(devices):
  flags = (
    "--xla_backend_optimization_level=0 "
    f"--xla_force_host_platform_device_count={devices}"
  )
  cache = str(jax.config.jax_compilation_cache_dir)
  return os.environ | {"XLA_FLAGS": flags, "JAX_COMPILATION_CACHE_DIR": cache}


def launch(args, *, devices):
  return start(["-m", "jaxssl.cli", "train", *args], devices=devices)


def start(args, *, devices, **variables):
  """Starts Python with an environment of so many devices."""
  return subprocess.Popen(
    [sys.executable, *map(str, args)],
    env=environment(devices) | variables,
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )


def free_port():
  with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    return free.getsockname()[1]


def launch_two(args, others=None):
  """Starts two processes of two devices each, the second with its own arguments."""
  shared = ["--coordinator", f"127.0.0.1:{free_port()}", "--num-processes", "2"]
  both = enumerate([args, others or args])
  return [launch([*a, *shared, "--process-id", i], devices=2) for i, a in both]


def outputs(started):
  found = [process.communicate(timeout=400)[0] for process in started]
  assert [process.returncode for process in started] == [0] * len(started), found
  return found


def state_of(out):
  restored = runs.restore(out, runs.reopen(out), data_mesh(jax.devices()[:1]))
  state = restored.state._replace(key=jax.random.key_data(restored.state.key))
  return jax.tree.leaves(jax.device_get(state))


@pytest.mark.parametrize(
  "data", ["host", pytest.param("resident", marks=[pytest.mark.slow])]
)
def test_two_processes_end_where_one_does(tmp_path, data):
  args = [TOY, "--data", data, "--adaptive", "False", *SETTINGS]
  first, second = outputs(launch_two([*args, "--out", tmp_path / "two"]))
  outputs([launch([*args, "--out", tmp_path / "one"], devices=4)])
  assert "The report is" in first
  assert "The report is" not in second
  assert (tmp_path / "two" / "report.html").exists()
  rows = read_metrics(tmp_path / "two" / "metrics.jsonl")
  assert [row["step"] for row in rows if "loss" in row] == [3, 6, 9, 12]
  for a, b in zip(state_of(tmp_path / "two"), state_of(tmp_path / "one"), strict=True):
    np.testing.assert_allclose(a, b, atol=1e-5)


def ends(started, *, within):
  """What the processes said, and their exit codes, all before a time is over."""
  stop = time.monotonic() + within
  try:
    said = [p.communicate(timeout=stop - time.monotonic())[0] for p in started]
  finally:
    for process in started:
      process.kill()
  return said, [process.returncode for process in started]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
  """The last state of a run of two processes that nobody stopped."""
  out = tmp_path_factory.mktemp("processes") / "whole"
  outputs(launch_two([TOY, *LONG, "--out", out]))
  return state_of(out)


def wait_for(log, step, started):
  """Waits until the log has a step, while all processes run."""
  while not (
    log.exists() and len(rows := read_metrics(log)) and rows[-1]["step"] >= step
  ):
    assert all(process.poll() is None for process in started)
    time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize(("killed", "at"), [(0, 12), (1, 2), (1, 12), (1, 13)])
def test_a_kill_ends_the_other_and_all_go_on_bit_identical(
  tmp_path, uninterrupted, killed, at
):
  out = tmp_path / "killed"
  started = launch_two([TOY, *LONG, "--out", out])
  wait_for(out / "metrics.jsonl", at, started)
  started[killed].send_signal(signal.SIGKILL)
  said, codes = ends(started, within=2 * processes.HEARTBEAT)
  assert codes[killed] == -signal.SIGKILL
  if killed == 0:  # it had the coordinator, without which JAX aborts by itself
    assert codes[1] in (1, -signal.SIGABRT), (said, codes)
  else:
    assert codes[0] == 1, (said, codes)
    assert f"the same command, --resume {out} in place" in said[0]
  assert read_metrics(out / "metrics.jsonl")[-1]["step"] < 80
  again = outputs(launch_two(["--resume", out]))
  assert "Going on from step" in again[0]
  for a, b in zip(state_of(out), uninterrupted, strict=True):
    np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_a_signal_to_one_process_stops_all_with_a_checkpoint(tmp_path):
  out = tmp_path / "stopped"
  started = launch_two([TOY, *LONG, "--out", out])
  wait_for(out / "metrics.jsonl", 5, started)
  started[1].send_signal(signal.SIGTERM)
  said, codes = ends(started, within=120)
  assert codes == [128 + signal.SIGTERM] * 2, said
  assert "the state is saved" in said[0]


def test_a_folder_that_holds_a_run_is_refused_by_all(tmp_path):
  (tmp_path / "config.json").touch()
  said, codes = ends(launch_two([TOY, *SETTINGS, "--out", tmp_path]), within=60)
  assert codes == [2, 2], said
  for text in said:
    assert "holds a run already" in text and "Traceback" not in text


@pytest.mark.parametrize("bad", [0, pytest.param(1, marks=[pytest.mark.slow])])
def test_an_error_in_one_process_ends_the_other(tmp_path, bad):
  """An error that only one of them meets: it doesn't know the experiment."""
  args = [[name, *SETTINGS, "--out", tmp_path / "x"] for name in (TOY, TOY)]
  args[bad][0] = "simclr_digit"
  said, codes = ends(launch_two(*args), within=90)
  assert codes[bad] == 2 and "Did you mean" in said[bad], said
  assert codes[1 - bad] != 0


@pytest.mark.slow
def test_a_wrong_option_in_one_process_ends_the_other(tmp_path):
  """The parser of the command line ends a process by an exception of its own."""
  args = [TOY, *SETTINGS, "--out", tmp_path / "x"]
  said, codes = ends(launch_two(args, [*args, "--bach", "16"]), within=90)
  assert codes[1] == 2 and "--bach" in said[1], said
  assert "stack trace" not in said[1] and "Traceback" not in said[1]
  assert codes[0] != 0


INTERLEAVED = """
import sys
import jax, numpy as np
from jax.sharding import Mesh
import jaxssl
from jaxssl import feeds, processes
from jaxssl.data import indices
from jaxssl.mesh import put, rows_sharded

address, process, toy = sys.argv[1:]
processes.start(address, processes=2, process=int(process))
mesh = Mesh(np.array(jax.devices())[[0, 2, 1, 3]], ("data",))
assert len({d.process_index for d in mesh.devices[:2]}) == 2
whole = processes.on_this_host
for kind in ("host", "resident"):
  experiment = jaxssl.build(toy, data=kind)
  feed, data = feeds.make_feed(experiment, mesh), experiment.data.train
  batch = whole(feed.batch(4))
  expected = indices(4, examples=200, batch=32, seed=experiment.run.data_seed)
  np.testing.assert_array_equal(batch["index"], expected)
  np.testing.assert_array_equal(batch["input"], data[expected]["input"])
  rows = [whole(b)["index"][whole(mask)] for b, mask in feed.in_order()]
  np.testing.assert_array_equal(np.concatenate(rows), np.arange(200))
numbers = np.arange(24).reshape(8, 3)
np.testing.assert_array_equal(whole(put(numbers, rows_sharded(mesh))), numbers)
print("all rows in order")
"""


def test_rows_keep_their_order_on_a_mesh_that_goes_between_hosts():
  address = f"127.0.0.1:{free_port()}"
  said, codes = ends(
    [start(["-c", INTERLEAVED, address, i, TOY], devices=2) for i in range(2)],
    within=120,
  )
  assert codes == [0, 0], said
  assert all("all rows in order" in text for text in said)


@pytest.mark.parametrize(
  "data", ["resident", pytest.param("host", marks=[pytest.mark.slow])]
)
def test_a_loss_that_is_not_finite_is_kept_by_the_first_process(tmp_path, data):
  args = [TOY, *SETTINGS, "--nan-at", "7", "--data", data, "--out", tmp_path / "x"]
  said, codes = ends(launch_two(args), within=150)
  assert codes == [2, 2], said
  assert all("By step 9 the loss (nan) was not finite" in text for text in said)
  failed = tmp_path / "x" / "failed"
  assert json.loads((failed / "step.json").read_text())["step"] == 7
  seen = np.load(failed / "batch.npz")["index"]
  expected = indices(7, examples=200, batch=32, seed=0)
  np.testing.assert_array_equal(seen, expected)
  assert (failed / "7").is_dir()


@pytest.mark.parametrize("process", [0, 1])
def test_a_process_alone_gives_up_with_a_sentence(process):
  code = (
    "from jaxssl import processes; processes.start("
    f"'127.0.0.1:{free_port()}', processes=2, process={process}, timeout=3)"
  )
  alone = subprocess.run(
    [sys.executable, "-c", code], capture_output=True, text=True, timeout=60
  )
  assert alone.returncode == 2
  assert "did not find each other at 127.0.0.1" in alone.stderr
  assert "Check failure" not in alone.stderr and "Traceback" not in alone.stderr


@pytest.mark.parametrize(
  ("options", "says"),
  [
    ({"coordinator": "a:1"}, "needs --num-processes"),
    ({"processes": 2, "process": 0}, "need --coordinator"),
    ({"coordinator": "a:1", "processes": 2, "process": 2}, "not in 0 ... 1"),
  ],
)
def test_an_incomplete_description_is_refused(options, says):
  with pytest.raises(InputError, match=says):
    processes.start(**options)


def test_the_processes_of_a_slurm_job_find_each_other(tmp_path):
  """What srun sets for two tasks on one node; JAX makes the port from the job's id."""
  code = (
    "import jax; from jaxssl import processes; processes.start(); "
    "print('tasks', jax.process_count(), processes.agreed(str(jax.process_index())))"
  )
  job = {"SLURM_JOB_ID": str(os.getpid()), "SLURM_STEP_NODELIST": "127.0.0.1"}
  job |= {"SLURM_NTASKS": "2"}
  tasks = [{**job, "SLURM_PROCID": i, "SLURM_LOCALID": i} for i in ("0", "1")]
  started = [start(["-c", code], devices=1, **task) for task in tasks]
  said, codes = ends(started, within=90)
  assert codes == [0, 0], said
  assert all("tasks 2 0" in text for text in said)
