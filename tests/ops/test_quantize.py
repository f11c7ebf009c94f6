"""Hard draws with soft gradients, the falling temperature, other places."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl import ops
from jaxssl.errors import InputError

LOGITS = jnp.log(jnp.array([[0.6, 0.3, 0.1]]))


def test_draws_are_one_hot_with_the_shares_of_the_softmax():
  keys = jax.random.split(jax.random.key(0), 4000)
  logits = jnp.tile(LOGITS, (4000, 1))
  drawn = ops.gumbel_one_hot(keys, logits, temperature=0.5)
  assert set(np.unique(drawn)) == {0.0, 1.0}
  np.testing.assert_allclose(drawn.mean(axis=0), [0.6, 0.3, 0.1], atol=0.03)
  np.testing.assert_array_equal(drawn.sum(axis=1), 1.0)


def test_without_keys_it_is_the_likeliest_with_the_gradient_of_the_softmax():
  weights = jnp.array([[1.0, 2.0, 4.0]])
  hard = lambda x: jnp.sum(weights * ops.gumbel_one_hot(None, x, temperature=2.0))
  soft = lambda x: jnp.sum(weights * jax.nn.softmax(x / 2.0))
  np.testing.assert_allclose(hard(LOGITS), 1.0, rtol=1e-6)
  np.testing.assert_allclose(jax.grad(hard)(LOGITS), jax.grad(soft)(LOGITS), rtol=1e-5)


def test_a_row_is_drawn_from_its_key_alone():
  keys = jax.random.split(jax.random.key(1), 8)
  logits = jax.random.normal(jax.random.key(2), (8, 3, 2, 5))
  whole = ops.gumbel_one_hot(keys, logits, temperature=1.0)
  part = ops.gumbel_one_hot(keys[5:], logits[5:], temperature=1.0)
  np.testing.assert_array_equal(whole[5:], part)


def test_temperature_falls_to_its_end():
  falls = ops.falling_temperature(2.0, 0.5, decay=0.999995)
  got = [float(falls(jnp.int32(s))) for s in (0, 100_000, 400_000)]
  expected = [2.0, 2.0 * np.exp(100_000 * np.log(0.999995)), 0.5]
  np.testing.assert_allclose(got, expected, rtol=5e-3)
  with pytest.raises(InputError, match="decay"):
    ops.falling_temperature(2.0, 0.5, decay=1.5)


def test_other_places_are_never_their_own_and_alike_often():
  places = np.asarray(ops.other_places(jax.random.key(0), places=5, count=4000))
  counts = np.stack([np.bincount(row, minlength=5) for row in places]) / 4000
  np.testing.assert_allclose(counts, (1 - np.eye(5)) / 4, atol=0.03)
  with pytest.raises(InputError, match="longer clips"):
    ops.other_places(jax.random.key(0), places=1, count=3)
