"""BYOL: predict the projection that a slowly moving copy gives to the other view."""

from collections.abc import Callable

import flax.linen as nn

from jaxssl import losses
from jaxssl.core import Method
from jaxssl.methods.common import target_method


def byol(net: nn.Module, views: Callable, *, momentum: Callable) -> Method:
  """BYOL (Grill et al., arXiv 2006.07733, equation 2), the sum of both directions.

  The target starts as a copy of the online net (the official code draws it anew and
  reports no difference) and moves after the optimiser, towards the new parameters.

  Args:
    net: encoder, projector and predictor.
    views: (key, example) -> two inputs.
    momentum: step -> momentum of the target; `ops.cosine_ema(0.996, steps=steps)`.

  Returns:
    The method; its state is a `TargetExtra`.
  """
  return target_method(net, views, loss=losses.byol, momentum=momentum)
