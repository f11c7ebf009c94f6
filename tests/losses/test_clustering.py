"""SwAV's loss: reference values, a loop, hard points, errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl import losses
from jaxssl.errors import InputError
from tests import golden
from tests.losses import common


def run(scores, codes, temperature=0.1):
  """Rows, and the gradients of their mean."""

  def mean(scores, codes):
    rows = losses.swav(scores, codes, temperature=temperature)
    return jnp.mean(rows), rows

  both = jax.jit(jax.value_and_grad(mean, (0, 1), has_aux=True))
  (_, rows), gradients = both(scores, codes)
  return rows, gradients


def inputs(rows=4, prototypes=6):
  scores, logits = common.normal((rows, prototypes), (rows, prototypes))
  return scores, np.stack([common.softmax(x) for x in logits])


@pytest.mark.parametrize("case", golden.load("swav"), ids=range(3))
def test_published_implementations(case):
  scores, codes = case.inputs["scores"], case.inputs["codes"]
  rows, (gradient, _) = run(scores, codes, **case.options)
  got = {"expected_mean": np.mean(rows), "expected_rows": rows}
  common.assert_matches(got | {"grad_scores": gradient}, case)


def loop_swav(scores, codes):
  rows = []
  for s, q in zip(scores, codes, strict=True):
    log_partition = np.log(sum(np.exp(x / 0.1) for x in s))
    rows.append(sum(c * (log_partition - x / 0.1) for c, x in zip(q, s, strict=True)))
  return np.array(rows)


def test_value_and_gradient_of_a_loop_and_none_through_the_codes():
  scores, codes = inputs()
  rows, (gradient, through_codes) = run(scores, codes)
  exact = [np.float64(x) for x in (scores, codes)]
  np.testing.assert_allclose(rows, loop_swav(*exact), rtol=1e-5)
  numeric = common.numeric_gradient(lambda x: loop_swav(x, exact[1]).mean(), exact[0])
  np.testing.assert_allclose(gradient, numeric, rtol=1e-4, atol=1e-5)
  np.testing.assert_array_equal(through_codes, np.zeros_like(codes))


def test_equal_scores_give_the_log_of_the_number_of_prototypes():
  codes = jnp.full((2, 3000), 1 / 3000)
  rows, _ = run(jnp.zeros((2, 3000)), codes)
  np.testing.assert_allclose(rows, [8.0064] * 2, rtol=1e-4)


def test_rows_that_were_not_assigned_are_zero():
  scores, codes = inputs()
  rows, (gradient, _) = run(scores, codes * np.array([[1], [0], [1], [1]], np.float32))
  assert rows[1] == 0.0 < rows[0]
  np.testing.assert_array_equal(gradient[1], np.zeros(6))


def test_order_and_shift():
  scores, codes = inputs()
  rows, _ = run(scores, codes)
  order, prototypes = np.array([2, 0, 3, 1]), np.array([5, 0, 4, 1, 3, 2])
  shifted = scores + np.linspace(-2, 2, 4, dtype=np.float32)[:, None]
  place = np.ix_(order, prototypes)
  got, _ = run(shifted[place], codes[place])
  np.testing.assert_allclose(got, rows[order], rtol=1e-4)


def test_a_centred_teacher_gives_the_loss_of_dino():
  student, teacher = common.normal((4, 6), (4, 6))
  temperatures = {"student_temperature": 0.1, "teacher_temperature": 0.5}
  rows = losses.dino(student, teacher, center=jnp.zeros(6), **temperatures)
  codes = np.stack([common.softmax(t / 0.5) for t in teacher])
  np.testing.assert_allclose(run(student, codes)[0], rows, rtol=1e-5)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e3])  # logits of 1e4
def test_hard_points_are_finite_and_in_single(scale, dtype):
  scores, codes = (jnp.asarray(x, dtype) for x in inputs(rows=2))
  rows, gradients = run(scale * scores, codes)
  assert rows.dtype == jnp.float32
  common.assert_finite([rows, gradients])
  widened = common.widened([scale * scores, codes])
  np.testing.assert_allclose(rows, run(*widened)[0], rtol=1e-6)


@pytest.mark.parametrize(
  ("shapes", "temperature", "message"),
  [
    ([(4,), (4,)], 0.1, r"\[batch, dim\]"),
    ([(3, 4), (1, 4)], 0.1, "same"),
    ([(0, 4), (0, 4)], 0.1, "at least 1"),
    ([(3, 4), (3, 4)], 0.0, "temperature"),
  ],
)
def test_errors_say_what_to_pass(shapes, temperature, message):
  with pytest.raises(InputError, match=message):
    losses.swav(*map(jnp.ones, shapes), temperature=temperature)
