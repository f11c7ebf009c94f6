"""Masked spectrograms: Audio-MAE leaves out patches, Mockingjay alters frames."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl.augment.audio import alter_frames
from jaxssl.augment.spans import span_mask
from jaxssl.core import Method
from jaxssl.errors import InputError
from jaxssl.losses import masked_absolute_error
from jaxssl.methods.mae import mae
from jaxssl.methods.pixels import pixel_method
from jaxssl.models.audio import AlteredFrames
from jaxssl.models.siamese import encode_alone
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
  method = mae(net, _spectra(views, front), ratio=ratio, normalize=normalize)
  return _hearing(method, net.encoder, front)


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
    front: waves -> images, as for `masked_spectrogram`; fitted so that 0 is quiet.
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
    columns = jnp.stack([asked.target, asked.image, rebuilt], axis=1)
    return {"original | seen | rebuilt": jnp.clip(columns, 0.0, 1.0)}

  spectra = _spectra(views, front)
  method = pixel_method(net, spectra, hide=hide, compare=compare, draw=draw)
  return _hearing(method, net.encoder, front)


def _spectra(views, front):
  """`views` of which the first becomes an image."""
  return lambda key, wave: (front(views(key, wave)[0]),)


def _hearing(method, encoder, front):
  """A method on images as one on waves: features of waves, pictures upright."""

  def show(params, extra, batch, keys):
    shown = method.show(params, extra, batch, keys)
    return {name: as_pictures(images) for name, images in shown.items()}

  return method._replace(encode=encode_alone(encoder, prepare=front), show=show)
