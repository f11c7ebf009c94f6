"""Contrastive losses: tell an example's own views or class from everything else.

All take un-normalised projections [batch, dim], compare them by cosine (`cpc` by the
product) in float32, and return one value per row. Gradients reach every input.
`block_size` bounds the memory: the logits are then visited in blocks of so many
columns and recomputed in the backward pass, O(batch * block_size) instead of
O(batch^2), with the same value and gradient. It need not divide the batch; on a mesh,
a multiple of the number of devices keeps every block spread over all of them (rows so
few that every device compares them all, `EVERYWHERE`, are not spread).
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxssl.errors import InputError
from jaxssl.losses._checks import (
  check_block_size,
  check_matrices,
  check_paired,
  check_positive,
  check_rows,
)
from jaxssl.losses._streaming import Tags, row_terms
from jaxssl.ops.numerics import in_turns, l2_normalize
from jaxssl.ops.sharding import on_every_device

EVERYWHERE = 2**24
"""So many logits or fewer are computed on every device of a mesh, so that no collective
adds the gradients of the gathered rows: 64 MiB, and of 128 dimensions 13 GFLOPs, a
five-hundredth of a ResNet-50's step that has them on 16 chips."""


def nt_xent(
  z_a: jax.Array,
  z_b: jax.Array,
  *,
  temperature: float | jax.Array,
  block_size: int | None = None,
) -> jax.Array:
  """Normalised temperature-scaled cross-entropy of SimCLR.

  Chen et al. 2020, arXiv:2002.05709, eq. 1. Row i of `z_a` and row i of `z_b` are
  each other's positive; the other 2 * batch - 2 rows of both views are negatives.
  The mean over rows is the paper's loss; the official TensorFlow code trains on twice
  that (the sum of two directional means).

  Args:
    z_a: projections of the first views, [batch, dim], batch at least 2.
    z_b: projections of the second views, [batch, dim].
    temperature: divides the cosines, above 0.
    block_size: columns per block, or None for all at once.

  Returns:
    One value per row, [2 * batch]: the rows of `z_a`, then the rows of `z_b`.

  Raises:
    InputError: on other ranks, unequal shapes, a single pair, or a bad option.
  """
  _check_views(z_a, z_b, temperature, block_size)
  z, tags = _both_views(z_a, z_b, temperature)
  return _by_view(_attract(_other_samples, z, z, tags, block_size))


def decoupled_nt_xent(
  z_a: jax.Array,
  z_b: jax.Array,
  *,
  temperature: float | jax.Array,
  block_size: int | None = None,
) -> jax.Array:
  """NT-Xent without the positive in the denominator (DCL).

  Yeh et al. 2021, arXiv:2110.06848, loss L_DC, here in both directions (the original
  code has one). It can be negative.

  Args:
    z_a: projections of the first views, [batch, dim], batch at least 2.
    z_b: projections of the second views, [batch, dim].
    temperature: divides the cosines, above 0.
    block_size: columns per block, or None for all at once.

  Returns:
    One value per row, [2 * batch]: the rows of `z_a`, then the rows of `z_b`.

  Raises:
    InputError: on other ranks, unequal shapes, a single pair, or a bad option.
  """
  _check_views(z_a, z_b, temperature, block_size)
  z, tags = _both_views(z_a, z_b, temperature)
  return _by_view(_attract(_other_groups, z, z, tags, block_size))


def dclw(
  z_a: jax.Array,
  z_b: jax.Array,
  *,
  temperature: float | jax.Array,
  sigma: float | jax.Array = 0.5,
  block_size: int | None = None,
) -> jax.Array:
  """`decoupled_nt_xent` whose positives weigh more the less they agree (DCLW).

  Yeh et al. 2021, arXiv:2110.06848, loss L_DCW: the positive's logit is multiplied
  by 2 - batch * softmax(cosine / sigma) over the pairs of the batch, a constant for
  the gradient. The weights have mean 1 and can be negative.

  Args:
    z_a: projections of the first views, [batch, dim], batch at least 2.
    z_b: projections of the second views, [batch, dim].
    temperature: divides the cosines, above 0.
    sigma: divides the cosines of the weights, above 0.
    block_size: columns per block, or None for all at once.

  Returns:
    One value per row, [2 * batch]: the rows of `z_a`, then the rows of `z_b`.

  Raises:
    InputError: on other ranks, unequal shapes, a single pair, or a bad option.
  """
  _check_views(z_a, z_b, temperature, block_size)
  check_positive(sigma=sigma)
  z, tags = _both_views(z_a, z_b, temperature)
  terms = row_terms(_other_groups, z, z, tags, tags, block_size=block_size)
  weights = jnp.repeat(_positive_weights(z, sigma / temperature), 2)
  return _by_view(terms.log_partition - weights * terms.positive_sum)


