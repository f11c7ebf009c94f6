"""Fully connected layers in a row: heads of methods, and encoders of tables."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl.errors import InputError
from jaxssl.models.layers import Factory, torch_linear_init


class MLP(nn.Module):
  """Dense layers over the last axis, each with its own bias and norm.

  A layer is Dense, norm, activation; the last one has no activation. Whatever the
  compute dtype is, the result is float32.

  Attributes:
    widths: of the layers; None stands for the width of the input.
    biases: whether each Dense layer has a bias.
    norms: the norm factory of each layer (`layers.BatchNorm`), or None.
    activation: between the layers.
    kernel_init: how kernels start (biases start at 0).
    axis_name: the pmap axis for batch norm; None outside pmap.
    dtype: compute dtype; parameters are float32.
  """

  widths: tuple[int | None, ...]
  biases: tuple[bool, ...]
  norms: tuple[Factory | None, ...]
  activation: Callable = nn.relu
  kernel_init: Callable = torch_linear_init
  axis_name: str | None = None
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    self._check()
    width_in, last = x.shape[-1], len(self.widths) - 1
    for i, width in enumerate(self.widths):
      x = self._dense(i, width_in if width is None else width)(x)
      if self.norms[i] is not None:
        x = self._norm(i)(x, train=train)
      x = x if i == last else self.activation(x)
    return x.astype(jnp.float32)

  def _check(self):
    lengths = (len(self.widths), len(self.biases), len(self.norms))
    if len(set(lengths)) != 1:
      raise InputError(
        f"An MLP needs one width, bias and norm per layer; got {lengths} of them."
      )

  def _dense(self, i, width):
    return nn.Dense(
      width,
      use_bias=self.biases[i],
      kernel_init=self.kernel_init,
      dtype=self.dtype,
      name=f"dense{i}",
    )

  def _norm(self, i):
    return self.norms[i](axis_name=self.axis_name, dtype=self.dtype, name=f"norm{i}")
