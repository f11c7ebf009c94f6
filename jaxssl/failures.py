"""When a run stops being finite: find the step, keep its state and its batch."""

import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxssl import core, runs
from jaxssl.checkpoint import Checkpoints
from jaxssl.feeds import Feed
from jaxssl.log import write_json
from jaxssl.registry import Experiment

PyTree = Any


def replay(
  experiment: Experiment,
  feed: Feed,
  state: core.TrainState,
  limit: int,
  out: pathlib.Path,
) -> str:
  """Steps again from the last good state to the step that is not finite.

  The run is deterministic, so the replay fails where the run did. The state before
  that step and its batch go to `out/failed/`.

  Args:
    experiment: the experiment.
    feed: its feed.
    state: the last good state.
    limit: the step by which the run was known not to be finite.
    out: the run's folder.

  Returns:
    A sentence for the user.
  """
  step = jax.jit(runs.train_step(experiment))
  start = int(state.step)
  for at in range(start, limit):
    batch = feed.batch(at)
    after, metrics = step(state, batch)
    if not _finite((after.params, after.opt_state, after.extra, metrics["loss"])):
      _write(out / "failed", at, state, batch, metrics)
      return (
        f"A replay from step {start} found the first such step, number {at}: the state "
        f"before it and its batch are in {out / 'failed'}. The last good checkpoint is "
        f"kept. A lower learning rate is the usual cure."
      )
    state = after
  return f"A replay from step {start} was finite throughout: the machine is suspect."


def _finite(tree: PyTree) -> bool:
  floats = [x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.floating)]
  return all(bool(jnp.isfinite(x).all()) for x in floats)


def _write(folder, at, state, batch, metrics):
  with Checkpoints(folder, keep=1) as checkpoints:
    checkpoints.save(at, state, {})
  np.savez(folder / "batch.npz", **jax.device_get(batch))
  values = {n: repr(float(x)) for n, x in metrics.items()}
  write_json(folder / "step.json", {"step": at, "metrics": values})