def supcon(
  z: jax.Array,
  labels: jax.Array,
  *,
  temperature: float | jax.Array,
  block_size: int | None = None,
) -> jax.Array:
  """Supervised contrastive loss: rows of one label attract each other.

  Khosla et al. 2020, arXiv:2004.11362, eq. 2 (the mean over positives is outside the
  logarithm). A row that has no other row of its label gives 0, as in the official
  code; the official `base_temperature`, which multiplies the loss by temperature /
  0.07, is left to the caller.

  Args:
    z: projections, [batch, dim]; views of an example are rows of the same label.
    labels: integers, [batch].
    temperature: divides the cosines, above 0.
    block_size: columns per block, or None for all at once.

  Returns:
    One value per row, [batch].

  Raises:
    InputError: on other ranks, unequal lengths, labels that are not integers, or a
      bad option.
  """
  check_matrices(z=z)
  check_rows(1, "an empty batch has no loss", z=z)
  _check_labels(labels, z)
  _check_options(temperature, block_size)
  z, labels = _meeting(_scaled(z, temperature), labels)
  tags = Tags(sample=jnp.arange(z.shape[0]), group=labels)
  return _attract(_other_samples, z, z, tags, block_size)


def info_nce(
  query: jax.Array,
  positive: jax.Array,
  negatives: jax.Array | None = None,
  *,
  temperature: float | jax.Array,
  block_size: int | None = None,
) -> jax.Array:
  """InfoNCE of each query against its positive and negatives, one direction.

  He et al. 2019, arXiv:1911.05722, eq. 1 with `negatives` (a queue); without, the
  other rows of `positive` are the negatives, as in MoCo v3 (Chen et al. 2021,
  arXiv:2104.02057, eq. 1), whose code multiplies by 2 * temperature.

  Args:
    query: [batch, dim].
    positive: [batch, dim], row i belongs to row i of `query`.
    negatives: [count, dim], shared by all queries; None takes the other rows of
      `positive`, then batch is at least 2.
    temperature: divides the cosines, above 0.
    block_size: columns per block, or None for all at once.

  Returns:
    One value per query, [batch].

  Raises:
    InputError: on other ranks, unequal shapes, too few rows, or a bad option.
  """
  check_paired(query=query, positive=positive)
  check_rows(1, "an empty batch has no loss", query=query)
  _check_options(temperature, block_size)
  if negatives is not None:
    return _against_negatives(query, positive, negatives, temperature, block_size)
  check_rows(2, "the negatives are the other rows; or pass `negatives`", query=query)
  query, positive = _scaled(query, temperature), _scaled(positive, temperature)
  return _attract(_everything, query, positive, _rows(query), block_size)


def cpc(
  prediction: jax.Array,
  target: jax.Array,
  *,
  temperature: float | jax.Array = 1.0,
  block_size: int | None = None,
) -> jax.Array:
  """InfoNCE of contrastive predictive coding: products, without normalisation.

  Van den Oord et al. 2018, arXiv:1807.03748, eq. 3 and 4, for one step k: the score
  of z and c is z' W_k c, with W_k c the prediction. The other rows of `target` are
  the negatives: other places, other times, other examples.

  Args:
    prediction: W_k c, [rows, dim], at least 2 rows.
    target: z, row i is what row i of `prediction` predicts, [rows, dim].
    temperature: divides the products, above 0; the paper has none.
    block_size: columns per block, or None for all at once.

  Returns:
    One value per row, [rows].

  Raises:
    InputError: on other ranks, unequal shapes, a single row, or a bad option.
  """
  check_paired(prediction=prediction, target=target)
  check_rows(2, "the negatives are the other rows", prediction=prediction)
  _check_options(temperature, block_size)
  queries = prediction.astype(jnp.float32) / temperature
  target = target.astype(jnp.float32)
  return _attract(_everything, queries, target, _rows(queries), block_size)


