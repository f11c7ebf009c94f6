"""Noise, subsampling and items that are not in a row, against counts and loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl import ops
from jaxssl.errors import InputError

COUNTS = np.array([0, 100, 30, 0, 5])


def test_noise_is_drawn_by_counts_to_three_quarters():
  cdf = ops.noise_cdf(COUNTS)
  drawn = np.asarray(ops.draw_noise(jax.random.key(0), cdf, (40_000,)))
  weights = COUNTS**0.75 * (COUNTS > 0)
  shares = np.bincount(drawn, minlength=5) / len(drawn)
  np.testing.assert_allclose(shares, weights / weights.sum(), atol=0.01)
  assert shares[0] == shares[3] == 0


def test_a_power_of_0_draws_all_that_occur_alike():
  cdf = ops.noise_cdf(COUNTS, power=0.0)
  np.testing.assert_allclose(
    np.diff(cdf, prepend=0), [0, 1 / 3, 1 / 3, 0, 1 / 3], atol=1e-6
  )


def test_what_is_kept_is_as_in_the_official_code():
  """The line of word2vec.c: (sqrt(cn / (t * N)) + 1) * (t * N) / cn."""
  keep = ops.keep_probability(COUNTS, threshold=1e-2)
  for count, got in zip(COUNTS, keep, strict=True):
    if count:
      scaled = 1e-2 * COUNTS.sum()
      assert got == pytest.approx(
        min((np.sqrt(count / scaled) + 1) * scaled / count, 1)
      )
  assert keep[0] == 1
  assert (np.diff(ops.keep_probability(np.arange(1, 50), threshold=1e-3)) <= 0).all()


@pytest.mark.parametrize("row", [[3, 3, 1, 0, 0], [6, 5, 4, 2, 1], [0, 0, 0, 9, 7]])
def test_what_is_absent_is_drawn_alike(row):
  """9 and 7 are no items: of 6 only those of the row are left out."""
  row = jnp.asarray(row, jnp.int32)
  drawn = np.asarray(ops.draw_absent(jax.random.key(1), row, (6000,), items=6))
  absent = sorted(set(range(1, 7)) - set(np.asarray(row).tolist()))
  found, counts = np.unique(drawn, return_counts=True)
  np.testing.assert_array_equal(found, absent)
  np.testing.assert_allclose(counts / 6000, 1 / len(absent), atol=0.03)


def test_a_row_of_all_items_leaves_no_choice_but_any():
  row = jnp.arange(1, 5, dtype=jnp.int32)
  drawn = np.asarray(ops.draw_absent(jax.random.key(1), row, (200,), items=4))
  assert set(drawn.tolist()) == {1, 2, 3, 4}


@pytest.mark.parametrize("counts", [[0, 0], [1, -1], [[1, 2]]])
def test_counts_that_are_none_are_refused(counts):
  with pytest.raises(InputError, match="Counts"):
    ops.noise_cdf(np.asarray(counts))


def test_a_threshold_of_0_is_refused():
  with pytest.raises(InputError, match="threshold"):
    ops.keep_probability(COUNTS, threshold=0.0)
