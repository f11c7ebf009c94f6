"""A table of word vectors as an encoder."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl.errors import InputError


def word_init(key: jax.Array, shape: tuple[int, ...], dtype=jnp.float32) -> jax.Array:
  """How word2vec's vectors start: uniform from -0.5 / dim to 0.5 / dim.

  Args:
    key: PRNG key.
    shape: [words, dim].
    dtype: of the result.
  """
  return jax.random.uniform(key, shape, dtype, minval=-0.5, maxval=0.5) / shape[-1]


class WordVectors(nn.Module):
  """One vector a word; of several words their mean. Word 0 is none: padding.

  Attributes:
    words: number of ids, the padding's included.
    width: of the vectors.
    vector_init: how they start.
  """

  words: int
  width: int
  vector_init: Callable = word_init

  @nn.compact
  def __call__(
    self, x: jax.Array, *, train: bool, keys: jax.Array | None = None
  ) -> jax.Array:
    """Maps words int [batch, places] to float32 [batch, width], 0 without any word.

    The vector of each place, 0 where there is no word, is sown as "patches".
    """
    del train, keys
    if x.ndim != 2 or not jnp.issubdtype(x.dtype, jnp.integer):
      raise InputError(
        f"Words must be integers [batch, places]; got {x.dtype} {list(x.shape)}."
      )
    vectors = self.param("vectors", self.vector_init, (self.words, self.width))
    there = x > 0
    each = jnp.where(there[..., None], vectors[x], 0.0)
    self.sow("intermediates", "patches", each)
    count = jnp.sum(there, axis=1, dtype=jnp.float32)[:, None]
    return jnp.sum(each, axis=1) / jnp.maximum(count, 1.0)
