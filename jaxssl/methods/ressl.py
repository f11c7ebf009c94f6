"""ReSSL: how an image relates to a queue of others is the same for all its views."""

from collections.abc import Callable

import flax.linen as nn

from jaxssl import losses
from jaxssl.core import Method
from jaxssl.methods.common import queue_method


def ressl(
  net: nn.Module,
  views: Callable,
  *,
  queue_size: int = 131072,
  momentum: float = 0.999,
  student_temperature: float = 0.1,
  teacher_temperature: float = 0.04,
  block_size: int | None = None,
) -> Method:
  """Relational SSL (Zheng et al., arXiv 2107.09282, section 3).

  Args:
    net: encoder and projector.
    views: (key, example) -> the student's strong view, and the teacher's weak one
      (crop and flip alone).
    queue_size: teacher projections kept; a multiple of the batch.
    momentum: of the teacher.
    student_temperature: of the student's softmax over the queue.
    teacher_temperature: of the teacher's, sharper.
    block_size: columns of the logits held at a time; None holds all.

  Returns:
    The method; its state is a `QueueExtra`.
  """

  def loss(student, teacher, queue):
    return losses.relational(
      student,
      teacher,
      queue,
      student_temperature=student_temperature,
      teacher_temperature=teacher_temperature,
      block_size=block_size,
    )

  return queue_method(net, views, queue_size=queue_size, momentum=momentum, loss=loss)
