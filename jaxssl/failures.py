"""When a run stops being finite: find the step, keep its state and its batch."""

import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxssl import core, processes, runs, seeds
from jaxssl.checkpoint import Checkpoints
from jaxssl.feeds import Feed
from jaxssl.log import write_json
from jaxssl.registry import Experiment, Run

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
  start, run = int(core.steps_done(state)), experiment.run
  for at in range(start, limit):
    batch = feed.batch(at)
    after, metrics = step(state, batch)
    found = (after.params, after.opt_state, after.extra, metrics["loss"])
    if failed := _not_finite(run, found):
      _write(out / "failed", at, state, batch, metrics)
      whose = f" (seed {', '.join(map(str, failed))})" if run.seeds > 1 else ""
      return (
        f"A replay from step {start} found the first such step, number {at}{whose}: "
        f"the state before it and its batch are in {out / 'failed'}. The last good "
        f"checkpoint is kept. A lower learning rate is the usual cure."
      )
    state = after
  return f"A replay from step {start} was finite throughout: the machine is suspect."


def _not_finite(run: Run, tree: PyTree) -> list[int]:
  """Seeds of the runs with a value that is not finite."""
  floats = [x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.floating)]
  finite = [jnp.isfinite(x).reshape(run.seeds, -1).all(axis=1) for x in floats]
  good = np.all(processes.on_this_host(finite), axis=0)
  return [seed for seed, fine in zip(seeds.of(run), good, strict=True) if not fine]


def _write(folder, at, state, batch, metrics):
  with Checkpoints(folder, keep=1) as checkpoints:
    checkpoints.save(at, state, {})
  batch, metrics = processes.on_this_host((batch, metrics))
  if processes.first():
    np.savez(folder / "batch.npz", **batch)
    values = {n: np.asarray(x, float).tolist() for n, x in metrics.items()}
    values = jax.tree.map(repr, values)
    write_json(folder / "step.json", {"step": at, "metrics": values})
  processes.wait("failed")
