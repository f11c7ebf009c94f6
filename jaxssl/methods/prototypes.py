"""What DINO, iBOT and DINOv2 share: a last layer of prototypes, and its teacher."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.scipy.special import entr

from jaxssl import evals, losses
from jaxssl.errors import InputError
from jaxssl.methods.common import move_target
from jaxssl.models.siamese import init_on_views, output_shapes
from jaxssl.ops import l2_normalize

PyTree = Any
GLOBALS = 2  # crops that the teacher sees


def check_prototypes(prototypes: int) -> None:
  """Raises InputError for fewer than 2 prototypes."""
  if prototypes < 2:
    raise InputError(f"{prototypes} prototype(s) tell nothing apart; pass 2 or more.")


def check_balanced(rows: jax.Array) -> None:
  """Raises InputError for one row: balanced codes of it say nothing about it."""
  if rows.shape[0] < 2:
    raise InputError(
      "A batch of 1 has codes that are the same for all prototypes; pass at least 2 "
      "examples, or a queue."
    )


def init_with_prototypes(
  net: nn.Module, key: jax.Array, views: Callable, batch: PyTree, prototypes: int
) -> tuple[PyTree, PyTree]:
  """Returns `{"net": ..., "last_layer": [prototypes, dim]}` and batch statistics."""
  key_net, key_last = jax.random.split(key)
  params, stats = init_on_views(net, key_net, views, batch)
  dim = output_shapes(net, views, batch).projection.shape[-1]
  return {"net": params, "last_layer": random_rows(key_last, prototypes, dim)}, stats


def random_rows(key: jax.Array, rows: int, dim: int) -> jax.Array:
  """A last layer [rows, dim] as torch starts a linear layer."""
  return jax.random.uniform(key, (rows, dim), minval=-1.0) * dim**-0.5


def without_drop_path(net: nn.Module) -> nn.Module:
  """The net of a teacher: the same without stochastic depth in its encoder."""
  if not hasattr(net.encoder, "drop_path"):
    return net
  return net.clone(encoder=net.encoder.clone(drop_path=0.0))


def check_crops(crops: tuple) -> None:
  """Raises InputError unless there are two global crops (with one: no pair at all)."""
  if len(crops) < GLOBALS:
    raise InputError(
      f"`views` made {len(crops)} crop(s); self-distillation needs two global crops "
      "first, then any number of local ones."
    )


def scores(features: jax.Array, last_layer: jax.Array) -> jax.Array:
  """Cosines [..., prototypes] of bottleneck features [..., dim] with unit rows."""
  return jnp.einsum(
    "...d,kd->...k",
    l2_normalize(features),
    l2_normalize(last_layer),
    preferred_element_type=jnp.float32,
  )


def class_loss(
  student: list[jax.Array],
  teacher: jax.Array,
  *,
  center: jax.Array,
  student_temperature: float,
  teacher_temperature: jax.Array,
) -> tuple[jax.Array, jax.Array]:
  """DINO's cross-entropy of each row, and the entropy of its teacher.

  Args:
    student: scores of every crop, each [batch, prototypes].
    teacher: scores of the globals, [2, batch, prototypes].
    center: [prototypes].
    student_temperature: of the student's softmax.
    teacher_temperature: of the teacher's softmax.

  Returns:
    Mean over the pairs of different crops [batch], mean over the globals [batch].
  """

  def pair(student, teacher):
    return losses.dino(
      student,
      teacher,
      center=center,
      student_temperature=student_temperature,
      teacher_temperature=teacher_temperature,
    )

  centred = (teacher - jnp.expand_dims(center, (0, 1))) / teacher_temperature
  entropy = entr(jax.nn.softmax(centred)).sum(-1).mean(0)
  return across_views(pair, student, teacher), entropy


def across_views(
  loss: Callable, student: jax.Array | list, teacher: jax.Array
) -> jax.Array:
  """Mean of `loss(student[v], teacher[q])` over all views v other than q."""
  pairs = [
    (crop, target)
    for q, target in enumerate(teacher)
    for v, crop in enumerate(student)
    if v != q
  ]
  return sum(loss(crop, target) for crop, target in pairs) / len(pairs)


def moved_center(
  center: jax.Array, features: jax.Array, last_layer: jax.Array, momentum: float
) -> jax.Array:
  """The centre of the next step: the scores' mean is the score of the mean feature.

  Args:
    center: [prototypes].
    features: unit bottleneck features of the teacher, [..., dim].
    last_layer: the teacher's, [prototypes, dim].
    momentum: of the centre.

  Returns:
    float32 [prototypes].
  """
  mean = features.reshape(-1, features.shape[-1]).mean(0)
  return momentum * center + (1.0 - momentum) * (l2_normalize(last_layer) @ mean)


def prototype_entropy(centred: jax.Array, temperature: jax.Array) -> jax.Array:
  """Entropy of the mean assignment in nats; 0 when all rows share one prototype."""
  return evals.prototype_entropy(jax.nn.softmax(centred / temperature))


def teacher_metrics(
  loss: jax.Array, entropy: jax.Array, usage: jax.Array
) -> dict[str, jax.Array]:
  """What to watch: entropy 0 or ln(prototypes), or a KL of 0, is a collapse."""
  return {
    "teacher_entropy": entropy,
    "kl": loss - entropy,
    "prototype_entropy": usage,
  }


def teacher_variables(params: PyTree, extra: PyTree) -> tuple[PyTree, PyTree]:
  """Params and batch statistics of the teacher's net."""
  del params
  return extra.target["net"], extra.target_stats


def move_teacher(momentum: Callable) -> Callable:
  """Builds `update`: the target towards all new parameters, after the optimiser."""

  def update(params, extra, step):
    return params, move_target(params, extra, momentum(step))

  return update
