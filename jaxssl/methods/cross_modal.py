"""Cross-modal prediction: what does this clip sound like?"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl.core import Method
from jaxssl.data.sounding import frame_spectrum
from jaxssl.losses import squared_error
from jaxssl.methods.common import Extra
from jaxssl.models.siamese import apply, apply_still, draw_views, encode_alone, init
from jaxssl.ops import to_float


def cross_modal(net: nn.Module, views: Callable, *, rate: int) -> Method:
  """Predicts a clip's sound from its frames, as in arXiv 1512.08512 (Owens et al.).

  The target is the log-mel spectrum with a step for each frame; the loss is the squared
  error, the mean over steps and bands. The paper regresses to the features of a
  cochleagram with a recurrent net; the data here is small enough for the spectrum
  itself.

  Args:
    net: `models.SoundPredictor`.
    views: (key, example) -> (window,), `augment.window_views`.
    rate: samples a second.

  Returns:
    The method; its features are the clip encoder's. The sound is not looked at.
  """

  def asked(batch, keys):
    """Clips, spectra of their sound, and keys for the net."""
    (window,), keys = draw_views(views, keys, batch["input"])
    clip, wave = to_float(window.clip), window.waves[:, 0]
    return clip, frame_spectrum(wave, frames=clip.shape[1], rate=rate), keys

  def start(key, batch):
    keys = jax.random.split(key, jax.tree.leaves(batch["input"])[0].shape[0])
    clip = jax.eval_shape(lambda: asked(batch, keys)[0])
    params, stats = init(net, key, jnp.zeros(clip.shape, clip.dtype))
    return params, Extra(stats)

  def forward(params, extra, batch, keys, step):
    del step
    clip, target, net_keys = asked(batch, keys)
    spectrum, stats = apply(net, params, extra.stats, clip, net_keys)
    values = target.shape[1] * target.shape[2]
    return squared_error(spectrum, target) / values, Extra(stats)

  def objective(params, extra, error, step):
    del params, step
    return error.mean(), (extra, {})

  def show(params, extra, batch, keys):
    clip, target, _ = asked(batch, keys)
    spectrum = apply_still(net, params, extra.stats, clip)
    return {"spectrum of the sound | predicted from the clip": drawn(target, spectrum)}

  encode = encode_alone(net.encoder, lambda inputs: to_float(inputs.clip))
  return Method(start, forward, objective, encode, show=show)


def drawn(target: jax.Array, spectrum: jax.Array) -> jax.Array:
  """Spectra [batch, steps, bands] as images, low bands below; scaled by the target.

  Returns:
    [batch, 2, bands, steps, 1] in [0, 1].
  """
  low, high = (f(target, axis=(1, 2), keepdims=True) for f in (jnp.min, jnp.max))
  images = [(x - low) / jnp.maximum(high - low, 1e-6) for x in (target, spectrum)]
  images = [x.swapaxes(1, 2)[:, ::-1, :, None] for x in images]
  return jnp.clip(jnp.stack(images, axis=1), 0.0, 1.0)
