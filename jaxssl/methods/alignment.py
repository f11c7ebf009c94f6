"""Audio-video alignment: is this sound of the same time as this clip?"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl import losses
from jaxssl.core import Method
from jaxssl.errors import InputError
from jaxssl.methods.common import Extra
from jaxssl.models.siamese import apply, draw_views, encode_alone, init_on_views
from jaxssl.models.sounding import Sounded
from jaxssl.ops import l2_normalize


def alignment(
  net: nn.Module,
  views: Callable,
  *,
  hard: Callable,
  margin: float = 0.99,
) -> Method:
  """Audio-visual temporal synchronisation (Korbar et al., arXiv 1807.00230).

  A clip and its sound are a positive pair; a clip and the next row's sound an easy
  negative, a clip and a sound of its own video at another time a hard one. Half of the
  loss is of positives.

  Args:
    net: `models.SoundingNet`.
    views: (key, example) -> (window,), `augment.window_views` with shifted sounds.
    hard: step -> share of the negatives that is hard: 0 first and 0.25 from half of
      the run on in the paper.
    margin: distance from which negatives are left alone.

  Returns:
    The method; its features are the encoder's, of clip and sound.
  """

  def loss(out, step):
    together = jnp.ones(len(out.video), bool)
    compare = lambda y, same: losses.contrastive_margin(
      out.video, y, same, margin=margin
    )
    own, other = out.audio[:, 0], jnp.roll(out.audio[:, 0], 1, axis=0)
    shifts = [compare(out.audio[:, i], ~together) for i in range(1, out.audio.shape[1])]
    share = hard(step)
    apart = (1.0 - share) * compare(other, ~together) + share * jnp.stack(shifts).mean(
      0
    )
    return (compare(own, together) + apart).mean() / 2

  distance = lambda video, audio: jnp.sum(jnp.square(video[:, None] - audio), axis=2)
  return _method(net, views, loss, distance)


def alignment_info_nce(
  net: nn.Module, views: Callable, *, temperature: float = 0.07
) -> Method:
  """Alignment by InfoNCE: own sound against those of the batch and its own shifted.

  In place of the margin of `alignment` (arXiv 1807.00230), the softmax of CPC (arXiv
  1807.03748, equation 4).

  Args:
    net: `models.SoundingNet`.
    views: (key, example) -> (window,), `augment.window_views` with shifted sounds.
    temperature: divides the cosines.

  Returns:
    The method; its features are the encoder's, of clip and sound.
  """

  def loss(out, step):
    del step
    return losses.alignment_nce(out.video, out.audio, temperature=temperature).mean()

  def distance(video, audio):
    return -jnp.einsum("bd,bsd->bs", l2_normalize(video), l2_normalize(audio))

  return _method(net, views, loss, distance)


def _method(net, views, loss, distance):
  def init(key, batch):
    params, stats = init_on_views(net, key, views, batch)
    return params, Extra(stats)

  def forward(params, extra, batch, keys, step):
    del step
    (window,), net_keys = draw_views(views, keys, batch["input"])
    if window.waves.shape[1] < 2:
      raise InputError("Alignment needs shifted sounds: window_views(shifted=1).")
    out, stats = apply(net, params, extra.stats, window, net_keys)
    return out, Extra(stats)

  def objective(params, extra, out, step):
    del params
    return loss(out, step), (extra, {"pretext_accuracy": accuracy(out, distance)})

  return Method(init, forward, objective, encode_alone(net.encoder))


def accuracy(out: Sounded, distance: Callable) -> jax.Array:
  """Share of the shifted sounds that are farther from the clip than its own sound.

  Args:
    out: what the net makes of windows.
    distance: (video [batch, dim], audio [batch, sounds, dim]) -> [batch, sounds].
  """
  apart = distance(out.video, out.audio)
  return jnp.mean(apart[:, 1:] > apart[:, :1], dtype=jnp.float32)
