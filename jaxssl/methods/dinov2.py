"""DINOv2: iBOT with a teacher balanced by Sinkhorn-Knopp, and spread-out features."""

from collections.abc import Callable
from functools import partial
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
  across_views,
  check_prototypes,
  init_with_prototypes,
  move_teacher,
  prototype_entropy,
  scores,
  teacher_variables,
  without_drop_path,
)
from jaxssl.methods.tokens import (
  apply_masked,
  apply_tokens,
  class_projections,
  draw_masks,
)
from jaxssl.models.predictor import first_true
from jaxssl.models.siamese import draw_views, make_encode
from jaxssl.ops import assigned, sinkhorn, sinkhorn_scaling

PyTree = Any
PLACES = 16  # hidden patches of a crop whose scores are held at a time


class Dinov2Extra(NamedTuple):
  """State of DINOv2 beside the parameters.

  Attributes:
    stats: the student's batch statistics.
    target: moving average of the parameters, last layer included: the teacher.
    target_stats: the teacher's batch statistics.
  """

  stats: PyTree
  target: PyTree
  target_stats: PyTree


class Dinov2Outputs(NamedTuple):
  """What DINOv2 makes of each example; all rows are needed to assign them.

  Attributes:
    features: the student's class tokens of the globals, [batch, 2, width].
    student: its bottleneck features of every crop, [batch, crops, dim].
    teacher: the teacher's of the globals, [batch, 2, dim].
    student_patches: the student's of hidden patches, [batch, 2, masked_patches, dim].
    teacher_patches: the teacher's of the same patches, the same shape.
    hidden: bool [batch, 2, masked_patches], False where there was no hidden patch.
  """

  features: jax.Array
  student: jax.Array
  teacher: jax.Array
  student_patches: jax.Array
  teacher_patches: jax.Array
  hidden: jax.Array


def dinov2(
  net: nn.Module,
  views: Callable,
  *,
  mask: Callable,
  masked_patches: int,
  prototypes: int = 65536,
  student_temperature: float = 0.1,
  teacher_temperature: Callable,
  momentum: Callable,
  iterations: int = 3,
  koleo_weight: float = 0.1,
  ibot_weight: float = 1.0,
  freeze_steps: int = 0,
) -> Method:
  """DINOv2 (Oquab et al., arXiv 2304.07193, section 4), Sinkhorn teacher, one head.

  DINO between crops, plus iBOT on hidden patches, plus KoLeo, which pushes each
  class token from its nearest neighbour in the same crop of the batch. The
  assignments are balanced over the whole batch: of both globals together, and of
  all hidden patches together. The large models have a second head for patches.

  Args:
    net: ViT with `mask_token=True`, and projector up to the bottleneck.
    views: (key, example) -> crops, the two globals first; other sizes may follow.
    mask: key -> bool [patches], True where a global crop is hidden from the student.
    masked_patches: the most patches that a mask hides; the heads see so many. Of a
      mask with more, the first count.
    prototypes: rows of the last layer, shared by class and patch tokens.
    student_temperature: of the student's softmax.
    teacher_temperature: step -> temperature of the assignments; 0.04 to 0.07.
    momentum: step -> momentum of the teacher; `ops.cosine_ema(0.992, steps=steps)`.
    iterations: of Sinkhorn-Knopp.
    koleo_weight: of KoLeo, the sum over the two globals.
    ibot_weight: of the patches' loss, the mean over the two globals.
    freeze_steps: steps without a gradient for the last layer: one epoch in the
      official code.

  Returns:
    The method; `encode` uses the teacher.
  """
  check_prototypes(prototypes)
  slow_net = without_drop_path(net)

  def init(key, batch):
    params, stats = init_with_prototypes(net, key, views, batch, prototypes)
    target, target_stats = jax.tree.map(jnp.copy, (params, stats))
    return params, Dinov2Extra(stats, target, target_stats)

  def forward(params, extra, batch, keys, step):
    del step
    crops, net_keys = draw_views(views, keys, batch["input"])
    masks, net_keys = draw_masks(mask, net_keys)
    (globals_, locals_), stats = apply_masked(
      net, params["net"], extra.stats, crops, masks, net_keys
    )
    teacher, target_stats = apply_tokens(
      slow_net, extra.target["net"], extra.target_stats, crops[:GLOBALS], net_keys
    )
    index, hidden = first_true(masks, masked_patches)
    take = lambda x: jnp.take_along_axis(x, index[..., None], axis=2)
    outputs = Dinov2Outputs(
      globals_.features,
      jnp.stack(class_projections(globals_, locals_), axis=1),
      stop_gradient(teacher.projection),
      take(globals_.patches),
      stop_gradient(take(teacher.patches)),
      hidden,
    )
    return outputs, extra._replace(stats=stats, target_stats=target_stats)

  def objective(params, extra, outputs, step):
    last = frozen_until(step, freeze_steps, params["last_layer"])
    target_last = stop_gradient(extra.target["last_layer"])
    temperature = teacher_temperature(step)
    balance = partial(balanced, epsilon=temperature, iterations=iterations)
    match = partial(losses.swav, temperature=student_temperature)
    teacher = scores(stop_gradient(outputs.teacher), target_last)
    class_loss = class_term(scores(outputs.student, last), balance(teacher), match)
    rows = patch_errors(
      outputs, last, target_last, match, epsilon=temperature, iterations=iterations
    )
    patch_loss = patch_term(rows, outputs.hidden)
    spread = sum(losses.koleo(outputs.features[:, i]).mean() for i in range(GLOBALS))
    loss = class_loss + ibot_weight * patch_loss + koleo_weight * spread
    metrics = {
      "class_loss": class_loss,
      "patch_loss": patch_loss,
      "koleo": spread,
      "prototype_entropy": prototype_entropy(teacher[:, 0], temperature),
    }
    return loss, (extra, metrics)

  encode = make_encode(net, teacher_variables)
  return Method(init, forward, objective, encode, move_teacher(momentum))


