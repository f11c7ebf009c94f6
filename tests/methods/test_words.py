"""Skip-gram, CBOW and SimCSE: what a row draws, the loss by hand, what is shown."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl import losses, methods, models
from jaxssl.errors import InputError
from jaxssl.methods.simcse import twice
from jaxssl.methods.word_windows import draw_window
from jaxssl.ops import noise_cdf
from tests import word_cases
from tests.word_cases import COUNTS, WINDOW, sequences, word_windows

MAKE = {name: make for name, make, *_ in word_cases.ROWS}
CDF = noise_cdf(np.asarray(COUNTS))


def keys(rows=16, seed=7):
  return jax.random.split(jax.random.key(seed), rows)


@functools.cache
def toy(name):
  """A method of the table, its first parameters, and its compiled forward."""
  method = MAKE[name]()
  batch = word_windows() if name in ("skip_gram", "cbow") else sequences()
  return (
    method,
    *jax.jit(method.init)(jax.random.key(0), batch),
    jax.jit(method.forward),
  )


@functools.cache
def drawn(seed=7):
  """The windows that the rows of the toy batch draw."""
  draw = functools.partial(draw_window, window=WINDOW, negatives=3)
  draw = jax.vmap(draw, in_axes=(0, 0, None))
  return jax.device_get(jax.jit(draw)(keys(seed=seed), word_windows()["input"], CDF))


def test_the_width_of_a_window_is_uniform_and_near_words_are_seen_more():
  words = jnp.ones(11, jnp.int32)
  draw = lambda key: draw_window(key, words, CDF, window=5, negatives=1).present
  shares = np.asarray(jax.jit(jax.vmap(draw))(keys(4000))).mean(0)
  expected = [1 / 5, 2 / 5, 3 / 5, 4 / 5, 1]
  np.testing.assert_allclose(shares, expected + expected[::-1], atol=0.04)


def test_a_window_has_no_padding_no_center_and_no_noise_that_is_it():
  found, words = drawn(), np.asarray(word_windows()["input"])
  np.testing.assert_array_equal(found.center, words[:, WINDOW])
  np.testing.assert_array_equal(found.context, np.delete(words, WINDOW, axis=1))
  assert not found.present[found.context == 0].any() and found.present.any(1).all()
  np.testing.assert_array_equal(found.counted, found.negatives != found.center[:, None])
  assert not found.counted.all() and (found.negatives > 0).all()


def test_the_loss_of_skip_gram_is_the_sum_over_the_pairs_of_a_place():
  _, params, extra, forward = toy("skip_gram")
  outputs, _ = forward(params, extra, word_windows(), keys(), jnp.int32(0))
  found, inputs = drawn(), np.asarray(params["encoder"]["vectors"])
  table = np.asarray(params["output"])
  for i in range(3):
    expected = 0.0
    for word in found.context[i][found.present[i]]:
      expected += np.log1p(np.exp(-inputs[word] @ table[found.center[i]]))
      for noise in found.negatives[i][found.counted[i]]:
        expected += np.log1p(np.exp(inputs[word] @ table[noise]))
    np.testing.assert_allclose(outputs.error[i], expected, rtol=1e-4)
  np.testing.assert_array_equal(outputs.pairs, found.present.sum(1))


def test_the_loss_of_cbow_is_that_of_the_mean_around():
  _, params, extra, forward = toy("cbow")
  outputs, _ = forward(params, extra, word_windows(), keys(), jnp.int32(0))
  found, table = drawn(), params["output"]
  expected = losses.cbow_negative_sampling(
    params["encoder"]["vectors"][found.context],
    jnp.asarray(found.present),
    table[found.center],
    table[found.negatives],
    jnp.asarray(found.counted),
  )
  np.testing.assert_allclose(outputs.error, expected, rtol=1e-5)


def test_the_objective_averages_over_places_and_reports_the_pairs():
  method, params, extra, forward = toy("skip_gram")
  outputs, _ = forward(params, extra, word_windows(), keys(), jnp.int32(0))
  loss, (_, metrics) = method.objective(params, extra, outputs, jnp.int32(0))
  np.testing.assert_allclose(loss, np.mean(outputs.error), rtol=1e-6)
  pairs = np.sum(outputs.pairs)
  np.testing.assert_allclose(
    metrics["pair_loss"], np.sum(outputs.error) / pairs, rtol=1e-6
  )


def test_vectors_start_as_in_word2vec():
  encoder = models.WordVectors(len(COUNTS), 32)
  method = methods.skip_gram(encoder, COUNTS, window=WINDOW)
  params, _ = jax.jit(method.init)(jax.random.key(0), word_windows())
  vectors = np.asarray(params["encoder"]["vectors"])
  assert np.abs(vectors).max() <= 0.5 / 32 < 1.1 * np.abs(vectors).max()
  assert not params["output"].any()


def test_features_are_the_vector_of_a_word_and_the_mean_of_several():
  method, params, extra, _ = toy("cbow")
  vectors = np.asarray(params["encoder"]["vectors"])
  encode = lambda rows, **more: method.encode(params, extra, {"input": rows}, **more)
  rows = jnp.asarray([[3, 0, 0], [1, 4, 0], [0, 0, 0]])
  expected = [vectors[3], (vectors[1] + vectors[4]) / 2, np.zeros(32)]
  np.testing.assert_allclose(encode(rows), expected, rtol=1e-6)
  np.testing.assert_array_equal(encode(jnp.asarray([[3]]))[0], vectors[3])
  patches = encode(rows, patches=True)
  np.testing.assert_array_equal(patches[1], [vectors[1], vectors[4], np.zeros(32)])


def test_skip_gram_shows_the_nearest_words_and_never_padding():
  method, params, extra, _ = toy("skip_gram")
  (shown,) = method.show(params, extra, word_windows(), keys()).values()
  vectors = np.asarray(params["encoder"]["vectors"])
  unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
  center, *near = np.asarray(shown)[0, :, 0]
  cosine = unit @ unit[center]
  cosine[[0, center]] = -2
  np.testing.assert_array_equal(near, np.argsort(-cosine)[: len(near)])


def test_cbow_shows_the_likeliest_middle():
  method, params, extra, _ = toy("cbow")
  (shown,) = method.show(params, extra, word_windows(), keys()).values()
  text, around, guessed = np.asarray(shown)[0]
  np.testing.assert_array_equal(np.delete(text, WINDOW), np.delete(guessed, WINDOW))
  around = around[around > 0]
  mean = np.asarray(params["encoder"]["vectors"])[around].mean(0)
  scores = np.asarray(params["output"]) @ mean
  assert guessed[WINDOW] == 1 + np.argmax(scores[1:]) and text[WINDOW] not in (0,)


def test_simcse_reads_a_sentence_twice_with_other_masks():
  method, params, extra, forward = toy("simcse")
  (first, second), _ = forward(params, extra, sequences(), keys(), jnp.int32(0))
  assert np.abs(np.asarray(first - second)).max(1).min() > 1e-3
  loss, _ = method.objective(params, extra, (first, second), jnp.int32(0))
  unit = lambda x: x / np.linalg.norm(x, axis=1, keepdims=True)
  logits = unit(np.asarray(first)) @ unit(np.asarray(second)).T / 0.5
  expected = np.log(np.exp(logits).sum(1)) - np.diag(logits)
  np.testing.assert_allclose(loss, expected.mean(), rtol=1e-4)


def test_both_views_of_simcse_are_the_sentence():
  row = np.arange(3)
  for view in twice(None, row):
    np.testing.assert_array_equal(view, row)


def test_bad_options_are_refused():
  encoder = models.WordVectors(len(COUNTS), 4)
  for method in (methods.skip_gram, methods.cbow):
    with pytest.raises(InputError, match="counts"):
      method(encoder, COUNTS[:-1])
    with pytest.raises(InputError, match="1 or more"):
      method(encoder, COUNTS, negatives=0)
    made = method(encoder, COUNTS, window=4)
    params, extra = made.init(jax.random.key(0), word_windows())
    with pytest.raises(InputError, match="window of 4"):
      made.forward(params, extra, word_windows(), keys(), jnp.int32(0))


def test_what_are_no_words_is_refused():
  with pytest.raises(InputError, match="integers"):
    models.WordVectors(5, 4).init(jax.random.key(0), jnp.zeros((2, 3)), train=True)
