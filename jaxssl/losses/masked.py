"""Losses of what was hidden: the pixels of masked patches.

All give the error of each row and the count that it is divided by, since the mean is
over the masked patches of the whole batch: `error.sum() / count.sum()`.
"""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp

from jaxssl.errors import InputError
from jaxssl.losses._checks import check_rows
from jaxssl.ops.patches import cut_patches, patch_moments


def patch_targets(images: jax.Array, patch: int, *, normalize: bool) -> jax.Array:
  """The pixels that masked image models predict, patch by patch.

  He et al. 2021, arXiv:2111.06377, section 3: with `normalize`, each patch minus its
  mean over the root of its unbiased variance plus 1e-6. A prediction of 0 then has
  the loss (n - 1) / n for patches of n values.

  Args:
    images: [batch, height, width, channels].
    patch: side of a patch in pixels; must divide both sides.
    normalize: whether each patch is standardised.

  Returns:
    float32 [batch, patches, patch * patch * channels], without gradient; a patch is
    read row by row, its channels innermost.

  Raises:
    InputError: if the patches don't fill the images.
  """
  patches = jax.lax.stop_gradient(cut_patches(images, patch).astype(jnp.float32))
  if not normalize:
    return patches
  mean, deviation = patch_moments(patches)
  return (patches - mean) / deviation


def masked_squared_error(
  prediction: jax.Array, target: jax.Array, mask: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """MAE's loss: the mean over a patch's pixels, summed over the masked patches.

  He et al. 2021, arXiv:2111.06377, section 3.

  Args:
    prediction: [batch, patches, values].
    target: the same shape.
    mask: bool [batch, patches], True where the patch counts.

  Returns:
    float32 [batch] errors, and float32 [batch] counts of masked patches; the loss is
    `error.sum() / count.sum()`.

  Raises:
    InputError: on other ranks, shapes that don't fit, a mask that isn't bool, or an
      empty batch.
  """
  return _masked_error(jnp.square, prediction, target, mask)


def masked_absolute_error(
  prediction: jax.Array, target: jax.Array, mask: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """SimMIM's loss, L1; as `masked_squared_error`.

  Xie et al. 2021, arXiv:2111.09886, section 3.4. The official code sums over pixels,
  and divides by channels and by 1e-5 more than the number of masked pixels: the same
  up to 1e-8.

  Args:
    prediction: [batch, patches, values].
    target: the same shape.
    mask: bool [batch, patches], True where the patch counts.

  Returns:
    float32 [batch] errors, and float32 [batch] counts of masked patches.

  Raises:
    InputError: as `masked_squared_error`.
  """
  return _masked_error(jnp.abs, prediction, target, mask)


def _masked_error(
  size: Callable, prediction: jax.Array, target: jax.Array, mask: jax.Array
) -> tuple[jax.Array, jax.Array]:
  _check(prediction, target, mask)
  apart = prediction.astype(jnp.float32) - target.astype(jnp.float32)
  each = jnp.mean(size(apart), axis=2)
  error = jnp.sum(jnp.where(mask, each, 0.0), axis=1)
  return error, jnp.sum(mask, axis=1, dtype=jnp.float32)


def _check(prediction, target, mask):
  chex.assert_rank(
    prediction,
    3,
    custom_message="Pass `prediction` as [batch, patches, values]",
    exception_type=InputError,
  )
  check_rows(1, "an empty batch has no loss", prediction=prediction)
  if target.shape != prediction.shape:
    raise InputError(
      f"`prediction` is {list(prediction.shape)} and `target` {list(target.shape)}; "
      "pass one target for each prediction."
    )
  if (mask.shape, mask.dtype) != (prediction.shape[:2], jnp.bool_):
    raise InputError(
      f"`mask` must be bool {list(prediction.shape[:2])}, one entry per patch; got "
      f"{mask.dtype} {list(mask.shape)}."
    )
