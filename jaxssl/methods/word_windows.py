"""What skip-gram and CBOW share: a window, its words, and words drawn as noise."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxssl.core import Method
from jaxssl.errors import InputError
from jaxssl.methods.common import Extra
from jaxssl.models import siamese
from jaxssl.ops.sampling import draw_noise, noise_cdf

PyTree = Any


class Window(NamedTuple):
  """The words that one place in the text is trained on.

  Attributes:
    center: int32 [batch], the word in the middle.
    context: int32 [batch, 2 * window], the words around it; 0: none.
    present: bool [batch, 2 * window], which are within the width that was drawn.
    negatives: int32 [batch, negatives], words drawn as noise.
    counted: bool [batch, negatives], False where noise is the word in the middle.
  """

  center: jax.Array
  context: jax.Array
  present: jax.Array
  negatives: jax.Array
  counted: jax.Array


class WordErrors(NamedTuple):
  """The error of each place in the text.

  Attributes:
    error: [batch], summed over the pairs of a place.
    pairs: [batch], number of these.
  """

  error: jax.Array
  pairs: jax.Array


def word_method(
  encoder: nn.Module,
  counts: Sequence[int],
  *,
  draw: Callable,
  errors: Callable,
  power: float,
  output_init: Callable,
  show: Callable,
) -> Method:
  """A method that learns two vectors a word: one as input, one as output.

  Args:
    encoder: `models.WordVectors`; its table is the input vectors.
    counts: how often each id occurs, [words]; 0 for the padding, id 0.
    draw: (key, words [places], cdf) -> `Window` of one row, without rows.
    errors: (input vectors, output vectors, `Window`) -> `WordErrors`.
    power: of the counts, in the noise.
    output_init: how the output vectors start.
    show: (params, words [batch, places]) -> what `Method.show` returns.

  Returns:
    The method; its features are input vectors, of several words their mean.

  Raises:
    InputError: unless there is a count for each word of the encoder.
  """
  if len(counts) != encoder.words:
    raise InputError(
      f"There are {len(counts)} counts for {encoder.words} words; pass one for each."
    )
  cdf = noise_cdf(np.asarray(counts), power=power)

  def init(key, batch):
    key_in, key_out = jax.random.split(key)
    variables = encoder.init(key_in, batch["input"], train=True)
    output = output_init(key_out, (encoder.words, encoder.width), jnp.float32)
    return {"encoder": variables["params"], "output": output}, Extra({})

  def forward(params, extra, batch, keys, step):
    del step
    window = jax.vmap(draw, in_axes=(0, 0, None))(keys, batch["input"], cdf)
    return errors(params["encoder"]["vectors"], params["output"], window), extra

  def objective(params, extra, outputs, step):
    del params, step
    pairs = outputs.pairs.sum()
    metrics = {
      "pair_loss": outputs.error.sum() / jnp.maximum(pairs, 1.0),
      "pairs": pairs,
    }
    return outputs.error.mean(), (extra, metrics)

  def pictures(params, extra, batch, keys):
    del extra, keys
    return show(params, batch["input"])

  encode = siamese.encode_alone(encoder)
  return Method(init, forward, objective, encode, show=pictures)


def draw_window(
  key: jax.Array,
  words: jax.Array,
  cdf: jax.Array,
  *,
  window: int,
  negatives: int,
) -> Window:
  """Draws how wide the window of one place is, and noise.

  Args:
    key: PRNG key of the row.
    words: int32 [2 * window + 1], the middle one is the center.
    cdf: of the noise, from `ops.noise_cdf`.
    window: the widest; the width is uniform from 1 to it.
    negatives: words drawn as noise.

  Returns:
    The window of one row.

  Raises:
    InputError: for another number of words.
  """
  if words.shape != (2 * window + 1,):
    raise InputError(
      f"A window of {window} has {2 * window + 1} words, those of the data have "
      f"{words.shape[0]}; pass the same `window` to both."
    )
  key_width, key_noise = jax.random.split(key)
  width = jax.random.randint(key_width, (), 1, window + 1)
  around = np.delete(np.arange(2 * window + 1), window)
  center, context = words[window], words[around]
  present = (context > 0) & (jnp.asarray(abs(around - window)) <= width)
  noise = draw_noise(key_noise, cdf, (negatives,))
  return Window(center, context, present, noise, noise != center)


def check_options(window: int, negatives: int) -> None:
  """Raises InputError unless there is a window and noise to tell it from."""
  if window < 1 or negatives < 1:
    raise InputError(f"window={window} and negatives={negatives}; both are 1 or more.")


def center_of(words: jax.Array) -> jax.Array:
  """The words in the middle of windows, [batch]; [batch, places] -> int."""
  return words[:, words.shape[1] // 2]
