"""Masked spectrograms: Audio-MAE leaves out patches, Mockingjay alters frames."""

import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl.augment import random_mask
from jaxssl.augment.audio import alter_frames
from jaxssl.augment.spans import span_mask
from jaxssl.core import Method
from jaxssl.errors import InputError
from jaxssl.losses import (
  masked_absolute_error,
  masked_squared_error,
  patch_targets,
)
from jaxssl.methods.mae import kept_patches
from jaxssl.methods.pixels import check_ratio, grid_of, pixel_method
from jaxssl.models.audio import AlteredFrames
from jaxssl.models.masked import Visible
from jaxssl.models.predictor import first_true
from jaxssl.models.siamese import encode_alone
from jaxssl.ops.patches import cut_patches, join_patches, patch_grid, patch_moments
from jaxssl.ops.spectrogram import as_pictures


def masked_spectrogram(
  net: nn.Module,
  views: Callable,
  front: Callable,
  *,
  ratio: float = 0.8,
  normalize: bool = True,
) -> Method:
  """Audio-MAE (Huang et al., arXiv 2207.06405): MAE on the spectrograms of waves.

  Each spectrogram keeps floor((1 - ratio) * patches) of its patches, drawn for it
  alone; the loss is the mean squared error of the others, over the batch. The decoder
  of `models.MAE` attends to all patches; the paper's attends in shifted windows.

  Args:
    net: `models.MAE`, its ViT for images of one channel.
    views: (key, wave) -> waves, of which the first is used.
    front: waves [..., samples] -> images [..., frames, bands, 1]; `ops.LogMel`,
      fitted to the data, with `multiple` and `bands` multiples of the patch.
    ratio: share of the patches that is left out.
    normalize: whether the values to predict are standardised patch by patch.

  Returns:
    The method; `encode` has all patches, and is what the ViT pools.

  Raises:
    InputError: if `ratio` is not between 0 and 1; when the waves come, if the patches
      don't fill their spectrograms, or all of them or none would be left out.
  """
  check_ratio(ratio)
  patch = net.encoder.patch

  def hide(key, image):
    grid = grid_of(image, patch)
    mask = random_mask(key, grid=grid, ratio=ratio)
    index, _ = first_true(~mask, kept_patches(math.prod(grid), ratio))
    return Visible(image, mask, index)

  def compare(prediction, asked):
    target = patch_targets(asked.image, patch, normalize=normalize)
    return masked_squared_error(prediction, target, asked.mask)

  def draw(prediction, asked):
    patches, gaps = cut_patches(asked.image, patch), asked.mask[..., None]
    if normalize:
      mean, deviation = patch_moments(patches)
      prediction = prediction * deviation + mean
    grid = patch_grid(asked.image.shape, patch)
    seen = [
      patches,
      jnp.where(gaps, 0.0, patches),
      jnp.where(gaps, prediction, patches),
    ]
    return _columns([join_patches(x, patch=patch, grid=grid) for x in seen])

  spectra = _spectra(views, front)
  method = pixel_method(net, spectra, hide=hide, compare=compare, draw=draw)
  return method._replace(encode=encode_alone(net.encoder, prepare=front))


def mockingjay(
  net: nn.Module,
  views: Callable,
  front: Callable,
  *,
  share: float = 0.15,
  span: int = 7,
) -> Method:
  """Mockingjay (Liu et al., arXiv 1910.12638): tell masked frames, by L1.

  Spans of frames, a share of all, count; for each wave alone they are set to 0 (80 %),
  replaced by other spans of it (10 %) or left as they are (10 %). The share is exact
  here; in the official code spans may overlap.

  Args:
    net: `models.FrameTeller`.
    views: (key, wave) -> waves, of which the first is used.
    front: waves -> images, as for `masked_spectrogram`; fitted so that 0 is the mean.
    share: of the frames that count.
    span: frames in a row.

  Returns:
    The method; `encode` sees all frames, and pools their mean.

  Raises:
    InputError: if `share` is not between 0 and 1; when the waves come, if they are
      shorter than a span.
  """
  if not 0.0 < share < 1.0:
    raise InputError(f"share {share}; pass the share of frames, above 0 and below 1.")

  def hide(key, image):
    key_spans, key_change = jax.random.split(key)
    start = 1.0 - (1.0 - share) ** (1.0 / span)
    mask = span_mask(key_spans, frames=len(image), span=span, start=start).mask
    return AlteredFrames(alter_frames(key_change, image, mask), image, mask)

  def compare(prediction, asked):
    return masked_absolute_error(prediction, asked.target[..., 0], asked.mask)

  def draw(prediction, asked):
    gaps = asked.mask[:, :, None, None]
    rebuilt = jnp.where(gaps, prediction[..., None], asked.target)
    return _columns([asked.target, asked.image, rebuilt])

  spectra = _spectra(views, front)
  method = pixel_method(net, spectra, hide=hide, compare=compare, draw=draw)
  return method._replace(encode=encode_alone(net.encoder, prepare=front))


def _spectra(views, front):
  """`views` of which the first becomes an image."""
  return lambda key, wave: (front(views(key, wave)[0]),)


def _columns(images):
  """Pictures for `Method.show` of batches of spectrograms."""
  return {"original | seen | rebuilt": as_pictures(jnp.stack(images, axis=1))}
