"""SCARF: a row of a table attracts itself with other values in most of its columns."""

from collections.abc import Callable

import flax.linen as nn

from jaxssl import losses
from jaxssl.core import Method
from jaxssl.methods.simclr import simclr
from jaxssl.models.siamese import apply_merged


def scarf(
  net: nn.Module,
  views: Callable,
  *,
  temperature: float = 1.0,
  apply: Callable = apply_merged,
  contrast: Callable = losses.nt_xent,
  block_size: int | None = None,
) -> Method:
  """SCARF (Bahri et al., arXiv 2106.15147, algorithm 1).

  SimCLR's loss between a clean row and a corrupted one, at a temperature of 1.

  Args:
    net: encoder and projector; returns an `Embedding`.
    views: (key, row) -> clean and corrupted row, `augment.scarf_views`.
    temperature: of the softmax.
    apply: as for `simclr`.
    contrast: as for `simclr`.
    block_size: as for `simclr`.

  Returns:
    The method; its state is the net's batch statistics.
  """
  options = {"apply": apply, "contrast": contrast, "block_size": block_size}
  return simclr(net, views, temperature=temperature, **options)
