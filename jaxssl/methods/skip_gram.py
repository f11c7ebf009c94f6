"""Skip-gram: the vector of a word near by tells the word in the middle."""

from collections.abc import Sequence
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl import losses
from jaxssl.core import Method
from jaxssl.methods.word_windows import (
  WordErrors,
  center_of,
  check_options,
  draw_window,
  word_method,
)
from jaxssl.ops import l2_normalize

NEIGHBOURS = 5  # shown of a word


def skip_gram(
  encoder: nn.Module,
  counts: Sequence[int],
  *,
  window: int = 5,
  negatives: int = 5,
  power: float = 0.75,
  output_init=nn.initializers.zeros,
) -> Method:
  """Skip-gram with negative sampling (Mikolov et al., arXiv 1310.4546, equation 4).

  As in the official code, the input vector of each word within a width drawn for the
  row tells the word in the middle from words drawn by counts^0.75; those that are the
  word itself are skipped. All pairs of a place share its noise, which saves most of the
  work (Ji et al., arXiv 1604.04661, section 3); the official code draws it for each
  pair. The loss sums over the pairs of a place in the text and
  averages over the places of the batch (equation 1). The official code steps by 0.025
  for each pair, one after another: plain SGD at `0.025 * batch` adds the same steps,
  all from one point, which frequent words bear in small batches only. Adagrad needs no
  such care and is what the experiments take.

  Args:
    encoder: `models.WordVectors`.
    counts: how often each id occurs, [words]; 0 for the padding, id 0.
    window: the widest; inputs are [batch, 2 * window + 1] words.
    negatives: words drawn as noise for each place.
    power: of the counts, in the noise.
    output_init: how the output vectors start; 0 in the official code.

  Returns:
    The method; `encode` gives the input vector of a word, of several their mean.

  Raises:
    InputError: for options below 1, or counts that don't fit the encoder.
  """
  check_options(window, negatives)
  draw = partial(draw_window, window=window, negatives=negatives)

  def errors(inputs, outputs, drawn):
    center, noise = outputs[drawn.center], outputs[drawn.negatives]
    one = lambda near: losses.skip_gram_negative_sampling(
      near, center, noise, drawn.counted
    )
    pairs = jax.vmap(one, in_axes=1, out_axes=1)(inputs[drawn.context])
    error = jnp.where(drawn.present, pairs, 0.0)
    count = jnp.sum(drawn.present, axis=1, dtype=jnp.float32)
    return WordErrors(jnp.sum(error, axis=1), count)

  return word_method(
    encoder,
    counts,
    draw=draw,
    errors=errors,
    power=power,
    output_init=output_init,
    show=_show_neighbours,
  )


def _show_neighbours(params, words):
  near = nearest_words(params["encoder"]["vectors"], center_of(words), k=NEIGHBOURS)
  column = jnp.concatenate([center_of(words)[:, None], near], axis=1)
  return {"a word | its nearest by cosine": column[:, :, None]}


def nearest_words(vectors: jax.Array, words: jax.Array, *, k: int) -> jax.Array:
  """The words whose vectors have the largest cosine with those of given words.

  Args:
    vectors: [words, dim]; row 0 is the padding, which is never near.
    words: int [batch].
    k: how many, below words - 1; fewer where there are fewer.

  Returns:
    int32 [batch, k], nearest first, without the word itself.
  """
  unit = l2_normalize(vectors)
  cosine = jnp.einsum("bd,vd->bv", unit[words], unit, precision="highest")
  ids = jnp.arange(len(vectors), dtype=words.dtype)[None]
  cosine = jnp.where((ids == words[:, None]) | (ids == 0), -jnp.inf, cosine)
  return jax.lax.top_k(cosine, min(k, len(vectors) - 2))[1].astype(jnp.int32)
