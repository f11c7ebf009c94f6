"""VIME: which features of a row of a table were changed, and what were they?"""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl import losses
from jaxssl.augment.table import changed
from jaxssl.core import Method
from jaxssl.errors import InputError
from jaxssl.methods.common import mean_over_patches
from jaxssl.methods.rows import restoring


class VimeErrors(NamedTuple):
  """The errors of each row.

  Attributes:
    mask: cross-entropy of the mask, the mean over the features, [batch].
    right: share of the mask that was told right, [batch].
    error: of the features, summed over those that are there, [batch].
    count: number of these, [batch].
  """

  mask: jax.Array
  right: jax.Array
  error: jax.Array
  count: jax.Array


def vime(
  net: nn.Module, views: Callable, *, corruption: Callable, alpha: float = 2.0
) -> Method:
  """VIME's self-supervision (Yoon et al., NeurIPS 2020, equation 4).

  The loss is the mask's cross-entropy plus `alpha` times the reconstruction of all
  features that are not missing. The mask's label is whether a feature differs, not
  whether it was drawn: a value may be replaced by its equal.

  Args:
    net: `models.Vime`.
    views: (key, row) -> inputs, of which the first is used; `augment.many_views` of
      what leaves the row as it is.
    corruption: (key, row) -> corrupted row, `augment.corrupt_cells` with a share of
      0.3 in the official code.
    alpha: weight of the reconstruction; 2 in the official code.

  Returns:
    The method; its features are the encoder's, of the clean row.

  Raises:
    InputError: if `alpha` is negative.
  """
  if not alpha >= 0.0:
    raise InputError(f"alpha is {alpha}; the weight of the reconstruction is 0 or more")

  def compare(output, clean, corrupted):
    mask = changed(clean, corrupted)
    told = jnp.mean((output.mask > 0.0) == mask, axis=1, dtype=jnp.float32)
    error, count = losses.row_error(output.row, clean, sizes=net.decoder.sizes)
    return VimeErrors(losses.mask_error(output.mask, mask), told, error, count)

  def combine(errors):
    mask = errors.mask.mean()
    row = mean_over_patches(errors.error, errors.count)
    metrics = {
      "mask": mask,
      "reconstruction": row,
      "mask_accuracy": errors.right.mean(),
    }
    return mask + alpha * row, metrics

  return restoring(
    net,
    views,
    corruption=corruption,
    compare=compare,
    combine=combine,
    rebuilt=lambda output: output.row,
  )
