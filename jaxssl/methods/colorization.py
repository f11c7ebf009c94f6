"""Colorization: tell the colours of an image from its lightness."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.lax import stop_gradient

from jaxssl import losses
from jaxssl.core import Method
from jaxssl.errors import InputError
from jaxssl.methods.common import Extra
from jaxssl.models.siamese import (
  apply,
  apply_still,
  draw_views,
  encode_alone,
  init_on_views,
)
from jaxssl.ops.gamut import GREY, ab_bins, annealed_mean, soft_bins
from jaxssl.ops.lab import lab_to_srgb, lightness, srgb_to_lab
from jaxssl.ops.numerics import to_float

PyTree = Any
AB_SCALE = 110.0


class ColorExtra(NamedTuple):
  """State of colorization beside the parameters.

  Attributes:
    stats: the net's batch statistics.
    weights: [313], of the bins; never change.
  """

  stats: PyTree
  weights: jax.Array


class ColorOutputs(NamedTuple):
  """The error of each example.

  Attributes:
    error: [batch], mean over the positions; 0 for images without colour.
    plain: [batch], the same without weights of the bins.
    count: [batch], 1 for images with colour, 0 for those without.
  """

  error: jax.Array
  plain: jax.Array
  count: jax.Array


def colorization(
  net: nn.Module,
  views: Callable,
  *,
  weights: np.ndarray,
  nearest: int = 10,
  sigma: float = 5.0,
  temperature: float = 0.38,
) -> Method:
  """Colorization as classification (Zhang et al., arXiv 1603.08511, section 2).

  The net sees the lightness of L*a*b* and gives, on a grid as coarse as it likes,
  logits of 313 colours. The target is the colour of every n-th pixel (no mean), spread
  over its nearest bins; the cross-entropy is weighted by the nearest bin's weight. The
  loss is the mean over positions, then over the images that have any colour: |a| or
  |b| above 5 somewhere on the grid.

  Args:
    net: `Restorer`; (L - 50) / 50, [batch, height, width, 1], -> [batch, rows,
      columns, 313], of which rows and columns divide height and width.
    views: (key, example) -> inputs, of which the first is used, in colour.
    weights: of the bins, [313]: `ops.rebalancing(ops.color_prior(images))`; ones for
      no rebalancing.
    nearest: bins that share a colour: 10 in the second release, 5 in the paper.
    sigma: of the Gaussian that shares them out, in units of a and b.
    temperature: of the annealed mean that makes colours in `show`; not in training.

  Returns:
    The method; `encode` is the encoder on the lightness, of grey images too.

  Raises:
    InputError: for weights that are not 313 numbers of 0 or more; when traced, for
      images that are not in colour.
  """
  weights = _checked_weights(weights)

  def init(key, batch):
    params, stats = init_on_views(net, key, puzzle, batch)
    return params, ColorExtra(stats, jnp.array(weights))

  def error(extra, logits, ab):
    _check_width(logits, len(weights), "logits of 313 bins")
    target = soft_bins(ab, nearest=nearest, sigma=sigma)
    plain = losses.color_cross_entropy(logits, target)
    weight = jnp.take(stop_gradient(extra.weights), target.index[..., 0])
    return weight * plain, plain

  def colors(logits):
    return annealed_mean(logits, temperature=temperature)

  puzzle = _puzzle(views)
  return _method(net, puzzle, init=init, error=error, colors=colors)


def colorization_regression(
  net: nn.Module, views: Callable, *, delta: float = 1.0
) -> Method:
  """Colorization as regression of a and b (arXiv 1603.08511, equation 1).

  As `colorization`, but the net gives a / 110 and b / 110 and the error is Huber's,
  mean over both: quadratic below `delta`, which at 1 is nearly everywhere. The paper
  finds its colours dull, as the mean of what is likely is.

  Args:
    net: `Restorer`; (L - 50) / 50, [batch, height, width, 1], -> [batch, rows,
      columns, 2], of which rows and columns divide height and width.
    views: (key, example) -> inputs, of which the first is used, in colour.
    delta: where the error turns from a square into a line, in units of 110.

  Returns:
    The method; `encode` is the encoder on the lightness, of grey images too.

  Raises:
    InputError: if `delta` isn't positive; when traced, for images not in colour.
  """
  if delta <= 0:
    raise InputError(f"delta is {delta}; pass a number above 0.")

  def init(key, batch):
    params, stats = init_on_views(net, key, puzzle, batch)
    return params, Extra(stats)

  def error(extra, predicted, ab):
    del extra
    _check_width(predicted, 2, "a and b")
    rows = delta * losses.smooth_l1(predicted, ab / AB_SCALE, beta=delta)
    return rows, rows

  def colors(predicted):
    return AB_SCALE * predicted

  puzzle = _puzzle(views)
  return _method(net, puzzle, init=init, error=error, colors=colors)


def _method(net, puzzle, *, init, error, colors):
  """What both variants share: `error` and `colors` say what the net's output means."""

  def forward(params, extra, batch, keys, step):
    del step
    (grey, ab), net_keys = draw_views(puzzle, keys, batch["input"])
    predicted, stats = apply(net, params, extra.stats, grey, net_keys)
    wanted = stop_gradient(_on_grid(ab, predicted))
    count = jnp.any(jnp.abs(wanted) > GREY, axis=(1, 2, 3)).astype(jnp.float32)
    rows = [count * e.mean((1, 2)) for e in error(extra, predicted, wanted)]
    return ColorOutputs(*rows, count), extra._replace(stats=stats)

  def objective(params, extra, outputs, step):
    del params, step
    count = jnp.maximum(outputs.count.sum(), 1.0)
    metrics = {
      "unweighted": outputs.plain.sum() / count,
      "in_color": outputs.count.mean(),
    }
    return outputs.error.sum() / count, (extra, metrics)

  def show(params, extra, batch, keys):
    (grey, ab), _ = draw_views(puzzle, keys, batch["input"])
    made = colors(apply_still(net, params, extra.stats, grey))
    columns = [_rgb(grey, x) for x in (jnp.zeros_like(ab), _as_fine(made, ab), ab)]
    name = "grey | coloured by the net | original"
    return {name: jnp.stack(columns, axis=1)}

  encode = encode_alone(net.encoder, _scaled_lightness)
  return Method(init, forward, objective, encode, show=show)


