"""Autoregressive context over a grid of patch features, as in image CPC."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl.models.layers import he_init


class RowContext(nn.Module):
  """A masked convolutional net whose output sees its own row and those above.

  The PixelCNN-style context of CPC for images (arXiv 1807.03748, section 3.2):
  residual blocks of a 1x1 convolution, one over two rows (this and the one above) and
  three columns, and a 1x1 convolution.

  Attributes:
    width: channels of the context.
    blocks: residual blocks, each of which sees one row further up.
    dtype: compute dtype.
  """

  width: int = 256
  blocks: int = 5
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    """Maps features [batch, rows, columns, dim] to context of the same grid."""
    x = self._conv(self.width, (1, 1), "first")(x)
    for i in range(self.blocks):
      y = self._conv(self.width // 2, (1, 1), f"in{i}")(nn.relu(x))
      y = jnp.pad(nn.relu(y), ((0, 0), (1, 0), (1, 1), (0, 0)))
      y = self._conv(self.width // 2, (2, 3), f"rows{i}")(y)
      x = x + self._conv(self.width, (1, 1), f"out{i}")(nn.relu(y))
    return x.astype(jnp.float32)

  def _conv(self, width, kernel, name):
    return nn.Conv(
      width, kernel, padding="VALID", kernel_init=he_init, dtype=self.dtype, name=name
    )
