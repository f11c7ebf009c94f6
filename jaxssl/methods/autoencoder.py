"""Autoencoders: rebuild the input from its features, also from a corrupted input."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl import losses
from jaxssl.augment.views import as_it_is
from jaxssl.core import Method
from jaxssl.methods.common import Extra
from jaxssl.methods.pictures import side_by_side
from jaxssl.models.siamese import (
  apply,
  apply_still,
  draw_views,
  encode_alone,
  fold_in_rows,
  init_on_views,
)
from jaxssl.ops import to_float


class Pixels(NamedTuple):
  """What the numbers that a decoder puts out mean.

  Attributes:
    error: (output, image) -> [batch], summed over the pixels of each example.
    image: output -> image.
  """

  error: Callable
  image: Callable


# The output is the image; the error is the squared distance, arXiv 2003.05991.
SQUARED = Pixels(losses.squared_error, lambda output: output)

# The output is the logit of each pixel, for images that are nearly black and white.
BERNOULLI = Pixels(losses.bernoulli_reconstruction, jax.nn.sigmoid)


def gaussian_pixels(deviation: float) -> Pixels:
  """The output is the mean of a Gaussian with the given deviation, above 0."""
  error = partial(losses.gaussian_reconstruction, deviation=deviation)
  return Pixels(error, lambda output: output)


def autoencoder(net: nn.Module, views: Callable, *, pixels: Pixels = SQUARED) -> Method:
  """An autoencoder: what it rebuilds of a view is compared with that view.

  The error is summed over the pixels of an example and averaged over the batch; a
  learning rate for a mean over pixels is larger by their number (Adam's is the same).

  Args:
    net: `AutoEncoder`, or `Restorer` with a `MapDecoder`.
    views: (key, example) -> inputs, of which the first is used.
    pixels: what the decoder's output means.

  Returns:
    The method; its features are the encoder's.
  """
  return _rebuild(net, views, as_it_is, pixels, _show_rebuilt)


def denoising(
  net: nn.Module, views: Callable, *, corruption: Callable, pixels: Pixels = SQUARED
) -> Method:
  """A denoising autoencoder (Vincent et al. 2010, JMLR 11, section 3).

  The net sees a corrupted view; the target is the clean one. The reduction is that of
  `autoencoder`: a sum over pixels, a mean over the batch.

  Args:
    net: `AutoEncoder`, or `Restorer` with a `MapDecoder`.
    views: (key, example) -> inputs, of which the first is used.
    corruption: (key, image) -> corrupted image; `augment.corruption(name, amount=a)`.
    pixels: what the decoder's output means.

  Returns:
    The method; its features are the encoder's, of the clean input.
  """
  return _rebuild(net, views, corruption, pixels, _show_denoised)


def _rebuild(net, views, corrupt, pixels, show):
  def init(key, batch):
    params, stats = init_on_views(net, key, views, batch)
    return params, Extra(stats)

  def seen(batch, keys):
    """The clean view, the corrupted one, and keys for the net."""
    crops, keys = draw_views(views, keys, batch["input"])
    clean = to_float(crops[0])
    corrupted = jax.vmap(corrupt)(fold_in_rows(keys, 1), clean)
    return clean, corrupted, fold_in_rows(keys, 0)

  def forward(params, extra, batch, keys, step):
    del step
    clean, corrupted, net_keys = seen(batch, keys)
    output, stats = apply(net, params, extra.stats, corrupted, net_keys)
    return pixels.error(output, clean), Extra(stats)

  def objective(params, extra, error, step):
    del params, step
    return jnp.mean(error), (extra, {})

  def pictures(params, extra, batch, keys):
    clean, corrupted, _ = seen(batch, keys)
    rebuilt = pixels.image(apply_still(net, params, extra.stats, corrupted))
    return show(clean, corrupted, rebuilt)

  encode = encode_alone(net.encoder)
  return Method(init, forward, objective, encode, show=pictures)


def _show_rebuilt(clean, corrupted, rebuilt):
  del corrupted
  return {"original | rebuilt": side_by_side(clean, rebuilt)}


def _show_denoised(*images):
  return {"original | corrupted | rebuilt": side_by_side(*images)}
