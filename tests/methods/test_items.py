"""BERT4Rec and SASRec: what is masked, who sees whom, losses by hand, next items."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl import methods, models
from jaxssl.errors import InputError
from jaxssl.methods.bert4rec import masked_items
from jaxssl.ops import draw_absent
from tests.word_cases import ITEMS, make_bert4rec, make_sasrec, sequences, transformer

BERT = models.ItemModel(transformer(ITEMS + 2, pre_norm=False), models.TokenHead())
CAUSAL = models.ItemModel(transformer(ITEMS + 1, causal=True, pool=models.last_pool))


def keys(rows=16, seed=7):
  return jax.random.split(jax.random.key(seed), rows)


@functools.cache
def toy(make):
  method = make()
  params, extra = jax.jit(method.init)(jax.random.key(0), sequences())
  outputs, _ = jax.jit(method.forward)(params, extra, sequences(), keys(), jnp.int32(0))
  return method, params, extra, jax.device_get(outputs)


@pytest.mark.parametrize(("share", "expected"), [(0.2, 1), (0.5, 3), (0.05, 1)])
def test_a_share_of_the_items_is_masked_and_no_padding(share, expected):
  row = jnp.asarray([4, 5, 6, 7, 8, 9, 0, 0], jnp.int32)
  draw = functools.partial(masked_items, share=share, last=0.0)
  found = np.asarray(jax.jit(jax.vmap(draw, in_axes=(0, None)))(keys(300), row))
  assert (found.sum(1) == expected).all() and not found[:, 6:].any()
  np.testing.assert_allclose(found[:, :6].mean(0), expected / 6, atol=0.11)


def test_the_last_item_alone_is_masked_as_often_as_asked():
  row = jnp.asarray([4, 5, 6, 7, 0, 0], jnp.int32)
  draw = functools.partial(masked_items, share=0.6, last=0.3)
  found = np.asarray(jax.jit(jax.vmap(draw, in_axes=(0, None)))(keys(1000), row))
  last = (found == [False, False, False, True, False, False]).all(1)
  assert last.mean() == pytest.approx(0.3, abs=0.05)
  assert (found[~last].sum(1) == 2).all()


def test_the_loss_of_bert4rec_is_the_cross_entropy_of_what_is_masked():
  method, params, extra, outputs = toy(make_bert4rec)
  split = jax.vmap(jax.random.split)(keys())
  rows = np.asarray(sequences()["input"])
  draw = functools.partial(masked_items, share=0.4, last=1 / 11)
  hidden = np.asarray(jax.vmap(draw)(split[:, 0], rows))
  seen = np.where(hidden, ITEMS + 1, rows)
  scores = np.asarray(BERT.apply({"params": params}, seen, train=False), np.float64)
  for i in range(3):
    expected = 0.0
    for place in np.flatnonzero(hidden[i]):
      own = scores[i, place, 1 : ITEMS + 1]
      expected += np.log(np.exp(own).sum()) - own[rows[i, place] - 1]
    np.testing.assert_allclose(outputs.error[i], expected, rtol=1e-4)
  np.testing.assert_array_equal(outputs.count, hidden.sum(1))
  loss, _ = method.objective(params, extra, outputs, jnp.int32(0))
  np.testing.assert_allclose(loss, outputs.error.sum() / outputs.count.sum(), rtol=1e-6)


def test_the_loss_of_sasrec_is_by_hand():
  _, params, _, outputs = toy(make_sasrec)
  rows = np.asarray(sequences()["input"])
  split = jax.vmap(jax.random.split)(keys())
  scores = np.asarray(CAUSAL.apply({"params": params}, rows, train=False), np.float64)
  for i in range(3):
    other = draw_absent(split[i, 0], rows[i], (rows.shape[1] - 1,), items=ITEMS)
    assert not set(np.asarray(other).tolist()) & set(rows[i].tolist())
    expected = 0.0
    for place in range(np.sum(rows[i] > 0) - 1):
      expected += np.log1p(np.exp(-scores[i, place, rows[i, place + 1]]))
      expected += np.log1p(np.exp(scores[i, place, other[place]]))
    np.testing.assert_allclose(outputs.error[i], expected, rtol=1e-4)
  np.testing.assert_array_equal(outputs.count, (rows[:, 1:] > 0).sum(1))


def test_bert4rec_asks_for_the_next_item_by_a_mask_at_the_end():
  _, params, _, _ = toy(make_bert4rec)
  histories = np.array([[3, 4, 5, 0, 0, 0, 0, 0], np.arange(1, 9)], np.int32)
  got = methods.bert4rec_scores(BERT, params, histories, items=ITEMS)
  mask = ITEMS + 1
  asked = np.array([[3, 4, 5, mask, 0, 0, 0, 0], [*range(2, 9), mask]])
  scores = BERT.apply({"params": params}, asked, train=False)
  expected = [scores[0, 3, 1 : ITEMS + 1], scores[1, 7, 1 : ITEMS + 1]]
  np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)
  assert got.shape == (2, ITEMS)


def test_sasrec_scores_what_follows_the_last_item_and_sees_nothing_later():
  _, params, _, _ = toy(make_sasrec)
  short = np.array([[3, 4, 5, 0, 0, 0, 0, 0]], np.int32)
  longer = np.array([[3, 4, 5, 6, 7, 0, 0, 0]], np.int32)
  got = methods.sasrec_scores(CAUSAL, params, short, items=ITEMS)
  scores = CAUSAL.apply({"params": params}, longer, train=False)
  np.testing.assert_allclose(got[0], scores[0, 2, 1 : ITEMS + 1], rtol=1e-5, atol=1e-6)


def test_a_few_items_score_as_among_all():
  _, params, _, _ = toy(make_sasrec)
  rows = sequences()["input"]
  pairs = jnp.stack([rows, rows[:, ::-1]], axis=2)
  few = CAUSAL.apply({"params": params}, rows, pairs, train=False, method="compare")
  scores = CAUSAL.apply({"params": params}, rows, train=False)
  expected = np.take_along_axis(np.asarray(scores), np.asarray(pairs), axis=2)
  np.testing.assert_allclose(few, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("make", "columns"), [(make_bert4rec, 3), (make_sasrec, 2)])
def test_what_is_shown_are_items(make, columns):
  method, params, extra, _ = toy(make)
  (shown,) = method.show(params, extra, sequences(), keys()).values()
  rows = np.asarray(sequences()["input"])
  assert shown.shape == (len(rows), columns, rows.shape[1])
  np.testing.assert_array_equal(shown[:, 0], rows)
  guessed = np.asarray(shown[:, -1])
  assert ((guessed > 0) == (rows > 0)).all() and guessed.max() <= ITEMS
  if columns == 3:
    masked = np.asarray(shown[:, 1]) == ITEMS + 1
    assert masked.any() and (guessed == rows)[~masked].all()


def test_bad_options_are_refused():
  with pytest.raises(InputError, match="share"):
    methods.bert4rec(BERT, items=ITEMS, share=1.0)
  with pytest.raises(InputError, match="last"):
    methods.bert4rec(BERT, items=ITEMS, last=2.0)
  with pytest.raises(InputError, match="ids"):
    methods.bert4rec(BERT, items=ITEMS + 1)
  with pytest.raises(InputError, match="ids"):
    methods.sasrec(BERT, items=ITEMS)
  with pytest.raises(InputError, match="2 or more"):
    methods.sasrec(models.ItemModel(transformer(2, causal=True)), items=1)
