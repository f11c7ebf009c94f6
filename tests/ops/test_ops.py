"""Norms, means, queues and schedules, against numpy and published code."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl import ops
from jaxssl.errors import InputError
from tests import golden


def test_l2_normalize_is_division_by_the_norm():
  x = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
  expected = x / np.linalg.norm(x, axis=1, keepdims=True)
  np.testing.assert_allclose(ops.l2_normalize(jnp.asarray(x)), expected, rtol=1e-6)


def test_l2_normalize_is_finite_at_zero():
  total = lambda x: ops.l2_normalize(x).sum()
  value, gradient = jax.value_and_grad(total)(jnp.zeros(4))
  assert value == 0 and np.isfinite(gradient).all()


def test_l2_normalize_sums_in_float32():
  x = jnp.full(4096, 0.01, jnp.bfloat16)
  unit = ops.l2_normalize(x)
  assert unit.dtype == jnp.bfloat16
  np.testing.assert_allclose(unit.astype(jnp.float32), 1 / 64, rtol=1e-2)


def test_masked_mean_counts_only_what_the_mask_shows():
  values, mask = jnp.asarray([1.0, 2.0, 30.0]), jnp.asarray([1, 1, 0])
  assert ops.masked_mean(values, mask) == 1.5
  assert ops.masked_mean(values, jnp.zeros(3)) == 0
  with pytest.raises(AssertionError):
    ops.masked_mean(values, jnp.ones(2))


def test_to_float_converts_only_uint8():
  tree = {"image": jnp.asarray([0, 255], jnp.uint8), "index": jnp.asarray([7])}
  out = ops.to_float(tree)
  np.testing.assert_array_equal(out["image"], [0.0, 1.0])
  assert out["index"].dtype == jnp.int32


def test_a_queue_starts_as_unit_vectors():
  queue, pointer = ops.random_queue(jax.random.key(0), size=6, dim=4)
  np.testing.assert_allclose(np.linalg.norm(queue, axis=1), 1, rtol=1e-5)
  assert pointer == 0 and pointer.dtype == jnp.int32
  with pytest.raises(InputError, match="at least one row"):
    ops.random_queue(jax.random.key(0), size=0, dim=4)


def test_a_queue_is_first_in_first_out():
  queue, pointer = jnp.zeros((6, 1)), jnp.int32(0)
  kept = [0.0] * 6
  for step in range(1, 8):
    rows = [2.0 * step, 2.0 * step + 1]
    queue, pointer = ops.enqueue(queue, pointer, jnp.asarray(rows)[:, None])
    kept = (kept + rows)[-6:]
    assert sorted(queue[:, 0].tolist()) == sorted(kept)
  assert int(pointer) == 2 * 7 % 6


def test_pitfall_10_a_batch_must_divide_the_queue():
  with pytest.raises(InputError, match="4 does not divide a queue of 6.*such as 4"):
    ops.enqueue(jnp.zeros((6, 1)), jnp.int32(0), jnp.zeros((4, 1)))


@pytest.mark.parametrize("case", golden.load("schedule_byol"))
def test_cosine_ema_is_byols(case):
  schedule = ops.cosine_ema(case.options["base_ema"], steps=case.options["total_steps"])
  got = jax.vmap(schedule)(jnp.asarray(case.inputs["step"], jnp.int32))
  np.testing.assert_allclose(got, case.outputs["ema"], rtol=1e-6)


def test_cosine_ema_stays_at_one_after_the_run():
  assert ops.cosine_ema(0.9, steps=10)(jnp.int32(15)) == 1


@pytest.mark.parametrize(("base", "steps"), [(1.5, 10), (-0.1, 10), (0.9, 0)])
def test_cosine_ema_refuses(base, steps):
  with pytest.raises(InputError, match="cosine_ema needs"):
    ops.cosine_ema(base, steps=steps)
