"""Runs that have just begun, for what reads saved runs; and equality of states."""

import functools
from pathlib import Path

import jax
import numpy as np

from jaxssl import core, runs
from jaxssl.checkpoint import Checkpoints
from jaxssl.registry import Experiment


def saved(experiment: Experiment, folder: Path) -> str:
  """Returns the folder of a run whose one checkpoint is its initial state."""
  out = runs.create(experiment, folder)
  init = functools.partial(core.init_state, experiment.method, experiment.tx)
  state = jax.jit(init)(jax.random.key(0), runs.example_batch(experiment, 2))
  with Checkpoints(out / "checkpoints") as checkpoints:
    checkpoints.save(0, state, {"seconds": 0.0})
  return str(out)


def same(a: core.TrainState, b: core.TrainState) -> bool:
  """Whether two states are equal to the last bit."""
  plain = lambda s: jax.device_get(s._replace(key=jax.random.key_data(s.key)))
  return jax.tree.all(jax.tree.map(np.array_equal, plain(a), plain(b)))
