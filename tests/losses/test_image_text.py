"""Losses of pairs: reference values, blocks, the ring, hard points, errors."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl import losses
from jaxssl.errors import InputError
from jaxssl.losses import image_text
from jaxssl.mesh import data_mesh, rows_sharded
from tests import golden
from tests.losses import common

NAMES = ("clip", "siglip")
SCORES = {
  "clip": {"logit_scale": 5.0},
  "siglip": {"logit_scale": 5.0, "logit_bias": -2.0},
}


def call(name, arrays, scores, **options):
  return getattr(image_text, name.replace("-", "_"))(**arrays, **scores, **options)


def normal(rows=8, dim=5):
  image, text = common.normal((rows, dim), (rows, dim))
  return {"image": image, "text": text}


def run(name, arrays, scores, **options):
  """Rows, and gradients of their weighted sum by arrays and scores."""

  def total(arrays, scores):
    rows = call(name, arrays, scores, **options)
    return jnp.sum(rows * jnp.linspace(0.5, 1.5, rows.shape[0])), rows

  scores = jax.tree.map(jnp.float32, scores)
  gradient = jax.jit(jax.value_and_grad(total, (0, 1), has_aux=True))
  (_, rows), slopes = gradient(arrays, scores)
  return rows, slopes


CASES = [
  pytest.param(name, case, id=f"{name}-{i}")
  for name in NAMES
  for i, case in enumerate(golden.load(name))
]


@pytest.mark.parametrize(("name", "case"), CASES)
def test_published_implementations(name, case):
  given = {n: jnp.asarray(x, jnp.float32) for n, x in case.inputs.items()}

  def mean(given):
    rows = getattr(losses, name)(**given)
    return jnp.mean(rows), rows

  (value, rows), slopes = jax.jit(jax.value_and_grad(mean, has_aux=True))(given)
  got = {"expected_mean": value, "expected_rows": rows}
  common.assert_matches(got | {f"grad_{n}": g for n, g in slopes.items()}, case)


@pytest.mark.parametrize("block_size", [3, 20])
@pytest.mark.parametrize("name", NAMES)
def test_blocks_change_nothing(name, block_size):
  arrays = normal()
  expected = run(name, arrays, SCORES[name])
  got = run(name, arrays, SCORES[name], block_size=block_size)
  common.assert_all_close(got, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("block_size", [None, 2])
@pytest.mark.parametrize("name", NAMES)
def test_the_ring_is_the_dense_loss(name, block_size):
  mesh, arrays = data_mesh(), normal(rows=24)
  expected = run(name, arrays, SCORES[name])
  placed = jax.device_put(arrays, rows_sharded(mesh))
  options = {"mesh": mesh, "block_size": block_size}
  got = run(f"ring_{name}", placed, SCORES[name], **options)
  common.assert_all_close(got, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_no_device_of_the_ring_holds_all_pairs(name):
  """Nor any array of all rows: 24 of 8 devices."""
  mesh = data_mesh()
  loss = functools.partial(call, f"ring_{name}", mesh=mesh)
  total = lambda arrays, scores: loss(arrays, scores).sum()
  arrays = jax.device_put(normal(rows=24), rows_sharded(mesh))
  made = jax.jit(jax.grad(total)).lower(arrays, SCORES[name]).compile().as_text()
  assert "all-gather" not in made
  assert "f32[24,24]" not in made


@pytest.mark.parametrize("name", NAMES)
def test_blocks_bound_the_memory(name):
  arrays = normal(rows=96)
  loss = lambda arrays: call(name, arrays, SCORES[name], block_size=8).sum()
  made = jax.jit(jax.grad(loss)).lower(arrays).compile().as_text()
  assert "f32[96,96]" not in made


@pytest.mark.parametrize("name", NAMES)
def test_products_are_at_full_precision(name):
  loss = lambda **arrays: call(name, arrays, SCORES[name])
  arrays = normal()
  common.assert_full_precision(
    lambda a, b: loss(image=a, text=b), *arrays.values(), products=1
  )


@pytest.mark.parametrize("name", NAMES)
def test_halves_are_compared_in_float32(name):
  halves = {n: jnp.asarray(x, jnp.bfloat16) for n, x in normal().items()}
  wide = {n: x.astype(jnp.float32) for n, x in halves.items()}
  expected = call(name, wide, SCORES[name])
  np.testing.assert_allclose(call(name, halves, SCORES[name]), expected, rtol=1e-6)


def test_clip_of_equal_vectors_is_the_logarithm_of_the_batch():
  ones = {"image": jnp.ones((6, 3)), "text": jnp.ones((6, 3))}
  np.testing.assert_allclose(losses.clip(**ones, logit_scale=7.0), np.log(6), rtol=1e-6)


def test_siglip_starts_low_with_its_bias_and_high_without():
  """Of 16 orthogonal pairs at scale 10: what the bias of -10 is for."""
  eye = {"image": jnp.eye(16), "text": jnp.roll(jnp.eye(16), 1, 0)}
  with_bias = losses.siglip(**eye, logit_scale=10.0, logit_bias=-10.0).mean()
  without = losses.siglip(**eye, logit_scale=10.0, logit_bias=0.0).mean()
  np.testing.assert_allclose(with_bias, 10.0 + np.log(2), rtol=1e-3)
  np.testing.assert_allclose(without, 10.0 + 15 * np.log(2), rtol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_zero_vectors_and_large_scales_are_finite(name):
  arrays = {"image": jnp.zeros((4, 3)), "text": jnp.eye(4, 3)}
  common.assert_finite(run(name, arrays, {**SCORES[name], "logit_scale": 100.0}))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"text": np.ones((7, 5), np.float32)}, "same"),
    ({"image": np.ones(5, np.float32)}, r"\[batch, dim\]"),
    ({"logit_scale": 0.0}, "logit_scale"),
    ({"block_size": 0}, "block_size"),
  ],
)
def test_bad_input(name, change, message):
  with pytest.raises(InputError, match=message):
    getattr(losses, name)(**{**normal(), **SCORES[name], **change})


@pytest.mark.parametrize("name", NAMES)
def test_one_pair_has_no_negatives(name):
  with pytest.raises(InputError, match="at least 2"):
    call(name, normal(rows=1), SCORES[name])


@pytest.mark.parametrize("name", NAMES)
def test_rows_must_divide_over_the_ring(name):
  with pytest.raises(InputError, match="do not divide"):
    call(f"ring_{name}", normal(rows=9), SCORES[name], mesh=data_mesh())
