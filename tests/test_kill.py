"""A run killed at random steps and resumed ends bit-identical to one that wasn't."""

import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from jaxssl import runs
from jaxssl.log import read_metrics
from jaxssl.mesh import data_mesh

TOY = str(pathlib.Path(__file__).parent / "toy.py") + ":toy"
SETTINGS = ["--steps", "40", "--log-every", "1", "--eval-every", "40"]
EVERYDAY, ALL = 1, 10


def environment():
  """One CPU device, as a user has it, and the compile cache of the tests."""
  env = {n: v for n, v in os.environ.items() if n != "XLA_FLAGS"}
  return env | {"JAX_COMPILATION_CACHE_DIR": str(jax.config.jax_compilation_cache_dir)}


def start(*args):
  command = [sys.executable, "-m", "jaxssl.cli", "train", *map(str, args)]
  return subprocess.Popen(
    command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
  )


def finish(*args):
  process = start(*args)
  output = process.communicate()[0].decode()
  assert process.returncode == 0, output
  return output


def kill_at(process, out, step):
  """Kills -9 once the log has reached a step (or the run is over)."""
  log = out / "metrics.jsonl"
  while process.poll() is None:
    rows = read_metrics(log) if log.exists() else []
    if rows and rows[-1]["step"] >= step:
      process.send_signal(signal.SIGKILL)
    time.sleep(0.005)
  process.communicate()


def final_state(out):
  experiment = runs.reopen(out)
  mesh = data_mesh(jax.devices()[:1])
  restored = runs.restore(out, experiment, mesh)
  assert restored.step == 40
  plain = restored.state._replace(key=jax.random.key_data(restored.state.key))
  return jax.tree.leaves(jax.device_get(plain))


@pytest.mark.parametrize(
  ("data", "kills"),
  [
    ("resident", EVERYDAY),
    pytest.param("resident", ALL, marks=pytest.mark.slow),
    pytest.param("host", ALL, marks=pytest.mark.slow),
  ],
)
def test_pitfall_11_killed_and_resumed(tmp_path, data, kills):
  settings = [TOY, "--data", data, *SETTINGS]
  finish(*settings, "--out", tmp_path / "whole")
  out, steps = (
    tmp_path / "killed",
    sorted(random.Random(data).sample(range(1, 39), kills)),
  )
  kill_at(start(*settings, "--out", out), out, steps[0])
  for step in steps[1:]:
    kill_at(start("--resume", out), out, step)
  assert "Going on from step" in finish("--resume", out)
  for a, b in zip(final_state(tmp_path / "whole"), final_state(out), strict=True):
    np.testing.assert_array_equal(a, b)
  losses = lambda run: [
    r["loss"] for r in read_metrics(run / "metrics.jsonl") if "loss" in r
  ]
  assert losses(out) == losses(tmp_path / "whole")
  assert len(losses(out)) == 40
