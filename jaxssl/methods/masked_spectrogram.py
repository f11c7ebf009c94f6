"""Masked spectrograms: Audio-MAE leaves out patches, Mockingjay alters frames.

The zeros behind a recording that is shorter than the others are not asked for, and
features don't average over them.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl.augment.audio import alter_frames
from jaxssl.augment.spans import span_mask_of
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
from jaxssl.models.predictor import first_true
from jaxssl.models.siamese import encode_alone
from jaxssl.models.wave import mean_of_own, own_frames
from jaxssl.ops.patches import cut_patches, join_patches, patch_grid, patch_moments
from jaxssl.ops.spectrogram import as_pictures


class Spectrum(NamedTuple):
  """A spectrogram, and what of it was recorded.

  Attributes:
    image: [frames, bands, 1].
    own: bool [frames], False where the recording is padded.
  """

  image: jax.Array
  own: jax.Array


class VisibleSound(NamedTuple):
  """What `models.Visible` holds, of spectrograms, and which patches were recorded.

  Attributes:
    image: [batch, frames, bands, 1].
    mask: bool [batch, patches], True where a patch is left out.
    index: int32 [batch, kept], the places of the others, in rising order.
    own: bool [batch, patches], False where the recording is padded.
  """

  image: jax.Array
  mask: jax.Array
  index: jax.Array
  own: jax.Array


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
  alone, and the same share of those that hold sound; the loss is the mean squared error
  of the others of these, over the batch. The decoder
  of `models.MAE` attends to all patches; the paper's attends in shifted windows.

  Args:
    net: `models.MAE`, its ViT for images of one channel.
    views: (key, wave) -> waves, of which the first is used.
    front: waves [..., samples] -> images [..., frames, bands, 1]; `ops.LogMel`,
      fitted to the data, with `multiple` and `bands` multiples of the patch.
    ratio: share of the patches that is left out.
    normalize: whether the values to predict are standardised patch by patch.

  Returns:
    The method; `encode` has all patches, and is the class token, or where there is none
    the mean of the patches that hold sound.

  Raises:
    InputError: if `ratio` is not between 0 and 1; when the waves come, if the patches
      don't fill their spectrograms, or all of them or none would be left out.
  """
  check_ratio(ratio)
  patch = net.encoder.patch

  def hide(key, spectrum):
    grid = grid_of(spectrum.image, patch)
    own = _own_patches(spectrum.own, patch, grid[1])
    kept = kept_patches(math.prod(grid), ratio)
    mask = _mask_of(key, own, ratio=ratio)
    return VisibleSound(spectrum.image, mask, first_true(~mask, kept)[0], own)

  def compare(prediction, asked):
    target = patch_targets(asked.image, patch, normalize=normalize)
    return masked_squared_error(prediction, target, asked.mask & asked.own)

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
  if net.encoder.class_token:
    return method._replace(encode=encode_alone(net.encoder, prepare=front))
  return method._replace(encode=_encode_own(net.encoder, front, patch))


def mockingjay(
  net: nn.Module,
  views: Callable,
  front: Callable,
  *,
  share: float = 0.15,
  span: int = 7,
) -> Method:
  """Mockingjay (Liu et al., arXiv 1910.12638): tell masked frames, by L1.

  Spans of frames, a share of those that hold sound, count; for each wave alone they are
  set to 0 (80 %), replaced by other spans of it (10 %) or left as they are (10 %). The
  share is exact here; in the official code spans may overlap.

  Args:
    net: `models.FrameTeller`.
    views: (key, wave) -> waves, of which the first is used.
    front: waves -> images, as for `masked_spectrogram`; fitted so that 0 is the mean.
    share: of the frames that count.
    span: frames in a row.

  Returns:
    The method; `encode` sees all frames; it is the mean of those that hold sound.

  Raises:
    InputError: if `share` is not between 0 and 1; when the waves come, if they are
      shorter than a span.
  """
  if not 0.0 < share < 1.0:
    raise InputError(f"share {share}; pass the share of frames, above 0 and below 1.")

  def hide(key, spectrum):
    image, own = spectrum
    key_spans, key_change = jax.random.split(key)
    start = 1.0 - (1.0 - share) ** (1.0 / span)
    mask = span_mask_of(key_spans, own, span=span, start=start)
    return AlteredFrames(alter_frames(key_change, image, mask, own=own), image, mask)

  def compare(prediction, asked):
    return masked_absolute_error(prediction, asked.target[..., 0], asked.mask)

  def draw(prediction, asked):
    gaps = asked.mask[:, :, None, None]
    rebuilt = jnp.where(gaps, prediction[..., None], asked.target)
    return _columns([asked.target, asked.image, rebuilt])

  spectra = _spectra(views, front)
  method = pixel_method(net, spectra, hide=hide, compare=compare, draw=draw)
  return method._replace(encode=_encode_own(net.encoder, front, 1))


def _spectra(views, front):
  """`views` of which the first becomes a `Spectrum`."""

  def view(key, wave):
    heard = views(key, wave)[0]
    image = front(heard)
    return (Spectrum(image, own_frames(heard[None], len(image))[0]),)

  return view


def _own_patches(own, patch, columns):
  """Which patches, time by time, hold own frames: [..., frames] -> [..., patches]."""
  rows = own.reshape(*own.shape[:-1], -1, patch).any(axis=-1)
  return jnp.repeat(rows, columns, axis=-1)


def _mask_of(key, own, *, ratio):
  """`augment.random_mask` of own patches and of the others, each by the same ratio.

  One or more of the own ones stay. As many are masked in all, whichever are own.
  """
  patches = len(own)
  counts = [math.ceil(round(ratio * n, 6)) for n in range(patches + 1)]
  least = [max(0, min(count, n - 1)) for n, count in enumerate(counts)]
  masked, there = jnp.asarray(least)[own.sum()], own.sum()
  order = jax.random.permutation(key, patches)
  rank = jnp.argsort(jnp.argsort(jnp.where(own, order, order + patches)))
  return jnp.where(own, rank < masked, rank - there < counts[-1] - masked)


def _encode_own(encoder, front, patch):
  """`encode` that is the mean of the patches that hold sound."""
  whole = encode_alone(encoder, prepare=front)

  def encode(params, extra, batch, *, patches=False):
    found, wave = whole(params, extra, batch, patches=True), batch["input"]
    if patches:
      return found
    frames = jax.eval_shape(front, wave).shape[1]
    own = own_frames(wave, frames)
    return mean_of_own(
      found, _own_patches(own, patch, found.shape[1] * patch // frames)
    )

  return encode


def _columns(images):
  """Pictures for `Method.show` of batches of spectrograms."""
  return {"original | seen | rebuilt": as_pictures(jnp.stack(images, axis=1))}
