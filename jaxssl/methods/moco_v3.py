"""MoCo v3: both views predict each other's momentum key; the batch is the negatives."""

from collections.abc import Callable

import flax.linen as nn

from jaxssl import losses
from jaxssl.core import Method
from jaxssl.methods.common import target_method


def moco_v3(
  net: nn.Module,
  views: Callable,
  *,
  momentum: Callable,
  temperature: float = 1.0,
  contrast: Callable = losses.info_nce,
  block_size: int | None = None,
) -> Method:
  """MoCo v3 (Chen et al., arXiv 2104.02057, algorithm 1).

  The loss is the sum of both directions, each scaled by 2 * temperature. The official
  code moves the target before the optimiser's step, towards the weights before it;
  that is the end of the step before this one, and so the momentum is read one step
  ahead.

  Args:
    net: encoder, projector and predictor.
    views: (key, example) -> two inputs.
    momentum: step -> momentum of the target; `ops.cosine_ema(0.99, steps=steps)`.
    temperature: of the softmax; 1.0 for ResNet-50, 0.2 for ViTs.
    contrast: the loss; `functools.partial(losses.ring_info_nce, mesh=mesh)` goes
      round the devices of a mesh instead of gathering all rows on each.
    block_size: columns of the logits held at a time; None holds all.

  Returns:
    The method; its state is a `TargetExtra`.
  """

  def loss(query, key):
    rows = contrast(query, key, temperature=temperature, block_size=block_size)
    return 2 * temperature * rows

  return target_method(net, views, loss=loss, momentum=lambda step: momentum(step + 1))
