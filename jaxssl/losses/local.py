"""Losses of patches: what shows the same part of an image has the same embedding."""

import chex
import jax
import jax.numpy as jnp

from jaxssl.errors import InputError
from jaxssl.losses._checks import check_rows
from jaxssl.losses.redundancy import vicreg


def vicreg_local(
  z_a: jax.Array,
  z_b: jax.Array,
  positions_a: jax.Array,
  positions_b: jax.Array,
  *,
  matches: int = 20,
  invariance_weight: float | jax.Array = 25.0,
  variance_weight: float | jax.Array = 25.0,
  covariance_weight: float | jax.Array = 1.0,
) -> jax.Array:
  """The local term of VICRegL: VICReg on matched patches.

  Bardes et al. 2022, arXiv:2210.01571, section 3.2: each patch of a view is matched
  with the other view's nearest patch, once by position and once by embedding, and the
  `matches` closest pairs of each image are kept. The result is the sum of the two
  ways to match, each averaged over the two directions; the statistics are over the
  batch, for each place in the order of the patches kept. Terms are weighted as in
  `vicreg` (the official VICRegL code halves the covariance term). The paper's loss is
  alpha * global + (1 - alpha) * local.

  Args:
    z_a: patch embeddings of the first views, [batch, patches, dim], batch at least 2.
    z_b: patch embeddings of the second views, [batch, patches, dim]; the number of
      patches may be another one.
    positions_a: where each patch lies in the uncropped image, [batch, patches, 2].
    positions_b: the same for the second views.
    matches: pairs kept, at most the patches of either view.
    invariance_weight: as in `vicreg`.
    variance_weight: as in `vicreg`.
    covariance_weight: as in `vicreg`.

  Returns:
    The loss of the batch, [].

  Raises:
    InputError: on other ranks, shapes that do not fit, a single row or a bad option.
  """
  _check_maps(z_a, z_b)
  _check_positions(z_a, positions_a, z_b, positions_b)
  _check_matches(matches, z_a, z_b)
  weights = invariance_weight, variance_weight, covariance_weight
  z_a, z_b = z_a.astype(jnp.float32), z_b.astype(jnp.float32)
  by_feature = _both_ways(z_a, z_b, _feature_distances(z_a, z_b), matches, weights)
  apart = _position_distances(positions_a, positions_b)
  return by_feature + _both_ways(z_a, z_b, apart, matches, weights)


def _both_ways(z_a, z_b, distances, matches, weights):
  there = _one_way(z_a, z_b, distances, matches, weights)
  back = _one_way(z_b, z_a, jnp.swapaxes(distances, 1, 2), matches, weights)
  return (there + back) / 2.0


def _one_way(z_a, z_b, distances, matches, weights):
  """VICReg of the closest pairs (patch of a, its nearest of b), in a's order."""
  nearest = jnp.argmin(distances, axis=2)
  _, kept = jax.lax.top_k(-jnp.min(distances, axis=2), matches)
  kept = jnp.sort(kept, axis=1)
  own = _take(z_a, kept)
  partner = _take(z_b, jnp.take_along_axis(nearest, kept, axis=1))
  return jnp.mean(jax.vmap(lambda a, b: _vicreg(a, b, weights), 1)(own, partner))


def _vicreg(z_a, z_b, weights):
  names = "invariance_weight", "variance_weight", "covariance_weight"
  return vicreg(z_a, z_b, **dict(zip(names, weights, strict=True)))


def _take(z, places):
  """Patches [batch, kept, dim] of z at the places [batch, kept]."""
  return jnp.take_along_axis(z, places[:, :, None], axis=1)


def _feature_distances(z_a, z_b):
  """Squared distances up to a constant, without [batch, patches, patches, dim]."""
  z_a, z_b = jax.lax.stop_gradient((z_a, z_b))
  product = jnp.einsum("bpd,bqd->bpq", z_a, z_b, precision=jax.lax.Precision.HIGHEST)
  squares = [jnp.sum(jnp.square(z), axis=2) for z in (z_a, z_b)]
  return squares[0][:, :, None] + squares[1][:, None, :] - 2.0 * product


def _position_distances(positions_a, positions_b):
  a, b = (p.astype(jnp.float32) for p in (positions_a, positions_b))
  return jnp.sum(jnp.square(a[:, :, None, :] - b[:, None, :, :]), axis=3)


def _check_maps(z_a, z_b):
  chex.assert_rank(
    [z_a, z_b],
    3,
    custom_message="Pass `z_a` and `z_b` as [batch, patches, dim]",
    exception_type=InputError,
  )
  if z_a.shape[0] != z_b.shape[0] or z_a.shape[2] != z_b.shape[2]:
    raise InputError(
      f"`z_a` is {list(z_a.shape)} and `z_b` {list(z_b.shape)}; pass the same batch "
      "and dim: row i of each belongs to the same image."
    )
  check_rows(2, "the statistics are over the batch", z_a=z_a)


def _check_positions(z_a, positions_a, z_b, positions_b):
  for view, z, positions in (("a", z_a, positions_a), ("b", z_b, positions_b)):
    if positions.shape != (*z.shape[:2], 2):
      raise InputError(
        f"`positions_{view}` is {list(positions.shape)} for `z_{view}` of "
        f"{list(z.shape)}; pass one (y, x) per patch, [batch, patches, 2]."
      )


def _check_matches(matches, z_a, z_b):
  most = min(z_a.shape[1], z_b.shape[1])
  if not isinstance(matches, int) or not 1 <= matches <= most:
    raise InputError(
      f"`matches` is {matches!r}; pass an int from 1 to {most}, the patches of a view."
    )
