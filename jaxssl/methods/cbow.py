"""CBOW: the mean vector of the words around tells the word in the middle."""

from collections.abc import Sequence
from functools import partial

import flax.linen as nn
import jax.numpy as jnp

from jaxssl import losses
from jaxssl.core import Method
from jaxssl.methods.word_windows import (
  WordErrors,
  check_options,
  draw_window,
  word_method,
)


def cbow(
  encoder: nn.Module,
  counts: Sequence[int],
  *,
  window: int = 5,
  negatives: int = 5,
  power: float = 0.75,
  output_init=nn.initializers.zeros,
) -> Method:
  """Continuous bag of words (Mikolov et al., arXiv 1301.3781, section 3.1).

  The mean of the input vectors within a width drawn for the row tells the word in the
  middle from words drawn by counts^0.75 (arXiv 1310.4546). As in the official code
  each word around gets the whole gradient of the mean. One pair a place in the text;
  the loss averages over the places of the batch, see `skip_gram` for the learning
  rate, which is 0.05 in the official code.

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
    error = losses.cbow_negative_sampling(
      inputs[drawn.context],
      drawn.present,
      outputs[drawn.center],
      outputs[drawn.negatives],
      drawn.counted,
    )
    return WordErrors(error, jnp.any(drawn.present, axis=1).astype(jnp.float32))

  def show(params, words):
    middle = words.shape[1] // 2
    around = words.at[:, middle].set(0)
    vectors = jnp.where(
      (around > 0)[..., None], params["encoder"]["vectors"][around], 0
    )
    scores = jnp.einsum("bpd,vd->bv", vectors, params["output"], precision="highest")
    likeliest = 1 + jnp.argmax(scores[:, 1:], axis=1).astype(words.dtype)
    guessed = around.at[:, middle].set(likeliest)
    columns = jnp.stack([words, around, guessed], axis=1)
    return {"text | without its middle | likeliest middle": columns}

  return word_method(
    encoder,
    counts,
    draw=draw,
    errors=errors,
    power=power,
    output_init=output_init,
    show=show,
  )
