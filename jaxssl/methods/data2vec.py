"""data2vec: what a slowly moving copy, which sees all, makes of hidden patches."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.lax import stop_gradient

from jaxssl import losses
from jaxssl.core import Method
from jaxssl.errors import InputError
from jaxssl.methods.common import mean_over_patches, move_target
from jaxssl.methods.hidden import (
  check_width,
  draw_hidden,
  hidden_error,
  init_hidden,
  predict_hidden,
)
from jaxssl.methods.ijepa import standardize
from jaxssl.models.siamese import make_encode
from jaxssl.models.vit import Block, ViT
from jaxssl.ops import to_float

PyTree = Any


class Data2vecExtra(NamedTuple):
  """State of data2vec beside the parameters.

  Attributes:
    stats: the student's batch statistics.
    target: {"encoder": moving average of the encoder's parameters}: the teacher.
  """

  stats: PyTree
  target: PyTree


def data2vec(
  net: nn.Module,
  views: Callable,
  *,
  mask: Callable,
  momentum: Callable,
  top: int = 6,
  beta: float = 2.0,
) -> Method:
  """data2vec for images (Baevski et al., arXiv 2202.03555, section 3).

  The teacher, in evaluation mode, sees the whole image. The target of a patch is the
  mean over the outputs of the last `top` blocks, each standardised, and standardised
  again. As in the official code for images the outputs are those behind the residual
  connection; the paper has those of the feed-forward layers before it. The loss is
  smooth L1, the mean over all hidden patches of the batch.

  Args:
    net: ViT with `mask_token=True`, and a projector to its width, as
      `models.linear_head(out=768)`.
    views: (key, example) -> images, of which the first is used.
    mask: key -> bool [patches], True where the student doesn't see the patch.
    momentum: step -> momentum of the teacher at the end of that step; 0.9998 always in
      the official run.
    top: blocks whose outputs are averaged.
    beta: where the loss changes from squared to absolute.

  Returns:
    The method; `encode` is the student's encoder on whole images.

  Raises:
    InputError: if the encoder has fewer blocks than `top`; in `init` if the mask or
      the projector don't fit.
  """
  depth = getattr(net.encoder, "depth", 0)
  if not 1 <= top <= depth:
    raise InputError(f"The outputs of {top} blocks of {depth}; pass 1 to {depth}.")

  def init(key, batch):
    params, stats, width = init_hidden(net, key, views, mask, batch)
    check_width(width, net.encoder.width, "the encoder's features are")
    target = jax.tree.map(jnp.copy, params["encoder"])
    return params, Data2vecExtra(stats, {"encoder": target})

  def targets(extra, image):
    stats = {name: tree["encoder"] for name, tree in extra.stats.items()}
    variables = {"params": stop_gradient(extra.target["encoder"]), **stats}
    blocks = block_outputs(net.encoder, variables, image)[-top:]
    mean = sum(standardize(x.astype(jnp.float32)) for x in blocks) / top
    return stop_gradient(standardize(mean)[:, net.encoder.prefix :])

  def forward(params, extra, batch, keys, step):
    del step
    hidden = draw_hidden(views, mask, keys, batch["input"])
    predicted, stats = predict_hidden(net, params, extra.stats, hidden)
    wanted = targets(extra, hidden.crops[0])
    error = losses.smooth_l1(predicted, wanted, beta=beta)
    return hidden_error(error, hidden.mask), extra._replace(stats=stats)

  def objective(params, extra, outputs, step):
    del params, step
    metrics = {"hidden_patches": outputs.count.mean()}
    return mean_over_patches(*outputs), (extra, metrics)

  def update(params, extra, step):
    return params, move_target(params, extra, momentum(step))

  encode = make_encode(net, lambda params, extra: (params, extra.stats))
  return Method(init, forward, objective, encode, update)


def block_outputs(vit: ViT, variables: PyTree, image: jax.Array) -> list[jax.Array]:
  """What each block of a ViT makes of whole images, in evaluation mode.

  Args:
    vit: the encoder.
    variables: its parameters and statistics.
    image: [batch, height, width, channels].

  Returns:
    [batch, prefix + patches, dim] for each block, first to last.
  """
  is_block = lambda module, name: isinstance(module, Block) and name == "__call__"
  _, seen = vit.apply(
    variables,
    to_float(image),
    train=False,
    capture_intermediates=is_block,
    mutable=["intermediates"],
  )
  blocks = seen["intermediates"]
  return [blocks[f"blocks_{i}"]["__call__"][0] for i in range(vit.depth)]
