"""Contract 1: every runner ends in the same state, and has the same gradient."""

import functools

import jax
import numpy as np
import pytest

from jaxssl import core, losses, methods
from jaxssl.mesh import data_mesh, rows_sharded
from tests import cases
from tests.contracts import runners
from tests.marks import some_of

EVERYDAY_STEPS, ALL_STEPS = 2, 5
names = pytest.mark.parametrize("name", cases.NAMES)
# The step on 8 devices, of the methods whose rows meet in the objective.
meeting = pytest.mark.parametrize("name", some_of(cases.NAMES, cases.JOINT))
first_six = pytest.mark.parametrize("name", some_of(cases.NAMES, cases.FIRST))


def assert_same(got, expected):
  assert runners.largest_difference(got, expected) < 1e-5


@meeting
def test_mesh_of_8_is_mesh_of_1(name):
  one = runners.run_jit(name, "batch", 1, EVERYDAY_STEPS)
  assert_same(runners.run_jit(name, "batch", 8, EVERYDAY_STEPS), one)


@first_six
def test_state_split_over_fsdp_is_mesh_of_1(name):
  """Rows over 4 x 2 devices, parameters, optimiser, target and queue over 2."""
  step, mesh, state = runners.split(name, "batch")
  batch = jax.device_put(runners.batch(name), rows_sharded(mesh))
  for _ in range(EVERYDAY_STEPS):
    state, _ = step(state, batch)
  whole = [x.is_fully_replicated for x in jax.tree.leaves(state.params)]
  assert not all(whole)
  one = runners.run_jit(name, "batch", 1, EVERYDAY_STEPS)
  assert_same(jax.device_get(runners.strip(state)), one)


@first_six
def test_pmap_over_8_is_mesh_of_1(name):
  one = runners.run_jit(name, "batch", 1, EVERYDAY_STEPS)
  assert_same(runners.run_pmap(name, "batch", EVERYDAY_STEPS), one)


@first_six
def test_pitfall_7_accumulation_by_4_is_the_whole_batch(name):
  whole = runners.run_jit(name, "layer", 1, EVERYDAY_STEPS)
  assert_same(runners.run_accumulated(name, "layer", 4, EVERYDAY_STEPS), whole)


@first_six
def test_scanned_steps_are_steps(name):
  one = runners.run_jit(name, "batch", 1, EVERYDAY_STEPS)
  assert_same(runners.run_scanned(name, "batch", EVERYDAY_STEPS), one)


@pytest.mark.slow
@names
def test_all_runners_agree_after_5_steps(name):
  one = runners.run_jit(name, "layer", 1, ALL_STEPS)
  assert_same(runners.run_jit(name, "layer", 8, ALL_STEPS), one)
  assert_same(runners.run_pmap(name, "layer", ALL_STEPS), one)
  assert_same(runners.run_accumulated(name, "layer", 4, ALL_STEPS), one)
  assert_same(runners.run_scanned(name, "layer", ALL_STEPS), one)
  one = runners.run_jit(name, "batch", 1, ALL_STEPS)
  assert_same(runners.run_jit(name, "batch", 8, ALL_STEPS), one)
  assert_same(runners.run_pmap(name, "batch", ALL_STEPS), one)


@meeting
@pytest.mark.parametrize("devices", some_of((2, 4, 8), everyday=(8,)))
def test_pitfall_1_raw_gradients_agree(name, devices):
  one = functools.partial(runners.run_jit, name, "batch", 1)
  many = functools.partial(runners.run_jit, name, "batch", devices)
  assert_same_gradient(one, many)


@first_six
def test_raw_gradients_of_pmap_agree(name):
  one = functools.partial(runners.run_jit, name, "batch", 1)
  assert_same_gradient(one, functools.partial(runners.run_pmap, name, "batch"))


@first_six
def test_raw_gradients_of_accumulation_agree(name):
  one = functools.partial(runners.run_jit, name, "layer", 1)
  accumulated = functools.partial(runners.run_accumulated, name, "layer", 4)
  assert_same_gradient(one, accumulated)


def assert_same_gradient(first, *others):
  expected = runners.gradient(first)
  scale = np.abs(expected).max()
  assert scale > 0
  for run in others:
    got = runners.gradient(run)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5 * scale)


@first_six
def test_runs_under_vmap_are_separate_runs(name):
  method, tx = runners.method(name, "layer"), cases.optimiser()
  keys = jax.random.split(jax.random.key(3), 2)
  states = jax.jit(lambda k: core.init_runs(method, tx, k, runners.batch(name)))(keys)
  states, _ = jax.jit(core.step_runs(method, tx))(states, runners.batch(name))
  step, _ = runners.jitted(name, "layer", 1)
  init = jax.jit(lambda k: core.init_state(method, tx, k, runners.batch(name)))
  for i, key in enumerate(keys):
    alone, _ = step(init(key), runners.batch(name))
    assert_same(
      jax.tree.map(lambda x, i=i: x[i], runners.strip(states)), runners.strip(alone)
    )


def test_accumulation_takes_strided_slices():
  """On a mesh of 8, 4 micro-batches cost no more arithmetic than the whole batch."""
  name, norm = "vicreg", "layer"
  whole = runners.flops_of_accumulated(name, norm, micro=1)
  assert runners.flops_of_accumulated(name, norm, micro=4) < 1.5 * whole


RINGS = {
  "simclr": (losses.ring_nt_xent, {"temperature": 0.2}),
  "dcl": (losses.ring_decoupled_nt_xent, {"temperature": 0.2}),
  "supcon": (losses.ring_supcon, {"temperature": 0.2}),
  "moco_v3": (losses.ring_info_nce, {"momentum": cases.MOMENTUM}),
  "nnclr": (losses.ring_info_nce, {"temperature": 0.2, "queue_size": 4 * cases.BATCH}),
}


@pytest.mark.parametrize("name", RINGS)
def test_a_loss_that_goes_round_the_mesh_is_the_same_step(name):
  """The ring inside the jitted step, on a mesh of 8, against one device without it."""
  ring, options = RINGS[name]
  mesh = data_mesh()
  contrast = functools.partial(ring, mesh=mesh)
  net = cases.net("layer", predictor=name in ("moco_v3", "nnclr"))
  method = getattr(methods, name)(net, cases.views, contrast=contrast, **options)
  state, batch = runners.placed(name, "layer", mesh)
  step = core.jit_step(method, cases.optimiser(), mesh)
  for _ in range(EVERYDAY_STEPS):
    state, _ = step(state, batch)
  one = runners.run_jit(name, "layer", 1, EVERYDAY_STEPS)
  assert_same(jax.device_get(runners.strip(state)), one)
