"""The losses of word vectors: reference values, loops, what is skipped, errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl import losses
from jaxssl.errors import InputError
from tests.golden import load
from tests.losses.common import assert_matches, half, normal


@pytest.mark.parametrize("case", load("skip_gram_negative_sampling"))
def test_skip_gram_is_the_reference(case):
  names = ("center", "context", "negatives")
  arrays = [case.inputs[name] for name in names]
  rows = losses.skip_gram_negative_sampling(*arrays)
  mean = lambda *x: losses.skip_gram_negative_sampling(*x).mean()
  grads = jax.grad(mean, argnums=(0, 1, 2))(*arrays)
  found = {"expected_rows": rows, "expected_mean": rows.mean()}
  found |= {f"grad_{name}": g for name, g in zip(names, grads, strict=True)}
  assert_matches(found, case)


def test_vectors_of_zero_know_nothing():
  rows = losses.skip_gram_negative_sampling(
    *map(jnp.zeros, [(2, 4), (2, 4), (2, 3, 4)])
  )
  np.testing.assert_allclose(rows, 4 * np.log(2), rtol=1e-6)


def test_skipped_noise_is_as_if_it_were_not_there():
  center, context, negatives = normal((3, 5), (3, 5), (3, 4, 5))
  counted = np.ones((3, 4), bool)
  counted[:, 2] = False
  some = losses.skip_gram_negative_sampling(center, context, negatives, counted)
  fewer = np.delete(negatives, 2, axis=1)
  expected = losses.skip_gram_negative_sampling(center, context, fewer)
  np.testing.assert_allclose(some, expected, rtol=1e-6)


def test_half_precision_is_summed_in_float32():
  arrays = normal((3, 5), (3, 5), (3, 4, 5))
  rows = losses.skip_gram_negative_sampling(*half(arrays))
  assert rows.dtype == jnp.float32
  expected = losses.skip_gram_negative_sampling(*arrays)
  np.testing.assert_allclose(rows, expected, rtol=0.05)


def toy_cbow():
  contexts, center, negatives = normal((3, 4, 5), (3, 5), (3, 2, 5), seed=1)
  present = np.array([[1, 1, 1, 1], [1, 0, 0, 1], [0, 0, 0, 0]], bool)
  return contexts, present, center, negatives


def test_cbow_is_skip_gram_of_the_mean_of_the_words_that_are_there():
  contexts, present, center, negatives = toy_cbow()
  rows = losses.cbow_negative_sampling(contexts, present, center, negatives)
  for i in (0, 1):
    mean = contexts[i][present[i]].mean(0)
    expected = losses.skip_gram_negative_sampling(
      mean[None], center[i : i + 1], negatives[i : i + 1]
    )
    np.testing.assert_allclose(rows[i], expected[0], rtol=1e-5)
  assert rows[2] == 0


def test_each_word_around_gets_the_whole_gradient_of_the_mean():
  contexts, present, center, negatives = toy_cbow()
  total = lambda x: losses.cbow_negative_sampling(x, present, center, negatives).sum()
  got = np.asarray(jax.grad(total)(contexts))
  for i in (0, 1):
    mean = jnp.asarray(contexts[i][present[i]].mean(0))
    of_mean = lambda m, i=i: losses.skip_gram_negative_sampling(
      m[None], center[i : i + 1], negatives[i : i + 1]
    ).sum()
    expected = np.where(present[i][:, None], jax.grad(of_mean)(mean)[None], 0.0)
    np.testing.assert_allclose(got[i], expected, rtol=1e-4, atol=1e-6)
  np.testing.assert_array_equal(got[2], 0)


def test_bad_input_is_refused():
  a, b, n = normal((3, 5), (3, 5), (3, 4, 5))
  with pytest.raises(InputError, match="negatives"):
    losses.skip_gram_negative_sampling(a, b, n[:2])
  with pytest.raises(InputError, match="counted"):
    losses.skip_gram_negative_sampling(a, b, n, np.ones((3, 4)))
  with pytest.raises(InputError, match="same"):
    losses.skip_gram_negative_sampling(a, b[:2], n)
  with pytest.raises(InputError, match="empty"):
    losses.skip_gram_negative_sampling(a[:0], b[:0], n[:0])
  with pytest.raises(InputError, match="contexts"):
    losses.cbow_negative_sampling(a, np.ones((3, 5), bool), a, n)
  with pytest.raises(InputError, match="present"):
    losses.cbow_negative_sampling(n, np.ones((3, 4)), a, n)
