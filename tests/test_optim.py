"""Optimisers and schedules, against published curves and steps by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxssl import optim
from jaxssl.errors import InputError
from tests import golden


@pytest.mark.parametrize("case", golden.load("schedule_byol"))
def test_warmup_cosine_is_byols(case):
  options = case.options
  peak = options["base_learning_rate"] * options["batch_size"] / 256
  schedule = optim.warmup_cosine(
    peak, steps=options["total_steps"], warmup=options["warmup_steps"]
  )
  got = [float(schedule(step)) for step in case.inputs["step"]]
  expected = case.outputs["learning_rate"]
  np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def test_without_warmup_it_starts_at_the_peak():
  schedule = optim.warmup_cosine(0.3, steps=10)
  assert float(schedule(0)) == pytest.approx(0.3)
  assert float(schedule(10)) == pytest.approx(0.0, abs=1e-8)


@pytest.mark.parametrize("warmup", [-1, 10, 11])
def test_a_warmup_must_fit(warmup):
  with pytest.raises(InputError, match="does not fit a run of 10"):
    optim.warmup_cosine(0.3, steps=10, warmup=warmup)


PARAMS = {
  "predictor": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)},
  "encoder": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)},
}
ZEROS = jax.tree.map(jnp.zeros_like, PARAMS)


def moved(tx, grads):
  updates, _ = tx.update(grads, tx.init(PARAMS), PARAMS)
  return jax.tree.map(
    lambda new, old: old - new, optax.apply_updates(PARAMS, updates), PARAMS
  )


def test_adamw_decays_weights_and_not_biases():
  got = moved(optim.adamw(0.1, weight_decay=0.5), ZEROS)["encoder"]
  np.testing.assert_allclose(got["kernel"], 0.05, rtol=1e-5)
  np.testing.assert_allclose(got["bias"], 0)


def test_sgd_decays_all_before_the_momentum():
  tx = optim.sgd(0.1, momentum=0.9, weight_decay=0.5)
  state, params = tx.init(PARAMS), PARAMS
  weight, velocity = 1.0, 0.0
  for _ in range(3):
    updates, state = tx.update(ZEROS, state, params)
    params = optax.apply_updates(params, updates)
    velocity = 0.9 * velocity + 0.5 * weight
    weight -= 0.1 * velocity
  np.testing.assert_allclose(params["encoder"]["bias"], weight, rtol=1e-6)


def test_parts_have_their_own_optimiser():
  ones = jax.tree.map(jnp.ones_like, PARAMS)
  got = moved(optim.by_part({"predictor": optax.sgd(1.0)}, optax.sgd(0.1)), ones)
  np.testing.assert_allclose(got["predictor"]["kernel"], 1.0, rtol=1e-6)
  np.testing.assert_allclose(got["encoder"]["kernel"], 0.1, rtol=1e-6)
