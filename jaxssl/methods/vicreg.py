"""VICReg: views agree, every dimension varies, no two dimensions covary."""

from collections.abc import Callable

import flax.linen as nn

from jaxssl import losses
from jaxssl.core import Method
from jaxssl.methods.common import projection, two_view_method


def vicreg(
  net: nn.Module,
  views: Callable,
  *,
  invariance_weight: float = 25.0,
  variance_weight: float = 25.0,
  covariance_weight: float = 1.0,
) -> Method:
  """VICReg (Bardes et al., arXiv 2105.04906, equation 6).

  Constants are the official code's: the variance term is halved per view, the
  covariance term is summed over the views.

  Args:
    net: encoder and expander (no normalisation of its output).
    views: (key, example) -> two inputs.
    invariance_weight: of the squared distance between the views.
    variance_weight: of the hinge on each dimension's standard deviation.
    covariance_weight: of the squared covariances between dimensions.

  Returns:
    The method; its state is the net's batch statistics.
  """

  def loss(z_a, z_b):
    return losses.vicreg(
      z_a,
      z_b,
      invariance_weight=invariance_weight,
      variance_weight=variance_weight,
      covariance_weight=covariance_weight,
    )

  return two_view_method(net, views, outputs=projection, loss=loss)
