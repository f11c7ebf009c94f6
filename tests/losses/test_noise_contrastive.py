"""Instance discrimination: loops, values, blocks, hard points, errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl import losses
from jaxssl.errors import InputError
from tests.losses import common

NCE = {"normalizer": 30.0, "examples": 20}
INDEX = np.array([6, 0, 3], np.int32)


def similarities(rows=3, negatives=5):
  own, other = common.normal((rows,), (rows, negatives))
  return np.exp(own), np.exp(other)


def run_npid(positive, negatives, **changes):
  def total(positive, negatives):
    rows = losses.npid(positive, negatives, **{**NCE, **changes})
    return jnp.sum(rows), rows

  both = jax.jit(jax.value_and_grad(total, (0, 1), has_aux=True))
  (_, rows), gradients = both(positive, negatives)
  return rows, gradients


def run_softmax(z, bank, index=INDEX, temperature=0.1, block_size=None):
  def total(z, bank):
    options = {"temperature": temperature, "block_size": block_size}
    rows = losses.instance_softmax(z, bank, index, **options)
    return jnp.sum(rows * jnp.linspace(0.5, 1.5, rows.shape[0])), rows

  both = jax.jit(jax.value_and_grad(total, (0, 1), has_aux=True))
  (_, rows), gradients = both(z, bank)
  return rows, gradients


# ---- noise-contrastive estimation


def loop_npid(positive, negatives):
  rows = []
  for own, others in zip(positive, negatives, strict=True):
    noise = len(others) / 20
    total = -np.log(own / 30 / (own / 30 + noise + 1e-7))
    for other in others:
      total -= np.log(noise / (other / 30 + noise + 1e-7))
    rows.append(total)
  return np.array(rows)


def test_npid_is_the_value_and_gradient_of_a_loop():
  inputs = similarities()
  rows, gradients = run_npid(*inputs)
  exact = [np.float64(x) for x in inputs]
  np.testing.assert_allclose(rows, loop_npid(*exact), rtol=1e-5)
  expected = (
    common.numeric_gradient(lambda x: loop_npid(x, exact[1]).sum(), exact[0]),
    common.numeric_gradient(lambda x: loop_npid(exact[0], x).sum(), exact[1]),
  )
  common.assert_all_close(gradients, expected, rtol=1e-4, atol=1e-6)


def test_npid_of_a_uniform_model_is_that_of_guessing():
  """P = 1 / n, as the noise: a sample is data with probability 1 / (1 + m)."""
  rows, _ = run_npid(np.ones(2, np.float32), np.ones((2, 7), np.float32), normalizer=20)
  np.testing.assert_allclose(rows, np.log(8) + 7 * np.log(8 / 7), rtol=1e-5)


def test_npid_scale_is_in_the_normalizer_and_order_does_not_matter():
  positive, negatives = similarities()
  rows, _ = run_npid(positive, negatives)
  scaled, _ = run_npid(8 * positive[::-1], 8 * negatives[::-1, ::-1], normalizer=240.0)
  np.testing.assert_allclose(scaled, rows[::-1], rtol=1e-6)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("value", [0.0, 1e-30, 1.0, 1e30, np.inf])
def test_npid_of_vanished_and_overflown_similarities_is_finite(value, dtype):
  inputs = [jnp.full(x.shape, value, dtype) for x in similarities()]
  rows, gradients = run_npid(*inputs)
  assert rows.dtype == jnp.float32
  common.assert_finite([rows, gradients])


def test_npid_normalizer_may_be_traced():
  frozen = jax.jit(lambda z: losses.npid(*similarities(), normalizer=z, examples=20))
  np.testing.assert_allclose(frozen(30.0), run_npid(*similarities())[0], rtol=1e-5)


@pytest.mark.parametrize(
  ("shapes", "changes", "message"),
  [
    ([(3, 1), (3, 5)], {}, r"`positive` as \[batch\]"),
    ([(3,), (5,)], {}, r"`negatives` as \[batch, m\]"),
    ([(3,), (2, 5)], {}, "same number"),
    ([(0,), (0, 5)], {}, "at least 1"),
    ([(3,), (3, 0)], {}, "empty"),
    ([(3,), (3, 5)], {"normalizer": 0.0}, "normalizer"),
    ([(3,), (3, 5)], {"examples": 0}, "examples"),
  ],
)
def test_npid_errors_say_what_to_pass(shapes, changes, message):
  with pytest.raises(InputError, match=message):
    losses.npid(*map(jnp.ones, shapes), **{**NCE, **changes})


# ---- the softmax over all examples


def vectors(rows=3, examples=7, dim=5):
  return common.normal((rows, dim), (examples, dim))


def loop_softmax(z, bank):
  pairs = zip(common.unit(z), INDEX, strict=True)
  return np.array([-np.log(common.softmax(bank @ v / 0.1)[i]) for v, i in pairs])


@pytest.mark.parametrize("block_size", [None, 3, 7, 100])
def test_softmax_is_the_value_and_gradient_of_a_loop(block_size):
  z, bank = vectors()
  rows, (gradient, through_bank) = run_softmax(z, bank, block_size=block_size)
  loop = lambda z: loop_softmax(z, np.float64(bank))
  np.testing.assert_allclose(rows, loop(np.float64(z)), rtol=1e-5)
  weights = np.linspace(0.5, 1.5, 3)
  numeric = common.numeric_gradient(lambda z: loop(z) @ weights, np.float64(z))
  np.testing.assert_allclose(gradient, numeric, rtol=1e-4, atol=1e-4)
  np.testing.assert_array_equal(through_bank, np.zeros_like(bank))


def test_softmax_of_a_random_bank_is_near_the_log_of_the_examples():
  z, _ = common.normal((64, 128), (1, 1))
  bank = np.random.default_rng(1).uniform(-1, 1, (5000, 128)).astype(np.float32)
  bank /= np.sqrt(128 / 3)  # rows of length 1 on average, as the official bank
  index = np.arange(64, dtype=np.int32)
  rows, _ = run_softmax(z, bank, index, temperature=0.5)
  np.testing.assert_allclose(np.mean(rows), np.log(5000), rtol=0.02)
  rows, _ = run_softmax(z, 0 * bank, index)
  np.testing.assert_allclose(rows, np.log(5000), rtol=1e-5)


def test_softmax_ignores_the_length_of_rows_and_follows_the_bank():
  z, bank = vectors()
  rows, _ = run_softmax(z, bank)
  order = np.roll(np.arange(7), 2)
  moved, _ = run_softmax(7 * z, bank[order], np.argsort(order)[INDEX])
  np.testing.assert_allclose(moved, rows, rtol=1e-5)


@pytest.mark.parametrize("block_size", [None, 3])
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e3])  # logits of 1e4
def test_softmax_at_hard_points_is_finite_and_in_single(scale, block_size):
  z, bank = common.half(vectors())
  inputs = z, scale * bank
  rows, gradients = run_softmax(*inputs, block_size=block_size)
  common.assert_finite([rows, gradients])
  expected, _ = run_softmax(*common.widened(inputs), block_size=block_size)
  np.testing.assert_allclose(rows, expected, rtol=1e-6)


@pytest.mark.parametrize(
  ("z", "bank", "index", "options", "message"),
  [
    ((5,), (7, 5), INDEX, {}, r"\[batch, dim\]"),
    ((3, 4), (7, 5), INDEX, {}, "same dim"),
    ((3, 5), (0, 5), INDEX, {}, "at least 1"),
    ((3, 5), (7, 5), INDEX[:2], {}, "one integer per row"),
    ((3, 5), (7, 5), np.zeros(3), {}, "one integer per row"),
    ((3, 5), (7, 5), INDEX, {"temperature": 0}, "temperature"),
    ((3, 5), (7, 5), INDEX, {"block_size": 0}, "block_size"),
  ],
)
def test_softmax_errors_say_what_to_pass(z, bank, index, options, message):
  options = {"temperature": 0.1, **options}
  with pytest.raises(InputError, match=message):
    losses.instance_softmax(jnp.ones(z), jnp.ones(bank), index, **options)
