"""Losses on waveforms against transformers' numbers and slow loops."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl import losses
from jaxssl.errors import InputError
from tests import golden
from tests.losses.common import assert_finite, assert_matches, normal, unit

CONTRASTIVE = golden.load("wav2vec2_contrastive")
DIVERSITY = golden.load("wav2vec2_diversity")


@pytest.mark.parametrize("case", CONTRASTIVE, ids=range(len(CONTRASTIVE)))
def test_wav2vec2_contrastive_is_transformers(case):
  x, mask = case.inputs, case.inputs["mask"]
  first = np.arange(len(mask))[:, None, None] * mask.shape[1]
  places = np.where(mask[..., None], x["negative_indices"] - first, 0).astype(np.int32)

  def mean(predicted, quantised):
    rows = losses.wav2vec2_contrastive(predicted, quantised, places, **case.options)
    frames = jnp.where(mask, rows, 0.0)
    return frames.sum() / float(mask.sum()), frames

  both = jax.jit(jax.value_and_grad(mean, argnums=(0, 1), has_aux=True))
  (value, frames), grads = both(x["predicted"], x["quantised"])
  got = {
    "expected_mean_over_masked": value,
    "grad_predicted": grads[0],
    "grad_quantised": grads[1],
    "expected_frames": frames,
    "expected_sum": np.sum(frames),
  }
  assert_matches(got, case)


@pytest.mark.parametrize("case", DIVERSITY, ids=range(len(DIVERSITY)))
def test_wav2vec2_diversity_is_transformers(case):
  mask = case.inputs["mask"]

  def loss(logits):
    usage = losses.code_usage(logits, mask)
    return losses.wav2vec2_diversity(usage), losses.code_perplexity(usage)

  both = jax.jit(jax.value_and_grad(loss, has_aux=True))
  (value, perplexity), grad = both(case.inputs["logits"])
  got = {"expected": value, "grad_logits": grad, "perplexity": perplexity}
  assert_matches(got, case)


def test_a_negative_with_the_code_of_the_positive_does_not_count():
  predicted, quantised = normal((1, 4, 3), (1, 4, 3))
  quantised[0, 1] = quantised[0, 0]
  places = np.array([[[1, 2], [0, 0], [3, 3], [0, 1]]], np.int32)
  score = jax.jit(partial(losses.wav2vec2_logits, temperature=0.1))
  scores = score(predicted, quantised, places)
  assert np.isneginf(scores[0, 0, 1]) and np.isfinite(scores[0, 0, 2])

  def total(predicted, quantised):
    contrast = partial(losses.wav2vec2_contrastive, temperature=0.1)
    rows = contrast(predicted, quantised, places)
    return rows.sum(), rows

  grad = jax.jit(jax.grad(total, argnums=(0, 1), has_aux=True))
  grads, rows = grad(predicted, quantised)
  assert rows[0, 1] == 0.0  # no negative is left
  assert_finite(grads)


def test_diversity_is_0_for_equal_use_and_greatest_for_one_code():
  equal = jnp.ones((2, 2, 5))
  one = jax.nn.one_hot(jnp.zeros((2, 2), jnp.int32), 5)
  np.testing.assert_allclose(losses.wav2vec2_diversity(equal), 0.0, atol=1e-5)
  np.testing.assert_allclose(losses.wav2vec2_diversity(one), 0.8, atol=1e-5)
  np.testing.assert_allclose(losses.code_perplexity(equal), 10.0, rtol=1e-5)


def test_cpc_audio_is_a_loop():
  prediction, positive, negatives = normal((2, 3, 2, 4), (2, 3, 2, 4), (2, 3, 5, 4))
  got = jax.jit(losses.cpc_audio)(prediction, positive, negatives)
  for b, t, k in np.ndindex(2, 3, 2):
    others = negatives[b, t] @ prediction[b, t, k] / 4
    scores = np.array([prediction[b, t, k] @ positive[b, t, k] / 4, *others])
    expected = np.log(np.exp(scores).sum()) - scores[0]
    np.testing.assert_allclose(got[b, t, k], expected, rtol=1e-5)


def test_hubert_is_a_loop():
  prediction, codes = normal((2, 3, 4), (5, 4))
  labels = np.array([[0, 1, 4], [2, 2, 3]], np.int32)
  got = jax.jit(partial(losses.hubert, temperature=0.1))(prediction, codes, labels)
  for b, t in np.ndindex(2, 3):
    scores = unit(codes) @ unit(prediction[b, t]) / 0.1
    expected = np.log(np.exp(scores).sum()) - scores[labels[b, t]]
    np.testing.assert_allclose(got[b, t], expected, rtol=1e-4)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_hard_points_stay_finite(dtype):
  zeros, places = jnp.zeros((1, 3, 4), dtype), jnp.zeros((1, 3, 2), jnp.int32)

  def total(x):
    wav = losses.wav2vec2_contrastive(x, x, places, temperature=1e-3).sum()
    hub = losses.hubert(x, x[0], places[..., 0], temperature=1e-3).sum()
    cpc = losses.cpc_audio(1e4 * x[:, :, None], x[:, :, None], x[:, :, None]).sum()
    return wav + hub + cpc

  for x in (zeros, zeros + jnp.asarray(100.0, dtype)):
    assert_finite(jax.jit(jax.value_and_grad(total))(x))


def test_wrong_shapes_and_temperatures_are_refused():
  x, places = jnp.ones((1, 3, 4)), jnp.zeros((1, 3, 2), jnp.int32)
  with pytest.raises(InputError, match="predicted"):
    losses.wav2vec2_contrastive(x[0], x[0], places, temperature=0.1)
  with pytest.raises(InputError, match="temperature"):
    losses.wav2vec2_contrastive(x, x, places, temperature=0.0)
  with pytest.raises(InputError, match="codes"):
    losses.hubert(x, x, places[..., 0], temperature=0.1)
  with pytest.raises(InputError, match="usage"):
    losses.wav2vec2_diversity(x[0])
