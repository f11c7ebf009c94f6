"""What CLIP, SigLIP and LiT share: two towers and a loss on all pairs of a batch."""

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl.core import Method
from jaxssl.data.captions import Captioned
from jaxssl.errors import InputError, nearest
from jaxssl.methods.common import Extra
from jaxssl.models.siamese import apply, draw_views, encode_alone, init_on_views
from jaxssl.models.towers import MOST
from jaxssl.ops import l2_normalize, to_float

PyTree = Any
SIDES = ("image", "text")


def pair_method(net: nn.Module, views: Callable, *, contrast: Callable) -> Method:
  """Two towers learn which image and which caption belong together.

  `encode(params, extra, batch, *, patches=False, side=None)` gives the features of the
  image encoder; with `side` "image" or "text" the unit vectors [batch, dim] that are
  compared. `batch["input"]` is a `Captioned`; for a side, images alone or token ids
  [batch, length] alone do.

  Args:
    net: `TwoTowers` with an image encoder.
    views: (key, captioned example) -> one view (a tuple of one).
    contrast: (image, text, **scores) -> [batch], from projections [batch, dim] and
      what `scores` makes of the parameters.

  Returns:
    The method; its state is the net's batch statistics.
  """

  def init(key, batch):
    params, stats = init_on_views(net, key, views, batch)
    return params, Extra(stats)

  def forward(params, extra, batch, keys, step):
    del step
    (view,), net_keys = draw_views(views, keys, batch["input"])
    out, stats = apply(net, params, extra.stats, view, net_keys)
    return (out.image, out.text), Extra(stats)

  encode = with_sides(
    encode_alone(net.encoder, lambda x: x.image), project_image(net), project_text(net)
  )
  return Method(init, forward, pair_objective(contrast), encode, keep_scale)


def pair_objective(contrast: Callable) -> Callable:
  """Builds an `objective` from a loss on the projections of both sides."""

  def objective(params, extra, outputs, step):
    del step
    found = scores(params)
    return contrast(*outputs, **found).mean(), (extra, found)

  return objective


def scores(params: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
  """What turns cosines into logits: `logit_scale` and, where there is one, the bias."""
  found = {"logit_scale": jnp.exp(params["log_scale"])}
  return found | {n: params[n] for n in ("logit_bias",) if n in params}


def keep_scale(params: PyTree, extra: PyTree, step: jax.Array) -> tuple[PyTree, PyTree]:
  """Keeps the scale of the cosines at 100 or less, after the optimiser."""
  del step
  return {**params, "log_scale": jnp.minimum(params["log_scale"], MOST)}, extra


def with_sides(features: Callable, image: Callable, text: Callable) -> Callable:
  """Builds `encode` with the option `side` from its three parts.

  Args:
    features: (params, extra, batch, *, patches) -> features of the images.
    image: (params, extra, images) -> projections [batch, dim].
    text: (params, extra, token ids [batch, length]) -> projections [batch, dim].

  Returns:
    `encode`; see `pair_method`.
  """
  sides = dict(zip(SIDES, (image, text), strict=True))

  def encode(params, extra, batch, *, patches=False, side=None):
    if side is None:
      return features(params, extra, batch, patches=patches)
    if side not in sides:
      hint = nearest(str(side), SIDES)
      raise InputError(f"side is {side!r}.{hint} It can be: {', '.join(SIDES)}.")
    inputs = _one_side(batch["input"], side)
    return l2_normalize(sides[side](params, extra, to_float(inputs)))

  return encode


def _one_side(inputs, side):
  if not isinstance(inputs, Captioned):
    return inputs
  return inputs.image if side == "image" else inputs.text[:, 0]


def project_image(net: nn.Module) -> Callable:
  """(params, extra, images) -> their projections, with running statistics."""
  return lambda params, extra, x: _still(net, params, extra, x, "encode_image")[1]


def project_text(net: nn.Module) -> Callable:
  """(params, extra, token ids) -> their projections, with running statistics."""
  return lambda params, extra, x: _still(net, params, extra, x, "encode_text")


def _still(net, params, extra, x, method):
  return net.apply({"params": params, **extra.stats}, x, train=False, method=method)