def _puzzle(views):
  """(key, example) -> scaled lightness [height, width, 1], a and b [..., 2]."""

  def puzzle(key, example):
    image = to_float(views(key, example)[0])
    if image.ndim != 3 or image.shape[-1] != 3:
      raise InputError(
        f"Colorization needs colour images [height, width, 3]; got {image.shape}. Grey "
        "images have no colour to predict."
      )
    lab = srgb_to_lab(image)
    return lab[..., :1] / 50 - 1, lab[..., 1:]

  return puzzle


def _scaled_lightness(image):
  return lightness(image) / 50 - 1


def _on_grid(ab, predicted):
  """The colours of every n-th pixel, as many as the net predicts."""
  steps = [whole // part for whole, part in zip(ab.shape, predicted.shape, strict=True)]
  down, across = steps[1:3]
  found = ab[:, ::down, ::across] if down and across else ab
  if found.shape[:3] != predicted.shape[:3] or ab.shape[1] % down:
    raise InputError(
      f"The net predicts {predicted.shape[1:3]} positions of images of "
      f"{ab.shape[1:3]}; they must divide the pixels."
    )
  return found


def _as_fine(made, ab):
  """Interpolates what `_on_grid` took from every n-th pixel to all of them."""
  scale = jnp.asarray(ab.shape[1:3], jnp.float32) / np.float32(made.shape[1:3])
  shift = (1 - scale) / 2  # the first value is that of the first pixel
  return jax.image.scale_and_translate(
    made, ab.shape, (1, 2), scale, shift, "linear", antialias=False
  )


def _rgb(grey, ab):
  return lab_to_srgb(jnp.concatenate([50 * (grey + 1), ab], axis=-1))


def _check_width(predicted, width, what):
  if predicted.shape[-1] != width:
    raise InputError(
      f"The net gives {predicted.shape[-1]} channels; it needs {width}: {what}."
    )


def _checked_weights(weights):
  weights = np.asarray(weights, np.float32)
  bins = len(ab_bins())
  if weights.shape != (bins,) or not (np.isfinite(weights) & (weights >= 0)).all():
    raise InputError(
      f"weights must be {bins} finite numbers of 0 or more, one per bin; got shape "
      f"{weights.shape}."
    )
  return weights
