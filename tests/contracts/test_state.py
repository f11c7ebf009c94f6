"""Contracts 2, 3 and 5: one trace, a fixed point, no leak of gradients."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl import core, evals
from tests import cases
from tests.contracts import runners
from tests.marks import some_of

names = pytest.mark.parametrize("name", some_of(cases.NAMES, cases.EVERYDAY))


def test_what_runs_every_day_is_in_the_table():
  assert {*cases.EVERYDAY, *cases.JOINT} <= set(cases.NAMES)


@names
def test_pitfall_12_one_trace_and_no_host_transfer(name):
  step, mesh = runners.jitted(name, "batch", 1)
  state, batch = runners.placed(name, "batch", mesh)
  state, _ = step(state, batch)
  traces = step._cache_size()
  with jax.transfer_guard("disallow"):
    for _ in range(2):
      state, metrics = step(state, batch)
  assert step._cache_size() == traces
  assert np.isfinite(float(metrics["loss"]))
  assert int(state.step) == 3


@pytest.mark.parametrize("name", some_of(cases.NAMES, cases.JOINT))
def test_structure_dtypes_and_shardings_are_a_fixed_point(name):
  step, mesh = runners.jitted(name, "batch", 8)
  first, batch = runners.placed(name, "batch", mesh)
  describe = lambda x: (x.shape, x.dtype, getattr(x, "weak_type", False), x.sharding)
  expected = jax.tree.map(describe, first)
  after, _ = step(first, batch)
  assert jax.tree.map(describe, after) == expected


@names
def test_init_works_on_shapes_alone(name):
  init = functools.partial(
    core.init_state, runners.method(name, "batch"), cases.optimiser()
  )
  shapes = jax.eval_shape(lambda x: x, runners.batch(name))
  abstract = jax.eval_shape(init, jax.random.key(0), shapes)
  real = runners.first_state(name, "batch")
  same = jax.tree.map(
    lambda a, b: (a.shape, a.dtype) == (b.shape, b.dtype), abstract, real
  )
  assert all(jax.tree.leaves(same))


@names
def test_init_does_not_read_values(name):
  init = functools.partial(
    core.init_state, runners.method(name, "batch"), cases.optimiser()
  )
  zeros = jax.tree.map(jnp.zeros_like, runners.batch(name))
  state = jax.jit(init)(jax.random.key(0), zeros)
  expected = runners.strip(runners.first_state(name, "batch"))
  assert runners.largest_difference(runners.strip(state), expected) == 0


@names
def test_pitfall_13_no_two_leaves_alias(name):
  leaves = jax.tree.leaves(runners.strip(runners.first_state(name, "batch")))
  pointers = [x.unsafe_buffer_pointer() for x in leaves if x.size]
  assert len(set(pointers)) == len(pointers)


@names
def test_loss_falls_on_a_toy_batch(name):
  step, _ = runners.jitted(name, "batch", 1)
  state, losses = runners.copy(runners.first_state(name, "batch")), []
  for _ in range(40):
    state, metrics = step(state, runners.batch(name))
    losses.append(float(metrics["loss"]))
  features = runners.encode(name)(state.params, state.extra, runners.batch(name))
  assert evals.verdict(evals.collapse_measures(features)) is None
  assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.02 * abs(np.mean(losses[:5]))


@names
def test_no_gradient_reaches_what_is_frozen(name):
  case, method = runners.CASES[name], runners.method(name, "layer")
  state = runners.first_state(name, "layer")
  if not jax.tree.leaves(case.frozen(state)):
    pytest.skip("Nothing is frozen.")
  keys = core.row_keys(state, cases.BATCH)

  def loss(extra):
    outputs, extra = method.forward(
      state.params, extra, runners.batch(name), keys, state.step
    )
    return method.objective(state.params, extra, outputs, state.step)[0]

  grads = jax.jit(jax.grad(loss, allow_int=True))(state.extra)
  frozen = case.frozen(state._replace(extra=grads))
  for leaf in jax.tree.leaves(frozen):
    np.testing.assert_array_equal(np.asarray(leaf), 0)


@names
def test_encode_is_the_features_of_the_unaugmented_input(name):
  encode, state = runners.encode(name), runners.first_state(name, "batch")
  batch = runners.batch(name)
  features = encode(state.params, state.extra, batch)
  assert features.shape == (cases.BATCH, 32)
  halves = [
    encode(state.params, state.extra, jax.tree.map(lambda x, i=i: x[i::2], batch))
    for i in (0, 1)
  ]
  np.testing.assert_allclose(features[0::2], halves[0], atol=1e-6)
  patches = encode(state.params, state.extra, batch, patches=True)
  assert patches.ndim == 3 and len(patches) == cases.BATCH


@pytest.mark.parametrize(
  "name", [c.name for c in cases.CASES if c.batch is cases.batch]
)
def test_uint8_images_are_the_floats_they_stand_for(name):
  state = runners.first_state(name, "batch")
  raw = np.arange(4 * 64, dtype=np.uint8).reshape(4, 8, 8, 1)
  floats = raw.astype(np.float32) / 255
  encode = lambda x: runners.encode(name)(state.params, state.extra, {"input": x})
  np.testing.assert_allclose(encode(raw), encode(floats), atol=1e-6)
