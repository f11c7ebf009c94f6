"""DINO: assign crops to prototypes as a slowly moving copy assigns other crops."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.lax import stop_gradient

from jaxssl.core import Method
from jaxssl.methods.common import frozen_until
from jaxssl.methods.prototypes import (
  GLOBALS,
  check_crops,
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
from jaxssl.models.siamese import apply_multicrop, draw_views, make_encode
from jaxssl.ops import l2_normalize

PyTree = Any


class DinoExtra(NamedTuple):
  """State of DINO beside the parameters.

  Attributes:
    stats: the student's batch statistics.
    target: moving average of the parameters, last layer included: the teacher.
    target_stats: the teacher's batch statistics, from its own passes.
    center: float32 [prototypes], moving average of the teacher's scores.
  """

  stats: PyTree
  target: PyTree
  target_stats: PyTree
  center: jax.Array


class DinoOutputs(NamedTuple):
  """What DINO makes of each example.

  Attributes:
    loss: [batch], cross-entropy, the mean over all pairs of crops.
    entropy: [batch], of the teacher's assignments, the mean over the globals.
    teacher: [batch, 2, dim], unit bottleneck features of the globals.
  """

  loss: jax.Array
  entropy: jax.Array
  teacher: jax.Array


def dino(
  net: nn.Module,
  views: Callable,
  *,
  prototypes: int = 65536,
  student_temperature: float = 0.1,
  teacher_temperature: Callable,
  momentum: Callable,
  center_momentum: float = 0.9,
  freeze_steps: int = 0,
) -> Method:
  """DINO (Caron et al., arXiv 2104.14294, equations 1 to 4).

  The loss is the mean over the 2 (crops - 1) pairs of a teacher's global crop and
  another crop of the student. The teacher is the student's moving average, moved
  after the optimiser, with batch statistics of its own and without stochastic
  depth. Its scores are centred by the centre of the step before.

  Args:
    net: encoder and projector up to the bottleneck (`dino_head`), no predictor.
    views: (key, example) -> crops, the two globals first; other sizes may follow.
    prototypes: rows of the last layer, which is weight-normalised with g = 1.
    student_temperature: of the student's softmax.
    teacher_temperature: step -> temperature; the paper warms it up from 0.04 to
      0.07, epoch by epoch.
    momentum: step -> momentum of the teacher; `ops.cosine_ema(0.996, steps=steps)`.
    center_momentum: of the centre.
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
    return params, DinoExtra(stats, target, target_stats, jnp.zeros(prototypes))

  def forward(params, extra, batch, keys, step):
    crops, net_keys = draw_views(views, keys, batch["input"])
    check_crops(crops)
    student, stats = apply_multicrop(net, params["net"], extra.stats, crops, net_keys)
    teacher, target_stats = apply_multicrop(
      slow_net, extra.target["net"], extra.target_stats, crops[:GLOBALS], net_keys
    )
    features = l2_normalize(stop_gradient(jnp.stack([e.projection for e in teacher])))
    last = frozen_until(step, freeze_steps, params["last_layer"])
    rows, entropy = class_loss(
      [scores(e.projection, last) for e in student],
      stop_gradient(scores(features, extra.target["last_layer"])),
      center=stop_gradient(extra.center),
      student_temperature=student_temperature,
      teacher_temperature=teacher_temperature(step),
    )
    extra = extra._replace(stats=stats, target_stats=target_stats)
    return DinoOutputs(rows, entropy, features.swapaxes(0, 1)), extra

  def objective(params, extra, outputs, step):
    del params
    last, features = extra.target["last_layer"], stop_gradient(outputs.teacher)
    usage = prototype_entropy(
      scores(features[:, 0], last) - extra.center[None], teacher_temperature(step)
    )
    center = moved_center(extra.center, features, last, center_momentum)
    loss, entropy = outputs.loss.mean(), outputs.entropy.mean()
    metrics = teacher_metrics(loss, entropy, usage)
    return loss, (extra._replace(center=center), metrics)

  encode = make_encode(net, teacher_variables)
  return Method(init, forward, objective, encode, move_teacher(momentum))
