"""Losses that train a student towards what a teacher says.

The teacher's side is a constant in all of them: no gradient reaches a teacher, a
target, a centre or the candidates that both are compared with. Softmaxes, norms and
products are in float32, products at full precision.
"""

import chex
import jax
import jax.numpy as jnp
import optax
from jax.lax import stop_gradient

from jaxssl.errors import InputError
from jaxssl.losses._checks import (
  check_block_size,
  check_matrices,
  check_paired,
  check_positive,
  check_rows,
)
from jaxssl.losses._streaming import Tags, row_terms
from jaxssl.ops.numerics import l2_normalize


def dino(
  student: jax.Array,
  teacher: jax.Array,
  *,
  center: jax.Array,
  student_temperature: float | jax.Array,
  teacher_temperature: float | jax.Array,
) -> jax.Array:
  """Cross-entropy of a student view to a centred and sharpened teacher view.

  Caron et al. 2021, arXiv:2104.14294, eq. 2, for one pair of views; the paper averages
  over all pairs of a teacher view and another student view, and moves the centre
  after the loss. For a Sinkhorn teacher see `swav`.

  Args:
    student: logits over the prototypes, [batch, prototypes].
    teacher: logits of another view of the same examples, [batch, prototypes].
    center: subtracted from the teacher's logits, [prototypes].
    student_temperature: divides the student's logits, above 0.
    teacher_temperature: divides the centred logits of the teacher, above 0.

  Returns:
    One value per row, [batch].

  Raises:
    InputError: on other ranks, unequal shapes, an empty batch or a bad option.
  """
  check_paired(student=student, teacher=teacher)
  check_rows(1, "an empty batch has no loss", student=student)
  _check_temperatures(student_temperature, teacher_temperature)
  _check_center(center, teacher)
  target = _sharpened(teacher, center, teacher_temperature)
  return _cross_entropy(student, target, student_temperature)


def ibot_patch(
  student: jax.Array,
  teacher: jax.Array,
  mask: jax.Array,
  *,
  center: jax.Array,
  student_temperature: float | jax.Array,
  teacher_temperature: float | jax.Array,
) -> jax.Array:
  """Cross-entropy of masked patches to the teacher, which sees the whole image.

  Zhou et al. 2021, arXiv:2111.07832, eq. 2: the mean over the masked patches of each
  image. An image without masked patches counts as 0.

  Args:
    student: logits of the masked view, [batch, patches, prototypes].
    teacher: logits of the same view unmasked, [batch, patches, prototypes].
    mask: True (or 1) where a patch was masked, [batch, patches].
    center: subtracted from the teacher's logits, [prototypes].
    student_temperature: divides the student's logits, above 0.
    teacher_temperature: divides the centred logits of the teacher, above 0.

  Returns:
    One value per image, [batch].

  Raises:
    InputError: on other ranks, unequal shapes, an empty batch or a bad option.
  """
  _check_patches(student, teacher, mask)
  check_rows(1, "an empty batch has no loss", student=student)
  _check_temperatures(student_temperature, teacher_temperature)
  _check_center(center, teacher)
  target = _sharpened(teacher, center, teacher_temperature)
  error = _cross_entropy(student, target, student_temperature)
  masked = mask.astype(bool)
  count = jnp.sum(masked, axis=1, dtype=jnp.float32)
  return jnp.sum(jnp.where(masked, error, 0.0), axis=1) / jnp.maximum(count, 1.0)


def koleo(z: jax.Array) -> jax.Array:
  """Kozachenko-Leonenko regulariser: rows keep away from their nearest neighbour.

  Sablayrolles et al. 2018, arXiv:1806.03198, as in DINOv2 (Oquab et al. 2023,
  arXiv:2304.07193): minus the log of the distance between a unit row and the one of
  largest cosine, with 1e-8 added to each coordinate and to the distance. The
  gradient flows through both ends of the pair. Pass one view at a time. The
  neighbours are those of the whole batch (the official code looks on one device).

  Args:
    z: features, [batch, dim], batch at least 2.

  Returns:
    One value per row, [batch].

  Raises:
    InputError: on other ranks or a single row.
  """
  check_matrices(z=z)
  check_rows(2, "a row needs another one as its neighbour", z=z)
  z = l2_normalize(z.astype(jnp.float32))
  difference = z - z[_nearest_other(z)] + 1e-8
  return -jnp.log(jnp.sqrt(jnp.sum(jnp.square(difference), axis=1)) + 1e-8)


