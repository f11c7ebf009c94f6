"""Every registered experiment builds and takes two steps at a tiny size."""

import functools

import jax
import numpy as np
import pytest

from jaxssl import core, registry, runs

SMALL = {"steps": 2, "batch": 16}


def settings(name, folder):
  """What makes an experiment small, and its data ones that are here."""
  if name == "simclr_fashion_mnist":
    images = np.random.default_rng(0).integers(0, 255, (32, 28, 28), np.uint8)
    np.savez(folder / "x.npz", x=images)
    return {**SMALL, "data": str(folder / "x.npz")}
  if name == "simclr_images":
    return {**SMALL, "data": "digits", "size": 8}
  return SMALL


@pytest.mark.parametrize("name", registry.names())
def test_two_steps(name, tmp_path):
  experiment = registry.build(name, **settings(name, tmp_path))
  batch = runs.example_batch(experiment, experiment.run.batch)
  method, tx = experiment.method, experiment.tx
  init = functools.partial(core.init_state, method, tx)
  state = first = jax.jit(init)(jax.random.key(0), batch)
  step = jax.jit(functools.partial(core.train_step, method, tx))
  for _ in range(2):
    state, metrics = step(state, batch)
  assert np.isfinite(float(metrics["loss"]))
  assert int(state.step) == 2
  moved = jax.tree.map(lambda a, b: float(abs(a - b).max()), first.params, state.params)
  assert max(jax.tree.leaves(moved)) > 0
