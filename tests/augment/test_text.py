"""Masks of tokens: how many, which, and what takes their place."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl import augment
from jaxssl.data.tokenizers import END, FIRST, MASK, PAD, SPECIAL
from jaxssl.errors import InputError
from jaxssl.losses import IGNORED

VOCABULARY, LENGTH, ROWS = 50, 40, 400


def padded(n, length=LENGTH):
  """[CLS], words, [SEP] and padding: n tokens that are no padding."""
  words = 5 + np.arange(length) % (VOCABULARY - 5)
  ids = np.where(np.arange(length) < n, words, PAD)
  ids[0], ids[n - 1] = FIRST, END
  return jnp.asarray(ids, jnp.int32)


def draw(mask, ids, rows=ROWS):
  keys = jax.random.split(jax.random.key(0), rows)
  return jax.device_get(jax.jit(jax.vmap(mask, in_axes=(0, None)))(keys, ids))


def sizes(made):
  return (made.labels != IGNORED).sum(axis=1)


@pytest.mark.parametrize("n", [2, 3, 4, 10, 17, 30, 40])
def test_bert_hides_its_rounded_share(n):
  made = draw(augment.bert_mask(VOCABULARY), padded(n), rows=8)
  expected = min(max(1, round(0.15 * n)), n - 2)
  np.testing.assert_array_equal(sizes(made), expected)


def test_roberta_hides_its_share_on_average():
  made = draw(augment.roberta_mask(VOCABULARY), padded(30))
  found = sizes(made)
  assert set(found) == {4, 5}
  np.testing.assert_allclose(found.mean(), 4.5, atol=0.1)


@pytest.mark.parametrize("make", [augment.bert_mask, augment.roberta_mask])
def test_special_tokens_are_never_hidden(make):
  ids = padded(20)
  made = draw(make(VOCABULARY), ids)
  asked = made.labels != IGNORED
  np.testing.assert_array_equal(np.asarray(ids)[made.places][asked], made.labels[asked])
  assert not np.isin(made.labels[asked], (PAD, FIRST, END)).any()
  free = np.isin(np.asarray(ids), (PAD, FIRST, END))
  assert (made.ids[:, free] == np.asarray(ids)[free]).all()


@pytest.mark.parametrize("make", [augment.bert_mask, augment.roberta_mask])
def test_what_is_not_asked_for_is_as_it_was(make):
  ids = padded(40)
  made = draw(make(VOCABULARY), ids)
  for row, places, labels in zip(*made, strict=True):
    chosen = places[labels != IGNORED]
    others = np.setdiff1d(np.arange(LENGTH), chosen)
    np.testing.assert_array_equal(row[others], np.asarray(ids)[others])
    assert len(set(places)) == len(places)


@pytest.mark.parametrize("make", [augment.bert_mask, augment.roberta_mask])
def test_eighty_ten_ten(make):
  made = draw(make(VOCABULARY), padded(40), rows=2000)
  asked = made.labels != IGNORED
  new = np.take_along_axis(made.ids, made.places, axis=1)[asked]
  labels = made.labels[asked]
  masked, same = np.mean(new == MASK), np.mean(new == labels)
  np.testing.assert_allclose(masked, 0.8, atol=0.015)
  np.testing.assert_allclose(same, 0.1, atol=0.015)


def test_random_words_of_roberta_are_never_special():
  masks = (augment.bert_mask(VOCABULARY), augment.roberta_mask(VOCABULARY))
  special = []
  for mask in masks:
    made = draw(mask, padded(40), rows=2000)
    new = np.take_along_axis(made.ids, made.places, axis=1)
    special.append(((new < len(SPECIAL)) & (new != MASK)).any())
  assert special == [True, False]


def test_each_place_is_as_likely():
  made = draw(augment.bert_mask(VOCABULARY), padded(40), rows=2000)
  counts = np.bincount(made.places[made.labels != IGNORED], minlength=LENGTH)
  share = counts[1:-1] / counts.sum()
  np.testing.assert_allclose(share, 1 / 38, atol=0.008)


@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_a_ratio_out_of_range_is_refused(ratio):
  with pytest.raises(InputError, match="ratio"):
    augment.bert_mask(VOCABULARY, ratio=ratio)


def test_a_vocabulary_without_words_is_refused():
  with pytest.raises(InputError, match="special"):
    augment.roberta_mask(5)