def smooth_l1(
  prediction: jax.Array, target: jax.Array, *, beta: float | jax.Array = 1.0
) -> jax.Array:
  """Squared error near zero and absolute error beyond `beta`, as I-JEPA has it.

  Assran et al. 2023, arXiv:2301.08243 (the official code; the paper writes a squared
  distance): 0.5 d^2 / beta where |d| < beta, else |d| - 0.5 beta.

  Args:
    prediction: [..., dim], any number of leading axes.
    target: the same shape.
    beta: where the two forms meet, above 0.

  Returns:
    The mean over the last axis, [...].

  Raises:
    InputError: on unequal shapes, scalars or a bad option.
  """
  _check_same_shape(prediction=prediction, target=target)
  if prediction.ndim == 0:
    raise InputError("`prediction` is a scalar; pass [..., dim].")
  check_positive(beta=beta)
  target = stop_gradient(target).astype(jnp.float32)
  error = optax.losses.huber_loss(prediction.astype(jnp.float32), target, delta=beta)
  return jnp.mean(error / beta, axis=-1)


def relational(
  student: jax.Array,
  teacher: jax.Array,
  candidates: jax.Array,
  *,
  student_temperature: float | jax.Array,
  teacher_temperature: float | jax.Array,
  block_size: int | None = None,
) -> jax.Array:
  """The student's similarities to the candidates follow the teacher's.

  Zheng et al. 2021, arXiv:2107.09282, section 3 (ReSSL): cross-entropy of two softmaxes
  over the cosines with the same candidates, of one view by the student and of
  another by the teacher.

  Args:
    student: [batch, dim].
    teacher: row i belongs to row i of `student`, [batch, dim].
    candidates: a queue of earlier teacher embeddings, [count, dim].
    student_temperature: divides the student's cosines, above 0.
    teacher_temperature: divides the teacher's; below the student's, it sharpens.
    block_size: candidates per block, or None for all at once.

  Returns:
    One value per row, [batch].

  Raises:
    InputError: on other ranks, unequal shapes, no rows, or a bad option.
  """
  options = student_temperature, teacher_temperature, block_size
  _check_relations(student, teacher, candidates, options)
  student, teacher, candidates = _units(student, teacher, candidates)
  _, target = _expected(teacher / teacher_temperature, candidates, block_size)
  queries = student / student_temperature
  partition = _partition(queries, candidates, block_size)
  return partition - jnp.sum(queries * target, axis=1)


def seed(
  student: jax.Array,
  teacher: jax.Array,
  candidates: jax.Array,
  *,
  student_temperature: float | jax.Array,
  teacher_temperature: float | jax.Array,
  block_size: int | None = None,
) -> jax.Array:
  """`relational` with the teacher's own vector among the candidates of each row.

  Fang et al. 2021, arXiv:2101.04731, section 3 (SEED): the teacher's cosine with itself
  is 1, so a low temperature asks mostly for the teacher's own vector.

  Args:
    student: [batch, dim].
    teacher: of the same examples, [batch, dim].
    candidates: a queue of earlier teacher embeddings, [count, dim].
    student_temperature: divides the student's cosines, above 0.
    teacher_temperature: divides the teacher's cosines, above 0.
    block_size: candidates per block, or None for all at once.

  Returns:
    One value per row, [batch].

  Raises:
    InputError: on other ranks, unequal shapes, no rows, or a bad option.
  """
  options = student_temperature, teacher_temperature, block_size
  _check_relations(student, teacher, candidates, options)
  student, teacher, candidates = _units(student, teacher, candidates)
  others, mean = _expected(teacher / teacher_temperature, candidates, block_size)
  own = jnp.sum(jnp.square(teacher), axis=1) / teacher_temperature
  share = jax.nn.sigmoid(own - others)[:, None]
  target = share * teacher + (1.0 - share) * mean
  queries = student / student_temperature
  partition = jnp.logaddexp(
    jnp.sum(queries * teacher, axis=1), _partition(queries, candidates, block_size)
  )
  return partition - jnp.sum(queries * target, axis=1)


