"""iBOT: DINO, and the same for the patches that the student doesn't see."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.lax import stop_gradient

from jaxssl import losses
from jaxssl.core import Method
from jaxssl.methods.common import frozen_until
from jaxssl.methods.prototypes import (
  GLOBALS,
  check_prototypes,
  class_loss,
  init_with_prototypes,
  move_teacher,
  moved_center,
  prototype_entropy,
  scores,
  teacher_metrics,
  teacher_variables,
  without_drop_path,
)
from jaxssl.methods.tokens import (
  apply_masked,
  apply_tokens,
  class_projections,
  draw_masks,
)
from jaxssl.models.siamese import draw_views, make_encode
from jaxssl.ops import l2_normalize

PyTree = Any


class IbotExtra(NamedTuple):
  """State of iBOT beside the parameters.

  Attributes:
    stats: the student's batch statistics.
    target: moving average of the parameters, last layer included: the teacher.
    target_stats: the teacher's batch statistics.
    center: float32 [prototypes], moving average of the teacher's class scores.
    patch_center: float32 [prototypes], of its patch scores.
  """

  stats: PyTree
  target: PyTree
  target_stats: PyTree
  center: jax.Array
  patch_center: jax.Array


class IbotOutputs(NamedTuple):
  """What iBOT makes of each example.

  Attributes:
    loss: [batch], cross-entropy of the class tokens.
    patch_loss: [batch], cross-entropy of the masked patches.
    entropy: [batch], of the teacher's class assignments.
    teacher: [batch, 2, dim], unit bottleneck features of the class tokens.
    teacher_patches: [batch, dim], mean unit bottleneck feature of all patches.
  """

  loss: jax.Array
  patch_loss: jax.Array
  entropy: jax.Array
  teacher: jax.Array
  teacher_patches: jax.Array


def ibot(
  net: nn.Module,
  views: Callable,
  *,
  mask: Callable,
  prototypes: int = 8192,
  student_temperature: float = 0.1,
  teacher_temperature: Callable,
  patch_temperature: Callable,
  momentum: Callable,
  center_momentum: float = 0.9,
  patch_center_momentum: float = 0.9,
  patch_weight: float = 1.0,
  freeze_steps: int = 0,
) -> Method:
  """iBOT (Zhou et al., arXiv 2111.07832, equations 2 and 3), head shared.

  The student sees its global crops with patches replaced by a mask token, the
  teacher sees them whole. The class tokens are paired across crops as in DINO, each
  masked patch with the same patch of the same crop.

  Args:
    net: ViT with `mask_token=True`, and projector up to the bottleneck.
    views: (key, example) -> crops, the two globals first; other sizes may follow.
    mask: key -> bool [patches], True where a global crop is hidden from the student.
    prototypes: rows of the last layer, shared by class and patch tokens.
    student_temperature: of the student's softmax.
    teacher_temperature: step -> temperature for class tokens.
    patch_temperature: step -> temperature for patches; 0.04 to 0.07 in the paper.
    momentum: step -> momentum of the teacher; `ops.cosine_ema(0.996, steps=steps)`.
    center_momentum: of the centre.
    patch_center_momentum: of the patches' centre.
    patch_weight: of the patches' loss.
    freeze_steps: steps without a gradient for the last layer.

  Returns:
    The method; `encode` uses the teacher.
  """
  check_prototypes(prototypes)
  slow_net = without_drop_path(net)

  def init(key, batch):
    params, stats = init_with_prototypes(net, key, views, batch, prototypes)
    target, target_stats = jax.tree.map(jnp.copy, (params, stats))
    centers = jnp.zeros(prototypes), jnp.zeros(prototypes)
    return params, IbotExtra(stats, target, target_stats, *centers)

  def forward(params, extra, batch, keys, step):
    crops, net_keys = draw_views(views, keys, batch["input"])
    masks, net_keys = draw_masks(mask, net_keys)
    (globals_, locals_), stats = apply_masked(
      net, params["net"], extra.stats, crops, masks, net_keys
    )
    teacher, target_stats = apply_tokens(
      slow_net, extra.target["net"], extra.target_stats, crops[:GLOBALS], net_keys
    )
    teacher = jax.tree.map(stop_gradient, teacher)
    last = frozen_until(step, freeze_steps, params["last_layer"])
    target_last = stop_gradient(extra.target["last_layer"])
    rows, entropy = class_loss(
      [scores(z, last) for z in class_projections(globals_, locals_)],
      scores(teacher.projection, target_last).swapaxes(0, 1),
      center=stop_gradient(extra.center),
      student_temperature=student_temperature,
      teacher_temperature=teacher_temperature(step),
    )
    patch_rows = patch_loss(
      scores(globals_.patches, last),
      scores(teacher.patches, target_last),
      masks,
      center=stop_gradient(extra.patch_center),
      student_temperature=student_temperature,
      teacher_temperature=patch_temperature(step),
    )
    unit = l2_normalize(teacher.projection)
    patches = l2_normalize(teacher.patches).mean((1, 2))
    extra = extra._replace(stats=stats, target_stats=target_stats)
    return IbotOutputs(rows, patch_rows, entropy, unit, patches), extra

  def objective(params, extra, outputs, step):
    del params
    last, features = extra.target["last_layer"], stop_gradient(outputs.teacher)
    centred = scores(features[:, 0], last) - extra.center[None]
    usage = prototype_entropy(centred, teacher_temperature(step))
    patches = stop_gradient(outputs.teacher_patches)
    extra = extra._replace(
      center=moved_center(extra.center, features, last, center_momentum),
      patch_center=moved_center(
        extra.patch_center, patches, last, patch_center_momentum
      ),
    )
    rows, patch_rows = outputs.loss.mean(), outputs.patch_loss.mean()
    metrics = teacher_metrics(rows, outputs.entropy.mean(), usage)
    metrics = {"class_loss": rows, "patch_loss": patch_rows, **metrics}
    return rows + patch_weight * patch_rows, (extra, metrics)

  encode = make_encode(net, teacher_variables)
  return Method(init, forward, objective, encode, move_teacher(momentum))


def patch_loss(
  student: jax.Array, teacher: jax.Array, masks: jax.Array, **options
) -> jax.Array:
  """Mean over the globals of `losses.ibot_patch`, [batch].

  Args:
    student: scores, [batch, 2, patches, prototypes].
    teacher: scores, the same shape.
    masks: bool [batch, 2, patches].
    **options: of `losses.ibot_patch`.

  Returns:
    One value per row.
  """
  each = [
    losses.ibot_patch(student[:, i], teacher[:, i], masks[:, i], **options)
    for i in range(GLOBALS)
  ]
  return sum(each) / len(each)
