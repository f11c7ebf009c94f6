"""The product quantiser of wav2vec 2.0: a learned code from each of several books."""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl.errors import InputError
from jaxssl.ops.quantize import gumbel_one_hot

NOISE = 0x6E6F  # folded into a row's key


class Quantized(NamedTuple):
  """Vectors as codes.

  Attributes:
    vectors: the codes of all groups side by side, [batch, frames, width].
    logits: float32 [batch, frames, groups, codes].
  """

  vectors: jax.Array
  logits: jax.Array


class ProductQuantizer(nn.Module):
  """Picks a code of each group by Gumbel-softmax, hard, gradients straight through.

  Baevski et al., arXiv 2006.11477, section 2. In training the noise of a row is drawn
  from its key; else the likeliest codes are taken.

  Attributes:
    groups: code books.
    codes: in each.
    width: of the vectors; the groups share it.
    kernel_init: of the logits: a normal of 1 as in the official code.
  """

  groups: int = 2
  codes: int = 320
  width: int = 256
  kernel_init: Callable = nn.initializers.normal(1.0)

  @nn.compact
  def __call__(
    self,
    x: jax.Array,
    *,
    temperature: jax.Array | float,
    train: bool,
    keys: jax.Array | None = None,
  ) -> Quantized:
    """Quantises vectors.

    Args:
      x: [batch, frames, dim].
      temperature: of the Gumbel-softmax, above 0; for gradients only, since what comes
        out is hard.
      train: whether to add noise.
      keys: one per row.

    Returns:
      The vectors and their logits.

    Raises:
      InputError: if the groups don't share the width, or in training without keys.
    """
    if self.groups < 1 or self.width % self.groups:
      raise InputError(f"{self.groups} groups do not share a width of {self.width}.")
    dense = nn.Dense(self.groups * self.codes, kernel_init=self.kernel_init)
    logits = dense(x).astype(jnp.float32)
    logits = logits.reshape(*x.shape[:2], self.groups, self.codes)
    picked = gumbel_one_hot(self._noise(train, keys), logits, temperature=temperature)
    shape = (self.groups, self.codes, self.width // self.groups)
    book = self.param("book", nn.initializers.uniform(1.0), shape)
    vectors = jnp.einsum("btgv,gvd->btgd", picked, book)
    return Quantized(vectors.reshape(*x.shape[:2], self.width), logits)

  def _noise(self, train, keys):
    if not train or self.is_initializing():
      return None
    if keys is None:
      raise InputError("A ProductQuantizer in training needs keys, one per row.")
    return jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, NOISE)
