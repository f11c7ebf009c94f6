"""Span masks: as many frames for each key, spans, shares."""

import jax
import numpy as np
import pytest

from jaxssl import augment
from jaxssl.errors import InputError

OPTIONS = {"frames": 50, "span": 10, "start": 0.065}


def draw(rows=500, **options):
  keys = jax.random.split(jax.random.key(0), rows)
  return jax.vmap(lambda key: augment.span_mask(key, **{**OPTIONS, **options}))(keys)


def test_every_example_has_as_many_masked_frames():
  spans = draw()
  count = augment.masked_frames(**OPTIONS)
  assert count == 24  # 49 % of 50
  assert spans.index.shape == (500, count)
  np.testing.assert_array_equal(spans.mask.sum(axis=1), count)
  rows = np.arange(500)[:, None]
  assert np.asarray(spans.mask)[rows, np.asarray(spans.index)].all()
  assert (np.diff(spans.index, axis=1) > 0).all()


def runs(mask):
  """Lengths of the runs of True in a row."""
  edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(int), [0]])))
  return edges[1::2] - edges[::2]


def test_all_runs_but_one_are_whole_spans():
  for mask in np.asarray(draw(rows=100).mask):
    assert (runs(mask) < 10).sum() <= 1


def test_the_share_of_the_papers_spans():
  """The official masks: starts without replacement, overlaps, random counts."""
  rng, shares = np.random.default_rng(0), []
  for _ in range(500):
    starts = rng.choice(490, int(0.065 * 500 + rng.random()), replace=False)
    mask = np.zeros(500, bool)
    mask[(starts[:, None] + np.arange(10)).ravel()] = True
    shares.append(mask.mean())
  ours = augment.masked_frames(500, span=10, start=0.065) / 500
  assert abs(ours - np.mean(shares)) < 0.01


def test_frames_in_the_middle_are_masked_alike_often():
  share = np.asarray(draw(rows=2000).mask).mean(axis=0)
  assert share[10:40].std() < 0.03 and share[0] < share[25]


def test_masks_that_cannot_be_are_refused():
  for wrong in ({"span": 51}, {"start": 0.0}, {"span": 1, "start": 0.001}):
    with pytest.raises(InputError, match="Spans of"):
      augment.masked_frames(**{**OPTIONS, **wrong})


def draw_of(own, rows=200):
  """Masks of sequences of which the first frames are there."""
  keys, there = jax.random.split(jax.random.key(0), rows), np.arange(50) < own
  options = {"span": OPTIONS["span"], "start": OPTIONS["start"]}
  mask = jax.vmap(lambda key: augment.span_mask_of(key, there, **options))(keys)
  return np.asarray(mask)


def test_of_a_whole_sequence_the_masks_are_the_same():
  np.testing.assert_array_equal(draw_of(50), draw(rows=200).mask)


@pytest.mark.parametrize(("own", "count"), [(30, 15), (5, 2), (2, 1), (1, 0), (0, 0)])
def test_of_a_padded_sequence_the_share_is_of_its_own_frames(own, count):
  made = draw_of(own)
  assert not made[:, own:].any()
  np.testing.assert_array_equal(made.sum(axis=1), count)
