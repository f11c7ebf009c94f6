"""Nets that hear speech: encoders of CPC, wav2vec 2.0 and HuBERT, and their heads."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl.errors import InputError
from jaxssl.models.layers import LayerNorm, RowDropout
from jaxssl.models.wave import mean_of_own, own_frames

PyTree = Any


class MaskedWave(NamedTuple):
  """Waves of which the context net sees some frames only.

  Attributes:
    wave: [batch, samples].
    mask: bool [batch, frames]; True where a learned vector takes the frame's place.
  """

  wave: jax.Array
  mask: jax.Array


def pick_frames(frames: PyTree, index: jax.Array) -> PyTree:
  """Picks frames of each row: [batch, frames, ...] by [batch, picked], as many rows."""
  own = lambda x, places: x[places]
  return jax.tree.map(lambda x: jax.vmap(own)(x, index), frames)


class Heard(NamedTuple):
  """What a speech encoder makes of waves.

  Attributes:
    local: frames of the convolutions behind their norm, unmasked, [batch, frames, dim].
    context: [batch, frames, width].
    square: mean square of the frames before the norm, [batch].
    own: bool [batch, frames], False where a recording is padded; see `own_frames`.
  """

  local: jax.Array
  context: jax.Array
  square: jax.Array
  own: jax.Array


class SpeechEncoder(nn.Module):
  """Convolutions, masks, and a transformer: wav2vec 2.0 (arXiv 2006.11477) and HuBERT.

  Attributes:
    local: `WaveEncoder`.
    context: `FrameTransformer`.
    dropout: of the frames that enter the context net; needs `keys` in training.
    slowdown: factor of the gradient to the convolutions.
  """

  local: nn.Module
  context: nn.Module
  dropout: float = 0.0
  slowdown: float = 0.1

  def setup(self):
    """Makes the layers between the two."""
    self.norm = LayerNorm(epsilon=1e-5)
    self.inward = nn.Dense(self.context.width)
    self.drop = RowDropout(self.dropout)
    uniform = nn.initializers.uniform(1.0)
    self.mask_vector = self.param("mask_vector", uniform, (self.context.width,))

  def __call__(
    self, x: jax.Array | MaskedWave, *, train: bool, keys: jax.Array | None = None
  ) -> jax.Array:
    """Maps waves [batch, samples] to features, [batch, width]: the mean over frames."""
    heard = self.look(x, train=train, keys=keys)
    self.sow("intermediates", "patches", heard.context)
    return mean_of_own(heard.context, heard.own)

  def look(
    self,
    x: jax.Array | MaskedWave,
    *,
    train: bool,
    keys: jax.Array | None = None,
    layers: int | None = None,
  ) -> Heard:
    """Maps waves to frames.

    Args:
      x: [batch, samples], or a `MaskedWave`.
      train: whether to drop.
      keys: one per row, for the drops.
      layers: blocks of the context net to go through; None: all.

    Returns:
      The frames.

    Raises:
      InputError: if the mask isn't bool with an entry for each frame.
    """
    wave, mask = x if isinstance(x, MaskedWave) else (x, None)
    z = self.local(wave, train=train, keys=keys)
    z = z * self.slowdown + jax.lax.stop_gradient(z * (1.0 - self.slowdown))
    square = jnp.mean(jnp.square(z), axis=(1, 2))
    z = self.norm(z, train=train)
    h = self._hide(self.drop(self.inward(z), train=train, keys=keys), mask)
    own = own_frames(wave, z.shape[1])
    context = self.context(h, train=train, keys=keys, own=own, layers=layers)
    return Heard(z, context, square, own)

  def _hide(self, frames, mask):
    if mask is None:
      return frames
    if mask.shape != frames.shape[:2] or mask.dtype != jnp.bool_:
      raise InputError(
        f"The mask of these waves must be bool {frames.shape[:2]}, one entry per "
        f"frame; got {mask.dtype} {mask.shape}."
      )
    return jnp.where(mask[:, :, None], self.mask_vector[None, None], frames)


class CPCEncoder(nn.Module):
  """Convolutions and a recurrent net: CPC for audio (arXiv 1807.03748, 2002.02848).

  Attributes:
    local: `WaveEncoder`.
    context: `Recurrent`, or what is called alike and sees no frame ahead.
  """

  local: nn.Module
  context: nn.Module

  def __call__(
    self, x: jax.Array, *, train: bool, keys: jax.Array | None = None
  ) -> jax.Array:
    """Maps waves [batch, samples] to features, [batch, width]: the mean context."""
    heard = self.look(x, train=train, keys=keys)
    self.sow("intermediates", "patches", heard.context)
    return mean_of_own(heard.context, heard.own)

  def look(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None) -> Heard:
    """Maps waves to frames, without a norm of their own, and context."""
    z = self.local(x, train=train, keys=keys)
    square = jnp.mean(jnp.square(z), axis=(1, 2))
    context = self.context(z, train=train, keys=keys)
    return Heard(z, context, square, own_frames(x, z.shape[1]))


class Guess(NamedTuple):
  """What wav2vec 2.0 says of each frame.

  Attributes:
    predicted: from the context, [batch, frames, out].
    quantised: the frame's own codes, projected, [batch, frames, out].
    logits: of the codes, [batch, frames, groups, codes].
    own: bool [batch, frames], as in `Heard`.
    square: mean square of the convolutions' frames, [batch].
  """

  predicted: jax.Array
  quantised: jax.Array
  logits: jax.Array
  own: jax.Array
  square: jax.Array


class Wav2Vec2(nn.Module):
  """wav2vec 2.0: a speech encoder, its quantiser, and a projection of either.

  Attributes:
    encoder: `SpeechEncoder`.
    quantizer: `ProductQuantizer`.
    out: width of the projections, 256 in the base model.
    dropout: of the frames that are quantised; needs `keys` in training.
  """

  encoder: nn.Module
  quantizer: nn.Module
  out: int = 256
  dropout: float = 0.0

  @nn.compact
  def __call__(
    self,
    x: MaskedWave,
    *,
    temperature: jax.Array | float,
    train: bool,
    keys: jax.Array | None = None,
  ) -> Guess:
    """Maps waves to guesses for all frames; see `ProductQuantizer`."""
    frames = self.encoder.look(x, train=train, keys=keys)
    drop = RowDropout(self.dropout, name="drop")
    local = drop(frames.local, train=train, keys=keys)
    found = self.quantizer(local, temperature=temperature, train=train, keys=keys)
    predicted = nn.Dense(self.out, name="project_context")(frames.context)
    quantised = nn.Dense(self.out, name="project_codes")(found.vectors)
    return Guess(predicted, quantised, found.logits, frames.own, frames.square)


class Hubert(nn.Module):
  """HuBERT: a speech encoder, and a projection that clusters' codes are compared with.

  Attributes:
    encoder: `SpeechEncoder`.
    out: width of the projection, 256 in the base model.
  """

  encoder: nn.Module
  out: int = 256

  @nn.compact
  def __call__(
    self, x: MaskedWave, *, train: bool, keys: jax.Array | None = None
  ) -> Heard:
    """Maps waves to what the encoder heard, the context projected to `out`."""
    frames = self.encoder.look(x, train=train, keys=keys)
    projected = nn.Dense(self.out, name="project")(frames.context)
    return frames._replace(context=projected)
