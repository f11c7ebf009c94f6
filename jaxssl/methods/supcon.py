"""SupCon: contrastive learning that knows the labels; the ceiling of the others."""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp

from jaxssl import losses
from jaxssl.core import Method
from jaxssl.errors import InputError
from jaxssl.methods.common import projection, two_view_method
from jaxssl.models.siamese import apply_merged
from jaxssl.ops.numerics import in_turns


def supcon(
  net: nn.Module,
  views: Callable,
  *,
  temperature: float = 0.1,
  apply: Callable = apply_merged,
  contrast: Callable = losses.supcon,
  block_size: int | None = None,
) -> Method:
  """Supervised contrastive learning (Khosla et al., arXiv 2004.11362, equation 2).

  The official code multiplies the loss by temperature / 0.07, which changes nothing
  but the learning rate; this leaves it out.

  Args:
    net: encoder and projector.
    views: (key, example) -> two inputs of equal shape.
    temperature: of the softmax.
    apply: `apply_merged` or `apply_views`, as in `simclr`.
    contrast: the loss; `functools.partial(losses.ring_supcon, mesh=mesh)` goes
      round the devices of a mesh instead of gathering all rows on each.
    block_size: columns of the similarity matrix held at a time; None holds all.

  Returns:
    The method; its state is the net's batch statistics, and its batches need `label`.
  """
  unlabelled = two_view_method(net, views, outputs=projection, loss=None, apply=apply)

  def init(key, batch):
    if "label" not in batch:
      raise InputError("SupCon needs labels: each batch must hold 'label' [batch].")
    return unlabelled.init(key, batch)

  def forward(params, extra, batch, keys, step):
    z, extra = unlabelled.forward(params, extra, batch, keys, step)
    return (z, batch["label"]), extra

  def objective(params, extra, outputs, step):
    del params, step
    z, labels = outputs
    if len(labels) < 2:
      raise InputError("SupCon of one example has nothing apart; pass at least 2.")
    rows = contrast(
      in_turns(*z),
      jnp.repeat(labels, len(z)),
      temperature=temperature,
      block_size=block_size,
    )
    return rows.mean(), (extra, {})

  return unlabelled._replace(init=init, forward=forward, objective=objective)
