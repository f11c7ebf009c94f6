"""Contracts 6 and 7: a resumed run is the unbroken one; equal examples are no harm."""

import jax
import numpy as np
import pytest

from jaxssl.checkpoint import Checkpoints
from tests import cases
from tests.contracts import runners
from tests.marks import some_of

# one of each kind of state: queue, bank, targets, codes, clusters, players, two towers
KEPT = (
  *("moco_v2", "npid", "byol", "swav", "deepcluster", "deepcluster_v2", "dino", "gan"),
  *("clip", "bert", "scarf"),
)
names = pytest.mark.parametrize("name", some_of(cases.NAMES, KEPT))
HALF = 2  # steps: one epoch, so that what has a `refresh` meets it again once resumed


def begun(name):
  _, mesh = runners.jitted(name, "batch", 1)
  return runners.placed(name, "batch", mesh)[0]


def shapes(state):
  abstract = lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding)
  return jax.tree.map(abstract, state)


@names
def test_a_resumed_run_is_the_unbroken_run(name, tmp_path):
  """Whatever steps write is in the state, and comes back from disk bit by bit."""
  batches = runners.epoch(name)
  half, _ = runners.run_loop(name, begun(name), batches, HALF)
  with Checkpoints(tmp_path) as checkpoints:
    assert checkpoints.save(HALF, half, {})
    unbroken, _ = runners.run_loop(name, half, batches, HALF)
    restored = checkpoints.restore(shapes(begun(name)))
  assert restored.step == int(restored.state.step) == HALF
  resumed, _ = runners.run_loop(name, restored.state, batches, HALF)
  assert int(resumed.step) == 2 * HALF
  assert_identical(resumed, unbroken)


REFRESHED = [n for n in cases.NAMES if runners.method(n, "batch").refresh is not None]


@pytest.mark.parametrize("name", some_of(REFRESHED, cases.EVERYDAY))
def test_refresh_leaves_arrays_where_they_are(name):
  """What it makes anew on another device would have the step traced once more."""
  state = begun(name)
  batches = jax.device_put(runners.epoch(name), state.step.sharding)
  after = runners.method(name, "batch").refresh(state, iter(batches), state.key)
  moved = jax.tree.map(lambda a, b: a.sharding != b.sharding, state, after)
  assert not any(jax.tree.leaves(moved))


def assert_identical(got, expected):
  got, expected = runners.strip(got), runners.strip(expected)
  assert jax.tree.structure(got) == jax.tree.structure(expected)
  pairs = zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True)
  for a, b in pairs:
    assert a.dtype == b.dtype
    np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def all_equal(batch):
  """The batch with the first example in every row; their indices remain."""
  first = lambda x: np.broadcast_to(x[:1], x.shape)
  return {**batch, "input": jax.tree.map(first, batch["input"])}


@names
def test_equal_examples_give_a_finite_step(name):
  """No variance, no distances, one cluster: where roots and divisions blow up.

  SGD's momentum starts as the gradient, so the state holds that too.
  """
  batches = [(all_equal(batch), mask) for batch, mask in runners.epoch(name)]
  state, metrics = runners.run_loop(name, begun(name), batches, 1)
  assert {k for k, x in metrics.items() if not np.isfinite(x)} == set()
  assert np.isfinite(cases.flat(runners.strip(state))).all()
