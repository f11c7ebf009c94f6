"""Corrupted rows of tables: features replaced by those of other training rows.

`marginals` are training rows (`data.tables.marginals`): a replaced feature has the
value that the same column has in a random one of them, each feature of its own row.
Corruptions are `(key, row) -> row` of one `Row`, numeric [p] and categorical [q].
"""

from functools import partial

import jax
import jax.numpy as jnp

from jaxssl.augment.views import Views
from jaxssl.data.tables import Row
from jaxssl.errors import InputError


def corrupt_columns(key: jax.Array, row: Row, *, marginals: Row, share: float) -> Row:
  """Replaces exactly floor(share * features) of the features, drawn without order.

  SCARF (Bahri et al., arXiv 2106.15147, algorithm 1).

  Args:
    key: PRNG key.
    row: one row.
    marginals: training rows, [rows, ...].
    share: of the features, above 0 and below 1.

  Returns:
    The row with other values; some may be equal to the old ones by chance.

  Raises:
    InputError: if the share is out of its range, or replaces no feature.
  """
  _check_share(share)
  features = _features(row)
  count = int(share * features + 1e-6)  # 0.6 * 5 is 2.999...
  if count < 1:
    raise InputError(f"a share of {share} of {features} features is none; pass more")
  key_mask, key_rows = jax.random.split(key)
  mask = jax.random.permutation(key_mask, features) < count
  return _replaced(key_rows, row, marginals, mask)


def corrupt_cells(key: jax.Array, row: Row, *, marginals: Row, share: float) -> Row:
  """Replaces each feature with probability `share`, by itself.

  VIME (Yoon et al., NeurIPS 2020, section 4.1).

  Args:
    key: PRNG key.
    row: one row.
    marginals: training rows, [rows, ...].
    share: probability, above 0 and below 1.

  Returns:
    The row with other values; some may be equal to the old ones by chance.

  Raises:
    InputError: if the share is out of its range.
  """
  _check_share(share)
  key_mask, key_rows = jax.random.split(key)
  mask = jax.random.bernoulli(key_mask, share, (_features(row),))
  return _replaced(key_rows, row, marginals, mask)


def scarf_views(marginals: Row, *, share: float = 0.6) -> Views:
  """SCARF's two views: the row as it is, and corrupted by `corrupt_columns`.

  Args:
    marginals: training rows.
    share: of the features that are replaced; 0.6 in the paper.

  Returns:
    views(key, row) -> (clean, corrupted).
  """
  corrupt = partial(corrupt_columns, marginals=marginals, share=share)
  return lambda key, row: (row, corrupt(key, row))


def changed(row: Row, other: Row) -> jax.Array:
  """Which features of two rows differ, numeric ones first; missing equals missing.

  Args:
    row: [..., p] and [..., q].
    other: of the same shapes.

  Returns:
    bool [..., p + q].
  """
  both_missing = jnp.isnan(row.numeric) & jnp.isnan(other.numeric)
  numeric = (row.numeric != other.numeric) & ~both_missing
  return jnp.concatenate([numeric, row.categorical != other.categorical], axis=-1)


def _features(row):
  return row.numeric.shape[-1] + row.categorical.shape[-1]


def _replaced(key, row, marginals, mask):
  marginals = jax.tree.map(jnp.asarray, marginals)
  rows, numbers = marginals.numeric.shape
  drawn = jax.random.randint(key, mask.shape, 0, rows)
  pick = lambda table, at: table[at, jnp.arange(table.shape[1])]
  numeric = pick(marginals.numeric, drawn[:numbers])
  categorical = pick(marginals.categorical, drawn[numbers:])
  return Row(
    jnp.where(mask[:numbers], numeric, row.numeric),
    jnp.where(mask[numbers:], categorical, row.categorical),
  )


def _check_share(share):
  if not 0.0 < share < 1.0:
    raise InputError(f"a share of {share} of the features; pass one in (0, 1)")