def _sharpened(teacher, center, temperature):
  logits = (teacher.astype(jnp.float32) - _along(center, teacher)) / temperature
  return stop_gradient(jax.nn.softmax(logits, axis=-1))


def _along(vector, array):
  """A [n] vector with leading axes of 1, to stand beside an array of [..., n]."""
  return jnp.expand_dims(vector.astype(jnp.float32), range(array.ndim - 1))


def _cross_entropy(logits, target, temperature):
  logits = logits.astype(jnp.float32) / temperature
  return optax.losses.softmax_cross_entropy(logits, target)


def _nearest_other(z):
  """Index of the row with the largest cosine, itself excepted, [batch]."""
  z = stop_gradient(z)
  cosines = jnp.matmul(z, z.T, precision=jax.lax.Precision.HIGHEST)
  itself = jnp.eye(z.shape[0], dtype=bool)
  return jnp.argmax(jnp.where(itself, -jnp.inf, cosines), axis=1)


def _units(student, teacher, candidates):
  student, teacher, candidates = (
    l2_normalize(x.astype(jnp.float32)) for x in (student, teacher, candidates)
  )
  return student, stop_gradient(teacher), stop_gradient(candidates)


def _partition(queries, candidates, block_size):
  """Log of the sum of exp(query @ candidate) over the candidates, [batch]."""
  tags = (_untold(x.shape[0]) for x in (queries, candidates))
  terms = row_terms(_counted, queries, candidates, *tags, block_size=block_size)
  return terms.log_partition


def _expected(queries, candidates, block_size):
  """Log-partition [batch] and the candidates averaged by their softmax [batch, dim].

  The average is the gradient of the log-partition, which is computed in blocks
  already; a cross-entropy needs nothing else of the teacher's distribution, since it
  is linear in the student's logits. A last coordinate, 0 in the queries and 1 in the
  candidates, averages to the sum of the probabilities: off 1 by the rounding of the
  log-partition, which the student's large logits would magnify.
  """
  queries = jnp.pad(queries, ((0, 0), (0, 1)))
  candidates = jnp.pad(candidates, ((0, 0), (0, 1)), constant_values=1.0)
  partition, pull = jax.vjp(lambda q: _partition(q, candidates, block_size), queries)
  (mean,) = pull(jnp.ones_like(partition))
  return stop_gradient((partition, mean[:, :-1] / mean[:, -1:]))


def _counted(rows, columns):
  counted = rows.sample == columns.sample
  return counted, ~counted


def _untold(count):
  same = jnp.zeros(count, jnp.int32)
  return Tags(sample=same, group=same)


def _check_temperatures(student_temperature, teacher_temperature):
  check_positive(
    student_temperature=student_temperature, teacher_temperature=teacher_temperature
  )


def _check_center(center, teacher):
  if center.shape != teacher.shape[-1:]:
    raise InputError(
      f"`center` is {list(center.shape)} for {teacher.shape[-1]} prototypes; pass one "
      "number per prototype, [prototypes]."
    )


def _check_same_shape(**arrays):
  chex.assert_equal_shape(
    list(arrays.values()),
    custom_message=f"Pass {' and '.join(arrays)} of the same shape",
    exception_type=InputError,
  )


def _check_patches(student, teacher, mask):
  _check_same_shape(student=student, teacher=teacher)
  if student.ndim != 3 or mask.shape != student.shape[:2]:
    raise InputError(
      f"`student` is {list(student.shape)} and `mask` {list(mask.shape)}; pass "
      "[batch, patches, prototypes] and [batch, patches]."
    )


def _check_relations(student, teacher, candidates, options):
  check_paired(student=student, teacher=teacher)
  check_matrices(candidates=candidates)
  check_rows(1, "an empty one has no loss", student=student, candidates=candidates)
  if student.shape[1] != candidates.shape[1]:
    raise InputError(
      f"`candidates` has {candidates.shape[1]} dimensions and `student` "
      f"{student.shape[1]}; pass candidates of [count, dim] with the student's dim."
    )
  *temperatures, block_size = options
  _check_temperatures(*temperatures)
  check_block_size(block_size)
