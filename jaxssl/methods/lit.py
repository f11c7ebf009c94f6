"""LiT: a text tower learns to read a locked image encoder."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.lax import stop_gradient

from jaxssl import losses
from jaxssl.core import Method
from jaxssl.data.captions import Captioned
from jaxssl.errors import InputError
from jaxssl.methods.pairs import keep_scale, pair_objective, project_text, with_sides
from jaxssl.methods.seed import Teacher
from jaxssl.models import siamese

PyTree = Any


class LitExtra(NamedTuple):
  """State of LiT beside the parameters.

  Attributes:
    stats: the text tower's batch statistics, if any.
    teacher: the locked image encoder's variables, which never change.
  """

  stats: PyTree
  teacher: PyTree


def lit(
  net: nn.Module,
  views: Callable,
  teacher: Teacher,
  *,
  contrast: Callable = losses.clip,
  block_size: int | None = None,
) -> Method:
  """LiT (Zhai et al., arXiv 2111.07991, section 3; the form "Lu").

  The image encoder is trained before, by any method, and never changes: captions learn
  to lie where it puts their images. There is no projection on the image's side. What
  is new after training are the sentences, not the images' features.

  Args:
    net: `TwoTowers(None, text)`, the text tower as wide as the teacher's features.
    views: (key, captioned example) -> one view, as `augment.captioned_view` makes it
      (a tuple of one).
    teacher: any image encoder, as `Teacher(*jaxssl.load(run))`.
    contrast: the loss: `losses.clip`, or `losses.siglip` for a net with a bias; or one
      of their ring forms.
    block_size: columns of the similarity matrix held at a time; None holds all.

  Returns:
    The method; see `methods.pairs.pair_method` for its `encode`; the features of
    images are the teacher's.

  Raises:
    InputError: if the net has an image encoder of its own; in `init`, if the widths
      differ.
  """
  if net.encoder is not None:
    raise InputError("LiT's image encoder is the teacher; pass TwoTowers(None, text).")

  def seen(extra, batch, keys):
    """A view whose image is its features, and keys for the net."""
    (view,), keys = siamese.draw_views(views, keys, batch["input"])
    features = teacher.encode(stop_gradient(extra.teacher), view.image)
    return view._replace(image=stop_gradient(features)), keys

  def init(key, batch):
    extra = LitExtra({}, jax.tree.map(jnp.array, teacher.variables))
    keys = siamese._keys_for(key, batch)
    shapes, _ = jax.eval_shape(seen, extra, batch, keys)
    _check_width(shapes, net)
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    params, stats = siamese.init(net, key, zeros)
    return params, extra._replace(stats=stats)

  def forward(params, extra, batch, keys, step):
    del step
    view, net_keys = seen(extra, batch, keys)
    out, stats = siamese.apply(net, params, extra.stats, view, net_keys)
    return (out.image, out.text), extra._replace(stats=stats)

  def features(params, extra, batch, *, patches=False):
    del params
    return _features(teacher, extra, batch["input"], patches)

  def image(params, extra, images):
    del params
    return teacher.encode(extra.teacher, images)

  objective = pair_objective(partial(contrast, block_size=block_size))
  encode = with_sides(features, image, project_text(net))
  return Method(init, forward, objective, encode, keep_scale)


def _features(teacher, extra, inputs, patches):
  images = inputs.image if isinstance(inputs, Captioned) else inputs
  if patches:
    return teacher.encode(extra.teacher, images, patches=True)
  return teacher.encode(extra.teacher, images)


def _check_width(view, net):
  width = view.image.shape[-1]
  if width != net.text.dim:
    raise InputError(
      f"The locked encoder's features are {width} wide and the text's projection "
      f"{net.text.dim}; pass a TextTower with dim={width}."
    )
