"""Projectors and predictors of the methods, with the widths they were published with.

Every function returns an `MLP`. `norm` is the factory of its norms: the papers use
batch norm, tests of accumulation use `layers.LayerNorm`. A width of None stands for
the width of the features.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from jaxssl.errors import InputError
from jaxssl.models.layers import BatchNorm, Factory, exact_gelu, normal_init
from jaxssl.models.mlp import MLP


def simclr_head(
  *,
  hidden: int | None = None,
  out: int = 128,
  layers: int = 2,
  norm: Factory = BatchNorm,
  axis_name: str | None = None,
  dtype: Any = jnp.float32,
) -> MLP:
  """The projector of SimCLR (arXiv 2002.05709; v2, arXiv 2006.10029).

  No biases; every layer has a norm, the last one with a scale and no offset; kernels
  start from a normal of 0.01.

  Args:
    hidden: width of the hidden layers.
    out: width of the projection.
    layers: 2 in v1, 3 in v2.
    norm: factory of the norms.
    axis_name: the pmap axis for batch norm.
    dtype: compute dtype.

  Returns:
    The head.

  Raises:
    InputError: fewer than 1 layer.
  """
  if layers < 1:
    raise InputError(f"A SimCLR head needs at least 1 layer; got {layers}.")
  return MLP(
    widths=(hidden,) * (layers - 1) + (out,),
    biases=(False,) * layers,
    norms=(norm,) * (layers - 1) + (partial(norm, use_bias=False),),
    kernel_init=nn.initializers.normal(0.01),
    axis_name=axis_name,
    dtype=dtype,
  )


def moco_head(
  *, hidden: int | None = None, out: int = 128, dtype: Any = jnp.float32
) -> MLP:
  """The head of MoCo v2 (arXiv 2003.04297): Linear, ReLU, Linear, no norm.

  Args:
    hidden: width of the hidden layer.
    out: width of the projection.
    dtype: compute dtype.

  Returns:
    The head.
  """
  return MLP(widths=(hidden, out), biases=(True, True), norms=(None, None), dtype=dtype)


def byol_projector(
  *,
  hidden: int = 4096,
  out: int = 256,
  norm: Factory = BatchNorm,
  axis_name: str | None = None,
  dtype: Any = jnp.float32,
) -> MLP:
  """The projector of BYOL (arXiv 2006.07733, section 3.2 and the official code).

  Linear with bias, norm, ReLU, Linear without bias, and no norm at the end.

  Args:
    hidden: width of the hidden layer.
    out: width of the projection.
    norm: factory of the norms.
    axis_name: the pmap axis for batch norm.
    dtype: compute dtype.

  Returns:
    The head.
  """
  return MLP(
    widths=(hidden, out),
    biases=(True, False),
    norms=(norm, None),
    kernel_init=nn.initializers.lecun_normal(),
    axis_name=axis_name,
    dtype=dtype,
  )


def byol_predictor(
  *,
  hidden: int = 4096,
  out: int = 256,
  norm: Factory = BatchNorm,
  axis_name: str | None = None,
  dtype: Any = jnp.float32,
) -> MLP:
  """The predictor of BYOL: built as `byol_projector`; `out` is that of the projector.

  Args:
    hidden: width of the hidden layer.
    out: width of the prediction.
    norm: factory of the norms.
    axis_name: the pmap axis for batch norm.
    dtype: compute dtype.

  Returns:
    The head.
  """
  return byol_projector(
    hidden=hidden, out=out, norm=norm, axis_name=axis_name, dtype=dtype
  )


def simsiam_projector(
  *,
  hidden: int | None = None,
  out: int = 2048,
  layers: int = 3,
  norm: Factory = BatchNorm,
  axis_name: str | None = None,
  dtype: Any = jnp.float32,
) -> MLP:
  """The projector of SimSiam (arXiv 2011.10566, section 3).

  No biases; every layer has a norm, the last one without scale and offset.

  Args:
    hidden: width of the hidden layers.
    out: width of the projection.
    layers: 3 on ImageNet, 2 on CIFAR-10.
    norm: factory of the norms.
    axis_name: the pmap axis for batch norm.
    dtype: compute dtype.

  Returns:
    The head.

  Raises:
    InputError: fewer than 1 layer.
  """
  if layers < 1:
    raise InputError(f"A SimSiam projector needs at least 1 layer; got {layers}.")
  last = partial(norm, use_scale=False, use_bias=False)
  return MLP(
    widths=(hidden,) * (layers - 1) + (out,),
    biases=(False,) * layers,
    norms=(norm,) * (layers - 1) + (last,),
    axis_name=axis_name,
    dtype=dtype,
  )


def simsiam_predictor(
  *,
  hidden: int = 512,
  out: int = 2048,
  norm: Factory = BatchNorm,
  axis_name: str | None = None,
  dtype: Any = jnp.float32,
) -> MLP:
  """The predictor of SimSiam: a bottleneck; the last layer has a bias and no norm.

  Args:
    hidden: width of the bottleneck, a quarter of `out` in the paper.
    out: width of the prediction, that of the projector.
    norm: factory of the norms.
    axis_name: the pmap axis for batch norm.
    dtype: compute dtype.

  Returns:
    The head.
  """
  return MLP(
    widths=(hidden, out),
    biases=(False, True),
    norms=(norm, None),
    axis_name=axis_name,
    dtype=dtype,
  )


def barlow_twins_projector(
  *,
  widths: tuple[int, ...] = (8192, 8192, 8192),
  norm: Factory = BatchNorm,
  axis_name: str | None = None,
  dtype: Any = jnp.float32,
) -> MLP:
  """The projector of Barlow Twins (arXiv 2103.03230, section 3).

  No biases; norm and ReLU after every layer but the last. The standardisation that
  follows is part of the loss.

  Args:
    widths: of the layers.
    norm: factory of the norms.
    axis_name: the pmap axis for batch norm.
    dtype: compute dtype.

  Returns:
    The head.
  """
  return MLP(
    widths=tuple(widths),
    biases=(False,) * len(widths),
    norms=(norm,) * (len(widths) - 1) + (None,),
    axis_name=axis_name,
    dtype=dtype,
  )


def vicreg_expander(
  *,
  widths: tuple[int, ...] = (8192, 8192, 8192),
  norm: Factory = BatchNorm,
  axis_name: str | None = None,
  dtype: Any = jnp.float32,
) -> MLP:
  """The expander of VICReg (arXiv 2105.04906, section 4.2).

  Norm and ReLU after every layer but the last, biases in all but the last.

  Args:
    widths: of the layers.
    norm: factory of the norms.
    axis_name: the pmap axis for batch norm.
    dtype: compute dtype.

  Returns:
    The head.
  """
  hidden = len(widths) - 1
  return MLP(
    widths=tuple(widths),
    biases=(True,) * hidden + (False,),
    norms=(norm,) * hidden + (None,),
    axis_name=axis_name,
    dtype=dtype,
  )


def linear_head(*, out: int = 128, dtype: Any = jnp.float32) -> MLP:
  """One linear layer with bias: the head of MoCo v1 (arXiv 1911.05722) and of NPID.

  Args:
    out: width of the projection.
    dtype: compute dtype.

  Returns:
    The head.
  """
  return MLP(widths=(out,), biases=(True,), norms=(None,), dtype=dtype)


def moco_v3_projector(
  *,
  hidden: int = 4096,
  out: int = 256,
  layers: int = 3,
  norm: Factory = BatchNorm,
  axis_name: str | None = None,
  dtype: Any = jnp.float32,
) -> MLP:
  """The projector of MoCo v3 (arXiv 2104.02057, section 3 and the official code).

  No biases; every layer has a norm, the last one without scale and offset.

  Args:
    hidden: width of the hidden layers.
    out: width of the projection.
    layers: 3 for a ViT, 2 for a ResNet.
    norm: factory of the norms.
    axis_name: the pmap axis for batch norm.
    dtype: compute dtype.

  Returns:
    The head.

  Raises:
    InputError: fewer than 1 layer.
  """
  return simsiam_projector(
    hidden=hidden, out=out, layers=layers, norm=norm, axis_name=axis_name, dtype=dtype
  )


def moco_v3_predictor(
  *,
  hidden: int = 4096,
  out: int = 256,
  last_norm: bool = True,
  norm: Factory = BatchNorm,
  axis_name: str | None = None,
  dtype: Any = jnp.float32,
) -> MLP:
  """The predictor of MoCo v3: two layers without biases.

  Args:
    hidden: width of the hidden layer.
    out: width of the prediction, that of the projector.
    last_norm: whether a norm without scale and offset ends it: for a ViT, not for
      a ResNet.
    norm: factory of the norms.
    axis_name: the pmap axis for batch norm.
    dtype: compute dtype.

  Returns:
    The head.
  """
  last = partial(norm, use_scale=False, use_bias=False) if last_norm else None
  return MLP(
    widths=(hidden, out),
    biases=(False, False),
    norms=(norm, last),
    axis_name=axis_name,
    dtype=dtype,
  )


def nnclr_projector(
  *,
  hidden: int = 2048,
  out: int = 256,
  layers: int = 3,
  norm: Factory = BatchNorm,
  axis_name: str | None = None,
  dtype: Any = jnp.float32,
) -> MLP:
  """The projector of NNCLR (arXiv 2104.14548, section 4.1): a norm after each layer.

  Args:
    hidden: width of the hidden layers.
    out: width of the projection.
    layers: 3 in the paper, 2 for CIFAR-10 in solo-learn.
    norm: factory of the norms.
    axis_name: the pmap axis for batch norm.
    dtype: compute dtype.

  Returns:
    The head.

  Raises:
    InputError: fewer than 1 layer.
  """
  if layers < 1:
    raise InputError(f"An NNCLR projector needs at least 1 layer; got {layers}.")
  return MLP(
    widths=(hidden,) * (layers - 1) + (out,),
    biases=(False,) * layers,
    norms=(norm,) * layers,
    axis_name=axis_name,
    dtype=dtype,
  )


def nnclr_predictor(
  *,
  hidden: int = 4096,
  out: int = 256,
  norm: Factory = BatchNorm,
  axis_name: str | None = None,
  dtype: Any = jnp.float32,
) -> MLP:
  """The predictor of NNCLR: Linear, norm, ReLU, Linear with bias and without norm.

  Args:
    hidden: width of the hidden layer.
    out: width of the prediction, that of the projector.
    norm: factory of the norms.
    axis_name: the pmap axis for batch norm.
    dtype: compute dtype.

  Returns:
    The head.
  """
  return simsiam_predictor(
    hidden=hidden, out=out, norm=norm, axis_name=axis_name, dtype=dtype
  )


def swav_head(
  *,
  hidden: int = 2048,
  out: int = 128,
  norm: Factory = BatchNorm,
  axis_name: str | None = None,
  dtype: Any = jnp.float32,
) -> MLP:
  """The projector of SwAV and DeepCluster-v2 (arXiv 2006.09882, section 4).

  Linear, norm, ReLU, Linear, with biases, as in the official code. W-MSE (arXiv
  2007.06346: 1024 -> 64 for CIFAR-10) and ReSSL (arXiv 2107.09282: 4096 -> 512)
  have the same.

  Args:
    hidden: width of the hidden layer.
    out: width of the projection.
    norm: factory of the norms.
    axis_name: the pmap axis for batch norm.
    dtype: compute dtype.

  Returns:
    The head.
  """
  return MLP(
    widths=(hidden, out),
    biases=(True, True),
    norms=(norm, None),
    axis_name=axis_name,
    dtype=dtype,
  )


def dino_head(
  *,
  hidden: int = 2048,
  bottleneck: int = 256,
  layers: int = 3,
  norm: Factory | None = None,
  kernel_init: Callable = normal_init,
  axis_name: str | None = None,
  dtype: Any = jnp.float32,
) -> MLP:
  """The head of DINO up to its bottleneck (arXiv 2104.14294, appendix C).

  Linear layers with biases and exact GELU between. The method normalises the bottleneck
  and owns the last, weight-normalised layer of prototypes.

  The paper's normal of 0.02 suits its widths. In a head of 256 it leaves so small an
  output that the biases' first steps decide its direction, for all rows alike, and the
  run collapses: take `nn.initializers.lecun_normal()` there.

  Args:
    hidden: width of the hidden layers.
    bottleneck: width out.
    layers: number of layers.
    norm: of the hidden layers, the official code's `use_bn_in_head`; None: none, as in
      the paper. It takes away what all rows have in common, which is much of a small
      ViT's features.
    kernel_init: how kernels start.
    axis_name: the pmap axis for batch norm; None outside pmap.
    dtype: compute dtype.

  Returns:
    The head.

  Raises:
    InputError: fewer than 1 layer.
  """
  if layers < 1:
    raise InputError(f"A DINO head needs at least 1 layer; got {layers}.")
  return MLP(
    widths=(hidden,) * (layers - 1) + (bottleneck,),
    biases=(True,) * layers,
    norms=(norm,) * (layers - 1) + (None,),
    activation=exact_gelu,
    kernel_init=kernel_init,
    axis_name=axis_name,
    dtype=dtype,
  )
