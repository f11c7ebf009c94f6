"""DINO's online form: a student predicts how a frozen encoder groups other crops."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.lax import stop_gradient

from jaxssl import losses
from jaxssl.core import Method
from jaxssl.methods.dinov2 import balanced, class_term
from jaxssl.methods.prototypes import (
  GLOBALS,
  check_balanced,
  check_crops,
  check_prototypes,
  init_with_prototypes,
  prototype_entropy,
  random_rows,
  scores,
)
from jaxssl.methods.seed import Teacher, teacher_width
from jaxssl.models.siamese import apply_multicrop, draw_views, make_encode
from jaxssl.ops import l2_normalize

PyTree = Any


class DistillExtra(NamedTuple):
  """State of the student's training beside the parameters.

  Attributes:
    stats: the student's batch statistics.
    teacher: the teacher's variables, which never change.
    last_layer: [prototypes, width] directions of the teacher's features, as drawn.
  """

  stats: PyTree
  teacher: PyTree
  last_layer: jax.Array


class DistillOutputs(NamedTuple):
  """What student and teacher make of each example.

  Attributes:
    student: bottleneck features of every crop, [batch, crops, dim].
    teacher: unit features of the globals, [batch, 2, width].
  """

  student: jax.Array
  teacher: jax.Array


def distill(
  net: nn.Module,
  views: Callable,
  teacher: Teacher,
  *,
  prototypes: int = 4096,
  student_temperature: float = 0.1,
  teacher_temperature: float = 0.05,
  iterations: int = 3,
) -> Method:
  """A frozen teacher in DINO's place (arXiv 2104.14294; 2304.07193, section 5).

  The official form needs the teacher's own head; here the teacher may be any encoder.
  Its prototypes are random directions of its feature space, drawn once, and
  Sinkhorn-Knopp balances the assignments of both globals over the whole batch, so that
  no centre is needed. Its features need no common scale: they are normalised.

  Args:
    net: the student: encoder and projector up to the bottleneck (`dino_head`).
    views: (key, example) -> crops, the two globals first; other sizes may follow.
    teacher: any encoder in evaluation mode, as `Teacher(*jaxssl.load(run))`.
    prototypes: rows of both last layers.
    student_temperature: of the student's softmax.
    teacher_temperature: of the assignments.
    iterations: of Sinkhorn-Knopp.

  Returns:
    The method; `encode` is the student's encoder.

  Raises:
    InputError: for fewer than 2 prototypes.
  """
  check_prototypes(prototypes)

  def init(key, batch):
    key_student, key_teacher = jax.random.split(key)
    params, stats = init_with_prototypes(net, key_student, views, batch, prototypes)
    variables = jax.tree.map(jnp.array, teacher.variables)
    width = teacher_width(teacher, batch["input"])
    last = random_rows(key_teacher, prototypes, width)
    return params, DistillExtra(stats, variables, last)

  def forward(params, extra, batch, keys, step):
    del step
    crops, net_keys = draw_views(views, keys, batch["input"])
    check_crops(crops)
    student, stats = apply_multicrop(net, params["net"], extra.stats, crops, net_keys)
    seen = [teacher.encode(extra.teacher, crop) for crop in crops[:GLOBALS]]
    outputs = DistillOutputs(
      jnp.stack([e.projection for e in student], axis=1),
      stop_gradient(l2_normalize(jnp.stack(seen, axis=1))),
    )
    return outputs, extra._replace(stats=stats)

  def objective(params, extra, outputs, step):
    del step
    check_balanced(outputs.teacher)
    target = stop_gradient(scores(outputs.teacher, extra.last_layer))
    codes = balanced(target, epsilon=teacher_temperature, iterations=iterations)
    match = partial(losses.swav, temperature=student_temperature)
    loss = class_term(scores(outputs.student, params["last_layer"]), codes, match)
    usage = prototype_entropy(target[:, 0], teacher_temperature)
    return loss, (extra, {"prototype_entropy": usage})

  encode = make_encode(net, lambda params, extra: (params["net"], extra.stats))
  return Method(init, forward, objective, encode)