def balanced(scores: jax.Array, *, epsilon: jax.Array, iterations: int) -> jax.Array:
  """Sinkhorn assignments of all rows of [..., prototypes] together."""
  flat = scores.reshape(-1, scores.shape[-1])
  codes = sinkhorn(flat, epsilon=epsilon, iterations=iterations)
  return codes.reshape(scores.shape)


def class_term(student: jax.Array, codes: jax.Array, match: Callable) -> jax.Array:
  """Mean cross-entropy over pairs of different crops.

  Args:
    student: scores of all crops, [batch, crops, prototypes].
    codes: the teacher's assignments of the globals, [batch, 2, prototypes].
    match: (scores, codes) -> [rows].

  Returns:
    A scalar.
  """
  first = lambda x: jnp.moveaxis(x, 1, 0)
  return across_views(match, first(student), first(codes)).mean()


def patch_errors(
  outputs: Dinov2Outputs,
  last: jax.Array,
  target_last: jax.Array,
  match: Callable,
  *,
  epsilon: jax.Array,
  iterations: int,
) -> jax.Array:
  """Cross-entropy of each hidden patch, float32 [batch, 2, patches].

  The scores of all patches of a batch by all prototypes would take gigabytes: the
  student's, the assignments and their gradients are made for a few patches of each
  crop at a time, again in the backward pass.

  Args:
    outputs: of the batch.
    last: the student's prototypes.
    target_last: the teacher's.
    match: (scores, codes) -> [rows].
    epsilon: of Sinkhorn-Knopp.
    iterations: of Sinkhorn-Knopp.
  """
  flat = lambda x: x.reshape(-1, x.shape[-1])
  teacher, hidden = stop_gradient(outputs.teacher_patches), outputs.hidden
  scaling = sinkhorn_scaling(
    flat(scores(teacher, target_last)),
    epsilon=epsilon,
    iterations=iterations,
    mask=hidden.reshape(-1),
  )

  def errors(student, teacher, rows, hidden, last):
    own, mask = scaling._replace(rows=rows.reshape(-1, 1)), hidden.reshape(-1)
    target = flat(scores(teacher, target_last))
    codes = assigned(target, own, epsilon=epsilon, mask=mask)
    return match(flat(scores(student, last)), codes).reshape(hidden.shape)

  whole = (outputs.student_patches, teacher, scaling.rows.reshape(hidden.shape), hidden)
  if hidden.shape[2] <= PLACES:
    return errors(*whole, last)
  at = list(range(PLACES, hidden.shape[2], PLACES))
  cut = partial(jnp.split, indices_or_sections=at, axis=2)
  parts = zip(*map(cut, whole), strict=True)
  again = jax.checkpoint(errors)
  return jnp.concatenate([again(*part, last) for part in parts], axis=2)


def patch_term(errors: jax.Array, hidden: jax.Array) -> jax.Array:
  """Mean over crops of the mean error over each one's hidden patches.

  Args:
    errors: [batch, 2, patches].
    hidden: bool [batch, 2, patches].

  Returns:
    A scalar; a crop without hidden patches counts as 0.
  """
  count = jnp.maximum(hidden.sum(-1, dtype=jnp.float32), 1.0)
  return jnp.mean(jnp.where(hidden, errors, 0.0).sum(-1) / count)