def _against_negatives(query, positive, negatives, temperature, block_size):
  _check_negatives(query, negatives)
  query, positive = _scaled(query, temperature), _scaled(positive, temperature)
  negatives = _scaled(negatives, temperature)
  own = jnp.sum(query * positive, axis=1)
  tags = _rows(query), _rows(negatives)
  rest = row_terms(_everything, query, negatives, *tags, block_size=block_size)
  return jax.nn.softplus(rest.log_partition - own)


def _attract(rule, queries, candidates, tags, block_size):
  terms = row_terms(rule, queries, candidates, tags, tags, block_size=block_size)
  return terms.attraction()


def _positive_weights(z, sigma):
  """Weights of the pairs, [batch], with mean 1; largest where the views disagree.

  Args:
    z: both views in turns.
    sigma: of the paper over the temperature, since `z` is scaled by that.
  """
  logits = jnp.sum(z[::2] * z[1::2], axis=1)
  return jax.lax.stop_gradient(2.0 - logits.shape[0] * jax.nn.softmax(logits / sigma))


def _other_samples(rows, columns):
  others = rows.sample != columns.sample
  return others, others & (rows.group == columns.group)


def _other_groups(rows, columns):
  same = rows.group == columns.group
  return ~same, same & (rows.sample != columns.sample)


def _everything(rows, columns):
  same = rows.group == columns.group
  return jnp.ones_like(same), same


def _both_views(z_a, z_b, temperature):
  """Rows of both views in turns, and their tags."""
  (z,) = _meeting(in_turns(_scaled(z_a, temperature), _scaled(z_b, temperature)))
  rows = np.arange(z.shape[0])  # constants: nothing to gather for the columns
  return z, Tags(sample=rows, group=rows // 2)


def _meeting(*arrays):
  """What is compared row by row; on every device if the rows are few."""
  few = arrays[0].shape[0] ** 2 <= EVERYWHERE
  return on_every_device(arrays) if few else arrays


def _by_view(rows):
  """Values of two views' rows in turns as those of the first, then of the second."""
  return rows.reshape(-1, 2).T.reshape(-1)


def _rows(x):
  rows = np.arange(x.shape[0])
  return Tags(sample=rows, group=rows)


def _scaled(x, temperature):
  """Rows of length 1 / sqrt(temperature), whose products are logits, in float32.

  Dividing both sides (and not one side by the whole temperature) lets one array serve
  as queries and candidates.
  """
  length = jnp.sqrt(jnp.asarray(temperature, jnp.float32))
  return l2_normalize(x.astype(jnp.float32)) / length


def _check_views(z_a, z_b, temperature, block_size):
  check_paired(z_a=z_a, z_b=z_b)
  check_rows(2, "the negatives are the other examples", z_a=z_a)
  _check_options(temperature, block_size)


def _check_options(temperature, block_size):
  check_positive(temperature=temperature)
  check_block_size(block_size)


def _check_negatives(query, negatives):
  check_matrices(negatives=negatives)
  check_rows(1, "or None for the other rows of `positive`", negatives=negatives)
  if query.shape[1] != negatives.shape[1]:
    raise InputError(
      f"`negatives` has {negatives.shape[1]} dimensions and `query` {query.shape[1]}; "
      "pass negatives of [count, dim] with the dim of the query."
    )


def _check_labels(labels, z):
  if labels.shape != z.shape[:1] or not jnp.issubdtype(labels.dtype, jnp.integer):
    raise InputError(
      f"`labels` is {labels.dtype}{list(labels.shape)} for `z` of {list(z.shape)}; "
      "pass one integer per row of `z`, [batch]."
    )
