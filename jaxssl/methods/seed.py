"""SEED: a small student sees a queue of images as a frozen teacher sees it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.lax import stop_gradient

from jaxssl import losses
from jaxssl.core import Method
from jaxssl.errors import InputError
from jaxssl.models.siamese import (
  apply,
  draw_views,
  init_on_views,
  make_encode,
  output_shapes,
)
from jaxssl.ops import check_queue_size, enqueue, l2_normalize, random_queue

PyTree = Any


class Teacher(NamedTuple):
  """A frozen encoder: what `jaxssl.load(run)` returns, as `Teacher(*load(run))`.

  Attributes:
    encode: (variables, inputs) -> features [batch, dim].
    variables: its weights and statistics.
  """

  encode: Callable
  variables: PyTree


class SeedExtra(NamedTuple):
  """State of SEED beside the parameters.

  Attributes:
    stats: the student's batch statistics.
    teacher: the teacher's variables, which never change.
    queue: [size, dim] unit teacher features of earlier batches.
    pointer: int32 [], the row of the queue that is overwritten next.
  """

  stats: PyTree
  teacher: PyTree
  queue: jax.Array
  pointer: jax.Array


def seed(
  net: nn.Module,
  views: Callable,
  teacher: Teacher,
  *,
  queue_size: int = 65536,
  student_temperature: float = 0.2,
  teacher_temperature: float = 1e-4,
  block_size: int | None = None,
) -> Method:
  """SEED (Fang et al., arXiv 2101.04731, section 3).

  Teacher (in evaluation mode) and student see the same augmented image. Candidates
  are the teacher's own vector of that image and a queue of earlier ones. The teacher's
  temperature is the official code's, nearly one-hot; the paper's is 0.01.

  Args:
    net: the student: encoder and projector; the projection has the teacher's width.
    views: (key, example) -> one input (a tuple of one).
    teacher: any encoder, as `Teacher(*jaxssl.load(run))`.
    queue_size: teacher features kept; a multiple of the batch.
    student_temperature: of the student's softmax.
    teacher_temperature: of the teacher's softmax.
    block_size: columns of the logits held at a time; None holds all.

  Returns:
    The method; `encode` is the student's encoder.
  """
  check_queue_size(queue_size)

  def init(key, batch):
    key_net, key_queue = jax.random.split(key)
    params, stats = init_on_views(net, key_net, views, batch)
    dim = output_shapes(net, views, batch).projection.shape[-1]
    _check_width(teacher, batch["input"], dim)
    variables = jax.tree.map(jnp.array, teacher.variables)
    queue = random_queue(key_queue, size=queue_size, dim=dim)
    return params, SeedExtra(stats, variables, *queue)

  def forward(params, extra, batch, keys, step):
    del step
    (view,), net_keys = draw_views(views, keys, batch["input"])
    student, stats = apply(net, params, extra.stats, view, net_keys)
    target = teacher.encode(stop_gradient(extra.teacher), view)
    outputs = student.projection, stop_gradient(l2_normalize(target))
    return outputs, extra._replace(stats=stats)

  def objective(params, extra, outputs, step):
    del params, step
    student, target = outputs
    rows = losses.seed(
      student,
      target,
      stop_gradient(extra.queue),
      student_temperature=student_temperature,
      teacher_temperature=teacher_temperature,
      block_size=block_size,
    )
    queue, pointer = enqueue(extra.queue, extra.pointer, target)
    return rows.mean(), (extra._replace(queue=queue, pointer=pointer), {})

  encode = make_encode(net, lambda params, extra: (params, extra.stats))
  return Method(init, forward, objective, encode)


def teacher_width(teacher: Teacher, inputs: jax.Array) -> int:
  """Returns the dimensions of a teacher's features of such inputs.

  Raises:
    InputError: if it was made for inputs of another shape.
  """
  try:
    return jax.eval_shape(teacher.encode, teacher.variables, inputs).shape[-1]
  except flax.errors.ScopeParamShapeError as error:
    shape = list(inputs.shape[1:])
    raise InputError(
      f"The teacher can't see examples of shape {shape}: {error}"
    ) from error


def _check_width(teacher, inputs, dim):
  width = teacher_width(teacher, inputs)
  if width != dim:
    raise InputError(
      f"The teacher's features are {width} wide and the student's projection {dim}; "
      f"give the student a projector with out={width}."
    )
