"""Denoising on tables: rebuild a row from one with other values in some columns."""

from collections.abc import Callable

import flax.linen as nn

from jaxssl import losses
from jaxssl.core import Method
from jaxssl.methods.common import PatchErrors, mean_over_patches
from jaxssl.methods.rows import restoring


def table_denoising(net: nn.Module, views: Callable, *, corruption: Callable) -> Method:
  """A denoising autoencoder (Vincent et al. 2010, JMLR 11, section 3) of rows.

  The error is squared for numbers, the cross-entropy for categories, and averaged over
  all features of the batch that are not missing.

  Args:
    net: `models.AutoEncoder` with a `RowDecoder`.
    views: (key, row) -> inputs, of which the first is used.
    corruption: (key, row) -> corrupted row, as `augment.corrupt_columns`.

  Returns:
    The method; its features are the encoder's, of the clean row.
  """

  def compare(output, clean, corrupted):
    del corrupted
    return PatchErrors(*losses.row_error(output, clean, sizes=net.decoder.sizes))

  return restoring(
    net,
    views,
    corruption=corruption,
    compare=compare,
    combine=lambda errors: (mean_over_patches(*errors), {}),
    rebuilt=lambda output: output,
  )
