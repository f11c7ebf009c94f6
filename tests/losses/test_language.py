"""Losses of language models against transformers' own, and closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl import losses
from jaxssl.errors import InputError
from tests import golden
from tests.losses.common import assert_finite, assert_matches, normal


def mean(error, count):
  """The loss of a batch."""
  return error.sum() / count.sum()


def ids(array):
  return jnp.asarray(np.asarray(array, np.int32))


@pytest.mark.parametrize("case", golden.load("masked_language_modelling"))
def test_masked_language_modelling_is_transformers(case):
  logits, labels = jnp.asarray(case.inputs["logits"]), ids(case.inputs["labels"])
  loss = lambda x: mean(*losses.masked_language_modelling(x, labels))
  value, grad = jax.jit(jax.value_and_grad(loss))(logits)
  assert_matches({"expected": value, "grad_logits": grad}, case)


@pytest.mark.parametrize("case", golden.load("causal_language_modelling"))
def test_causal_language_modelling_is_transformers(case):
  logits, tokens = jnp.asarray(case.inputs["logits"]), ids(case.inputs["tokens"])
  loss = lambda x: mean(*losses.causal_language_modelling(x, tokens))
  value, grad = jax.jit(jax.value_and_grad(loss))(logits)
  assert_matches({"expected": value, "grad_logits": grad}, case)


@pytest.mark.parametrize("case", golden.load("next_sentence"))
def test_next_sentence_is_transformers(case):
  logits, labels = jnp.asarray(case.inputs["logits"]), ids(case.inputs["labels"])
  loss = lambda x: losses.next_sentence(x, labels).mean()
  value, grad = jax.jit(jax.value_and_grad(loss))(logits)
  assert_matches({"expected_mean": value, "grad_logits": grad}, case)


@pytest.mark.parametrize("case", golden.load("bert_pretraining"))
def test_berts_loss_is_the_sum_of_both(case):
  given = case.inputs
  tokens, pairs = ids(given["mlm_labels"]), ids(given["nsp_labels"])

  def loss(mlm, nsp):
    first = mean(*losses.masked_language_modelling(mlm, tokens))
    return first + losses.next_sentence(nsp, pairs).mean()

  logits = [jnp.asarray(given[n]) for n in ("mlm_logits", "nsp_logits")]
  value, grads = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))(*logits)
  names = ("grad_mlm_logits", "grad_nsp_logits")
  got = {"expected": value, **dict(zip(names, grads, strict=True))}
  assert_matches(got, case)


@pytest.mark.parametrize(
  ("vocabulary", "loss"), [(30522, 10.326), (50257, 10.825), (65, 4.174)]
)
def test_equal_scores_cost_the_logarithm_of_the_vocabulary(vocabulary, loss):
  tokens = jnp.zeros((1, 2), jnp.int32)
  logits = jnp.zeros((1, 2, vocabulary))
  causal = mean(*losses.causal_language_modelling(logits, tokens))
  masked = mean(*losses.masked_language_modelling(logits, tokens))
  np.testing.assert_allclose([causal, masked], loss, atol=1e-3)


def test_padding_is_not_predicted():
  (logits,) = normal((2, 5, 7))
  tokens = ids([[1, 2, 3, 0, 0], [4, 5, 6, 1, 2]])
  error, count = losses.causal_language_modelling(
    jnp.asarray(logits), tokens, padding=0
  )
  np.testing.assert_array_equal(count, [2, 4])
  alone = losses.causal_language_modelling(jnp.asarray(logits[:1, :3]), tokens[:1, :3])
  np.testing.assert_allclose(error[:1], alone[0], rtol=1e-6)


def test_rows_without_hidden_tokens_cost_nothing():
  (logits,) = normal((2, 3, 7))
  labels = jnp.full((2, 3), losses.IGNORED)
  loss = lambda x: losses.masked_language_modelling(x, labels)[0].sum()
  value, grad = jax.value_and_grad(loss)(jnp.asarray(logits))
  assert value == 0
  assert_finite(grad)
  np.testing.assert_array_equal(grad, 0)


def test_half_precision_is_summed_in_32_bits():
  (logits,) = normal((2, 3, 7))
  labels = ids([[1, 2, 3], [4, 5, -100]])
  half = jnp.asarray(logits, jnp.bfloat16)
  error, _ = losses.masked_language_modelling(half, labels)
  whole, _ = losses.masked_language_modelling(half.astype(jnp.float32), labels)
  assert error.dtype == jnp.float32
  np.testing.assert_array_equal(error, whole)


def test_labels_that_do_not_fit_are_refused():
  logits = jnp.zeros((2, 3, 7))
  for labels in (jnp.zeros((2, 4), jnp.int32), jnp.zeros((2, 3))):
    with pytest.raises(InputError, match="labels"):
      losses.masked_language_modelling(logits, labels)
  with pytest.raises(InputError, match="next token"):
    losses.causal_language_modelling(logits[:, :1], jnp.zeros((2, 1), jnp.int32))
  with pytest.raises(InputError, match="2 axes"):
    losses.next_sentence(logits, jnp.zeros((2, 3), jnp.int32))
