"""Corruptions of rows: how many features, from where, and that they are told."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl.augment import changed, corrupt_cells, corrupt_columns, scarf_views
from jaxssl.data import Row
from jaxssl.errors import InputError

# Every column has values of its own, so that a wrong column shows.
NUMBERS = np.arange(20, dtype=np.float32).reshape(5, 4) + 100.0
WORDS = np.arange(15, dtype=np.int32).reshape(5, 3) % 5 + 10
MARGINALS = Row(NUMBERS, WORDS)
ROW = Row(jnp.full(4, jnp.nan), jnp.zeros(3, jnp.int32))
KEYS = jax.random.split(jax.random.key(0), 200)


@pytest.mark.parametrize(("share", "count"), [(0.6, 4), (0.3, 2), (3 / 7, 3)])
def test_exactly_so_many_features_are_replaced(share, count):
  one = lambda key: corrupt_columns(key, ROW, marginals=MARGINALS, share=share)
  made = jax.jit(jax.vmap(one))(KEYS)
  masks = changed(jax.tree.map(lambda x: jnp.stack([x] * 200), ROW), made)
  assert (masks.sum(1) == count).all()
  np.testing.assert_allclose(masks.mean(0), count / 7, atol=0.12)


def test_values_come_from_their_column_and_each_from_its_own_row():
  one = lambda key: corrupt_columns(key, ROW, marginals=MARGINALS, share=0.99)
  made = jax.jit(jax.vmap(one))(KEYS)
  for i in range(4):
    drawn = np.asarray(made.numeric[:, i])
    assert set(drawn[~np.isnan(drawn)]) == set(NUMBERS[:, i])
  for i in range(3):
    assert set(np.asarray(made.categorical[:, i]).tolist()) <= {
      0,
      *WORDS[:, i].tolist(),
    }
  rows = (np.asarray(made.numeric) - 100.0) // 4
  assert len(np.unique(rows[0][~np.isnan(rows[0])])) > 1


def test_each_cell_is_replaced_by_itself():
  one = lambda key: corrupt_cells(key, ROW, marginals=MARGINALS, share=0.3)
  made = jax.jit(jax.vmap(one))(KEYS)
  masks = changed(jax.tree.map(lambda x: jnp.stack([x] * 200), ROW), made)
  np.testing.assert_allclose(masks.mean(), 0.3, atol=0.05)
  assert len(np.unique(masks.sum(1))) > 3


def test_the_mask_is_of_what_differs():
  """A value may be replaced by its equal; missing equals missing."""
  row = Row(jnp.array([1.0, jnp.nan, jnp.nan, 2.0]), jnp.array([1, 2]))
  other = Row(jnp.array([1.0, jnp.nan, 5.0, jnp.nan]), jnp.array([1, 0]))
  assert changed(row, other).tolist() == [False, False, True, True, False, True]


def test_the_first_view_is_the_row_itself():
  row = Row(jnp.arange(4.0), jnp.ones(3, jnp.int32))
  clean, other = scarf_views(MARGINALS)(jax.random.key(1), row)
  assert clean is row
  assert changed(row, other).sum() == 4


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 0.1])
def test_bad_shares(share):
  with pytest.raises(InputError, match="share"):
    corrupt_columns(KEYS[0], ROW, marginals=MARGINALS, share=share)
