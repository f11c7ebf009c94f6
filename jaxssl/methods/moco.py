"""MoCo v1 and v2: a query finds its momentum key among the keys of earlier batches."""

from collections.abc import Callable

import flax.linen as nn

from jaxssl import losses
from jaxssl.core import Method
from jaxssl.methods.common import queue_method


def moco_v2(
  net: nn.Module,
  views: Callable,
  *,
  queue_size: int = 65536,
  momentum: float = 0.999,
  temperature: float = 0.2,
  eman: bool = False,
  block_size: int | None = None,
) -> Method:
  """MoCo v2 (He et al., arXiv 1911.05722, equation 1; Chen et al., 2003.04297).

  Batch norm sees the global batch. The official code normalises per device and shuffles
  the keys between devices, so that a key cannot be told from the queue by statistics it
  shares with its query. Here large batches, whose statistics vary less, do that; with
  small ones use `eman`, which is free of the leak on any number of devices.

  Args:
    net: encoder and projector (Linear, ReLU, Linear in the paper).
    views: (key, example) -> two inputs: query and key.
    queue_size: keys kept; a multiple of the batch.
    momentum: of the key encoder.
    temperature: of the softmax.
    eman: whether keys are normalised by a moving average of the query encoder's batch
      statistics (arXiv 2101.08482) and not by those of their own batch.
    block_size: columns of the logits held at a time; None holds all.

  Returns:
    The method; its state is a `QueueExtra`.
  """

  def loss(query, key, queue):
    return losses.info_nce(
      query, key, queue, temperature=temperature, block_size=block_size
    )

  return queue_method(
    net, views, queue_size=queue_size, momentum=momentum, loss=loss, eman=eman
  )


def moco_v1(
  net: nn.Module,
  views: Callable,
  *,
  queue_size: int = 65536,
  momentum: float = 0.999,
  temperature: float = 0.07,
  eman: bool = False,
  block_size: int | None = None,
) -> Method:
  """MoCo v1 (He et al., arXiv 1911.05722, equation 1): v2 at a temperature of 0.07.

  The versions differ beside that in the head (one linear layer here) and in the
  augmentation, which come in as arguments. See `moco_v2`.
  """
  return moco_v2(
    net,
    views,
    queue_size=queue_size,
    momentum=momentum,
    temperature=temperature,
    eman=eman,
    block_size=block_size,
  )
