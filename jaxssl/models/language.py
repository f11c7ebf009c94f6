"""Nets that tell tokens: the next one (GPT), hidden ones (RoBERTa), and BERT.

Each has the `encoder` that is kept, a `Transformer`.
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl.models.layers import normal_init
from jaxssl.models.transformer import TokenHead, Tokens, Transformer


class Asked(NamedTuple):
  """Texts, and the places of the tokens that are to be told.

  Attributes:
    tokens: ids int32 [batch, length], or `Tokens`.
    places: int32 [batch, asked].
  """

  tokens: jax.Array | Tokens
  places: jax.Array


class CausalNet(nn.Module):
  """Tells each next token by the embedding of the tokens.

  Attributes:
    encoder: `Transformer` with `causal=True`.
  """

  encoder: Transformer

  def __call__(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    """Maps ids [batch, length] to scores, float32 [batch, length, vocabulary]."""
    return self.encoder.logits(self.encoder.tokens(x, train=train, keys=keys))


class MaskedNet(nn.Module):
  """Tells hidden tokens; the others cost no scores.

  Attributes:
    encoder: `Transformer`.
    head: `TokenHead`.
  """

  encoder: Transformer
  head: TokenHead

  @nn.compact
  def __call__(self, x: Asked, *, train: bool, keys: jax.Array | None = None):
    """Maps `Asked` to scores of the tokens, float32 [batch, asked, vocabulary]."""
    hidden = self.encoder.tokens(x.tokens, train=train, keys=keys)
    return self._tell(hidden, x.places)

  def _tell(self, hidden, places):
    asked = jnp.take_along_axis(hidden, places[:, :, None], axis=1)
    return self.head(asked, self.encoder.logits)


class BertNet(MaskedNet):
  """`MaskedNet` that also tells from the first token whether segments belong together.

  See `MaskedNet` for the attributes.
  """

  @nn.compact
  def __call__(self, x: Asked, *, train: bool, keys: jax.Array | None = None):
    """Maps `Asked` to scores of the tokens, and scores of the pair [batch, 2]."""
    hidden = self.encoder.tokens(x.tokens, train=train, keys=keys)
    init = {"kernel_init": normal_init}
    first = nn.Dense(hidden.shape[-1], **init, name="pooler")(hidden[:, 0])
    pair = nn.Dense(2, **init, name="pair")(jnp.tanh(first))
    return self._tell(hidden, x.places), pair
