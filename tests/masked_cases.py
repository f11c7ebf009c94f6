"""Toy forms of the masked and autoregressive image models: MAE, SimMIM, AIM."""

import flax.linen as nn

from jaxssl.methods.aim import aim
from jaxssl.methods.mae import mae
from jaxssl.methods.simmim import simmim
from jaxssl.models.masked import AIM, MAE, MAEDecoder, PixelHead, SimMIM
from tests import token_cases

LECUN = nn.initializers.lecun_normal()  # gradients of order 1


def one_view(key, image):
  """The image with a little noise."""
  return (token_cases.noisy(key, image),)


def nothing(state):
  """There is no frozen state."""
  del state
  return ()


def make_mae(norm: str = "layer", axis_name: str | None = None):
  """MAE on a ViT, which has no batch norm: 8 of 16 patches."""
  del norm, axis_name
  decoder = MAEDecoder(width=16, depth=1, heads=2, kernel_init=LECUN)
  return mae(MAE(token_cases.vit(), decoder), one_view, ratio=0.5)


def make_simmim(norm: str = "layer", axis_name: str | None = None):
  """SimMIM; no batch norm either."""
  del norm, axis_name
  net = SimMIM(token_cases.vit(mask_token=True), kernel_init=LECUN)
  return simmim(net, one_view, unit=1)


def make_aim(norm: str = "layer", axis_name: str | None = None):
  """AIM; no batch norm either."""
  del norm, axis_name
  small = nn.initializers.normal(0.05)  # large ones shrink what comes before them
  head = PixelHead(width=32, depth=1, kernel_init=small)
  return aim(AIM(token_cases.vit(), head), one_view)


ROWS = (
  ("mae", make_mae, nothing),
  ("simmim", make_simmim, nothing),
  ("aim", make_aim, nothing),
)
