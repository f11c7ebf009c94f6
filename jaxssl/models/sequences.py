"""Heads over transformers: SimCSE's, and scores of items after a sequence of items."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl.models.layers import normal_init


class TanhHead(nn.Module):
  """A dense layer as wide as its input, and tanh: BERT's pooler, SimCSE's head.

  Attributes:
    dtype: compute dtype.
  """

  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    """Maps [..., width] to float32 of the same shape."""
    del train, keys
    dense = nn.Dense(x.shape[-1], kernel_init=normal_init, dtype=self.dtype)
    return jnp.tanh(dense(x)).astype(jnp.float32)


class ItemModel(nn.Module):
  """A transformer over items, and scores of items by its own embedding.

  Attributes:
    encoder: `Transformer`; id 0 is padding, 1 ... n are items.
    head: `TokenHead`, or None for products with the embedding alone.
  """

  encoder: nn.Module
  head: nn.Module | None = None

  def __call__(
    self, x: jax.Array, *, train: bool, keys: jax.Array | None = None
  ) -> jax.Array:
    """Maps items int [batch, length] to scores float32 [batch, length, vocabulary]."""
    hidden = self.encoder.tokens(x, train=train, keys=keys)
    if self.head is None:
      return self.encoder.logits(hidden)
    return self.head(hidden, self.encoder.logits)

  def compare(
    self,
    x: jax.Array,
    items: jax.Array,
    *,
    train: bool,
    keys: jax.Array | None = None,
  ) -> jax.Array:
    """Scores of a few items for each place, without the head.

    Args:
      x: items, int [batch, length].
      items: what to score, int [batch, length, some].
      train: whether to drop.
      keys: one per row.

    Returns:
      float32 [batch, length, some].
    """
    hidden = self.encoder.tokens(x, train=train, keys=keys)
    vectors = self.encoder.token(items).astype(jnp.float32)
    return jnp.einsum("bld,blsd->bls", hidden, vectors)
