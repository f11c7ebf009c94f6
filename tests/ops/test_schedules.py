"""Schedules against the published curves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl import ops
from jaxssl.errors import InputError
from tests import golden


def curve(schedule, steps):
  return jax.vmap(schedule)(jnp.asarray(steps, jnp.int32))


@pytest.mark.parametrize("case", golden.load("schedule_dino"))
def test_cosine_is_dinos(case):
  options, epoch = case.options, case.options["steps_per_epoch"]
  schedule = ops.cosine(
    options["base_value"],
    options["final_value"],
    steps=options["epochs"] * epoch,
    warmup=options["warmup_epochs"] * epoch,
    warmup_from=options["start_warmup_value"],
  )
  atol, rtol = case.tolerance["value"]
  got = curve(schedule, case.inputs["step"])
  np.testing.assert_allclose(got, case.outputs["value"], atol=atol, rtol=rtol)


@pytest.mark.parametrize("case", golden.load("schedule_mocov3"))
def test_cosine_ema_is_moco_v3s_at_fractional_epochs(case):
  per_epoch = 1000  # the epochs are given to a thousandth
  steps = case.options["epochs"] * per_epoch
  schedule = ops.cosine_ema(case.options["momentum"], steps=steps)
  got = curve(schedule, np.round(case.inputs["epoch"] * per_epoch))
  np.testing.assert_allclose(got, case.outputs["momentum"], rtol=1e-6)


def test_cosine_ends_at_its_end_and_stays():
  schedule = ops.cosine(0.04, 0.4, steps=10)
  np.testing.assert_allclose(curve(schedule, [0, 5, 10, 11]), [0.04, 0.22, 0.4, 0.4])


def test_swavs_warm_up_has_both_ends_in_it():
  schedule = ops.cosine(4.8, 0.0048, steps=20, warmup=5, warmup_from=0.3)
  expected = [*np.linspace(0.3, 4.8, 5), 4.8]
  np.testing.assert_allclose(curve(schedule, np.arange(6)), expected, rtol=1e-6)


def test_a_warm_up_of_one_step_is_its_first_value():
  schedule = ops.cosine(2.0, 1.0, steps=9, warmup=1, warmup_from=0.5)
  np.testing.assert_allclose(curve(schedule, [0, 1, 9]), [0.5, 2.0, 1.0], rtol=1e-6)


def test_linear_is_constant_after():
  schedule = ops.linear(0.996, 1.0, steps=4)
  expected = [0.996, 0.997, 0.998, 0.999, 1.0, 1.0]
  got = curve(schedule, range(6))
  assert got.dtype == jnp.float32
  np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_per_epoch_is_dinos_teacher_temperature():
  steps, warmup, epochs = 3, 5, 8
  line = ops.linear(0.04, 0.07, steps=(warmup - 1) * steps)
  got = curve(ops.per_epoch(line, steps_per_epoch=steps), range(epochs * steps))
  temperatures = [*np.linspace(0.04, 0.07, warmup), *[0.07] * (epochs - warmup)]
  np.testing.assert_allclose(got, np.repeat(temperatures, steps), rtol=1e-6)


def test_a_schedule_takes_python_ints_too():
  for schedule in (ops.linear(0.0, 1.0, steps=4), ops.cosine_ema(0.5, steps=4)):
    assert float(schedule(2)) == float(schedule(jnp.int32(2)))


@pytest.mark.parametrize(
  ("make", "says"),
  [
    (lambda: ops.linear(0.0, 1.0, steps=0), "linear needs steps >= 1, not 0"),
    (lambda: ops.cosine(0.0, 1.0, steps=0), "does not fit a run of 0"),
    (lambda: ops.cosine(0.0, 1.0, steps=5, warmup=5), "5 steps does not fit"),
    (lambda: ops.per_epoch(abs, steps_per_epoch=0), "steps_per_epoch >= 1, not 0"),
  ],
)
def test_it_refuses(make, says):
  with pytest.raises(InputError, match=says):
    make()
