"""Optimisers and schedules, against published curves and steps by hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxssl import models, ops, optim
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


@pytest.mark.parametrize("case", golden.load("schedule_mae"))
def test_warmup_cosine_is_maes_at_fractional_epochs(case):
  options, per_epoch = case.options, 1000  # the epochs are given to a thousandth
  schedule = optim.warmup_cosine(
    options["learning_rate"],
    steps=options["epochs"] * per_epoch,
    warmup=options["warmup_epochs"] * per_epoch,
    end=options["min_learning_rate"],
  )
  check_curve(schedule, case, per_epoch)


@pytest.mark.parametrize("case", golden.load("schedule_mocov3"))
def test_warmup_cosine_is_moco_v3s_at_fractional_epochs(case):
  options, per_epoch = case.options, 1000
  schedule = optim.warmup_cosine(
    options["learning_rate"],
    steps=options["epochs"] * per_epoch,
    warmup=options["warmup_epochs"] * per_epoch,
  )
  check_curve(schedule, case, per_epoch)


def check_curve(schedule, case, per_epoch):
  steps = np.round(case.inputs["epoch"] * per_epoch).astype(np.int32)
  atol, rtol = case.tolerance["learning_rate"]
  expected = case.outputs["learning_rate"]
  np.testing.assert_allclose(
    jax.vmap(schedule)(jnp.asarray(steps)), expected, atol=atol, rtol=rtol
  )


def test_a_warmup_has_a_start_and_an_end():
  schedule = optim.warmup_cosine(1.0, steps=12, warmup=2, start=0.5, end=0.001)
  got = [float(schedule(step)) for step in (0, 1, 2, 7, 12, 13)]
  np.testing.assert_allclose(got, [0.5, 0.75, 1.0, 0.5005, 0.001, 0.001], rtol=1e-5)


def test_linear_scaling_is_per_256_rows():
  assert optim.linear_scaling(0.3, 4096) == pytest.approx(4.8)
  with pytest.raises(InputError, match="at least 1 row, not 0"):
    optim.linear_scaling(0.3, 0)


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


def test_adamw_takes_betas():
  tx = optim.adamw(0.1, weight_decay=0.0, b1=0.0, b2=0.0)
  got = moved(tx, jax.tree.map(lambda x: -3.0 * x, PARAMS))["encoder"]
  np.testing.assert_allclose(got["kernel"], -0.1, rtol=1e-5)  # rate * sign


def decay_of_each_step(tx, steps):
  """How much of a weight each step takes away when gradients are 0."""
  params, state, taken = PARAMS, tx.init(PARAMS), []
  update = jax.jit(tx.update)
  for _ in range(steps):
    updates, state = update(ZEROS, state, params)
    after = optax.apply_updates(params, updates)
    ratio = after["encoder"]["kernel"] / params["encoder"]["kernel"]
    taken.append(1.0 - float(ratio[0, 0]))
    params = after
  return taken


@pytest.mark.parametrize("wrap", ["alone", "by_shape", "by_part", "clipped", "both"])
def test_pitfall_8_schedules_read_the_step_of_the_optimiser(wrap):
  rate = optim.warmup_cosine(0.5, steps=6, warmup=2)
  tx = optim.adamw(rate, weight_decay=ops.cosine(0.04, 0.4, steps=6))
  tx = {
    "alone": lambda: tx,
    "by_shape": lambda: optim.by_shape(tx, optax.sgd(rate)),
    "by_part": lambda: optim.by_part({"predictor": optax.sgd(rate)}, tx),
    "clipped": lambda: optax.chain(optim.clip_each(3.0), tx),
    "both": lambda: optim.by_part({"predictor": tx}, optim.by_shape(tx, tx)),
  }[wrap]()
  decay = [0.4 + (0.04 - 0.4) * (1 + np.cos(np.pi * t / 6)) / 2 for t in range(6)]
  rates = [0.0, 0.25, *[0.25 * (1 + np.cos(np.pi * t / 4)) for t in range(4)]]
  expected = np.multiply(decay, rates)
  np.testing.assert_allclose(decay_of_each_step(tx, 6), expected, atol=1e-6)


def test_pitfall_8_lars_reads_the_step_of_the_optimiser():
  rates = jnp.asarray([0.1, 0.4, 0.2])
  grads = jax.tree.map(jnp.ones_like, PARAMS)
  for form in FORMS.values():
    tx = form(lambda step: rates[step], weight_decay=0.0, momentum=0.0)
    state, update = tx.init(PARAMS), jax.jit(tx.update)
    for rate in rates:
      updates, state = update(grads, state, PARAMS)
      np.testing.assert_allclose(updates["encoder"]["bias"], -rate, rtol=1e-6)


FORMS = {
  "lars": optim.lars,
  "lars_rate_inside": optim.lars_rate_inside,
  "lars_separate_norms": optim.lars_separate_norms,
  "lars_clipped": optim.lars_clipped,
}
CASES = [(name, case) for name in FORMS for case in golden.load(name)]


def part(arrays, prefix):
  """The tensors whose names start with `prefix`/."""
  names = [name for name in arrays if name.startswith(f"{prefix}/")]
  return {n.split("/")[1]: jnp.asarray(arrays[n], jnp.float32) for n in names}


@pytest.mark.parametrize(("name", "case"), CASES)
def test_lars_is_the_references(name, case):
  options, rates = case.options, jnp.asarray(case.options["learning_rates"])
  tx = FORMS[name](
    lambda step: rates[step],
    weight_decay=options["weight_decay"],
    momentum=options["momentum"],
    trust=options["trust_coefficient"],
  )
  params = part(case.inputs, "param")
  state = tx.init(params)
  for step in range(len(rates)):
    grads = part(case.inputs, f"grad_step{step}")
    updates, state = tx.update(grads, state, params)
    params = optax.apply_updates(params, updates)
    for tensor, value in params.items():
      output = f"step{step}/{tensor}"
      atol, rtol = case.tolerance[output]
      np.testing.assert_allclose(value, case.outputs[output], atol=atol, rtol=rtol)


@pytest.mark.parametrize("name", FORMS)
def test_lars_takes_a_constant_rate(name):
  ones = jax.tree.map(jnp.ones_like, PARAMS)
  constant = moved(FORMS[name](0.3, weight_decay=0.1), ones)
  schedule = moved(FORMS[name](lambda step: 0.3, weight_decay=0.1), ones)
  jax.tree.map(np.testing.assert_array_equal, constant, schedule)


@pytest.mark.parametrize("name", ["lars", "lars_rate_inside"])
def test_lars_moves_weights_by_their_norm_and_biases_by_the_gradient(name):
  grads = jax.tree.map(lambda x: 1e3 * x, PARAMS)
  got = moved(FORMS[name](0.5, weight_decay=0.0), grads)["encoder"]
  np.testing.assert_allclose(np.linalg.norm(got["kernel"]), 0.5 * 1e-3 * 2, rtol=1e-4)
  np.testing.assert_allclose(got["bias"], 500.0, rtol=1e-5)


@pytest.mark.parametrize("name", FORMS)
def test_lars_is_finite_at_zero(name):
  tx = FORMS[name](0.5, weight_decay=0.1)
  for params in (PARAMS, ZEROS):
    updates, _ = tx.update(ZEROS, tx.init(params), params)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(updates))


@pytest.mark.parametrize("name", FORMS)
def test_lars_keeps_the_types_of_the_state(name):
  tx = FORMS[name](optim.warmup_cosine(0.5, steps=4), weight_decay=0.1)
  params = {"kernel": jnp.ones((2, 2), jnp.bfloat16), "bias": jnp.ones(2)}
  state = tx.init(params)
  with jax.numpy_dtype_promotion("strict"):
    updates, after = tx.update(params, state, params)
  kinds = lambda tree: jax.tree.map(lambda x: (x.shape, x.dtype), tree)
  assert kinds(updates) == kinds(params)
  assert kinds(after) == kinds(state)


@pytest.mark.parametrize("name", FORMS)
def test_the_momentum_of_lars_is_named_trace(name):
  state = FORMS[name](0.5, weight_decay=0.1).init(PARAMS)
  trace = optax.tree_utils.tree_get(state, "trace")
  assert jax.tree.structure(trace) == jax.tree.structure(PARAMS)


def test_shapes_have_their_own_optimiser():
  ones = jax.tree.map(jnp.ones_like, PARAMS)
  got = moved(optim.by_shape(optax.sgd(1.0), optax.sgd(0.1)), ones)["encoder"]
  np.testing.assert_allclose(got["kernel"], 1.0, rtol=1e-6)
  np.testing.assert_allclose(got["bias"], 0.1, rtol=1e-6)


def test_clip_each_clips_each_tensor():
  grads = {"large": jnp.full((2, 2), 5.0), "small": jnp.full(4, 0.5)}
  tx = optim.clip_each(3.0)
  got, _ = tx.update(grads, tx.init(grads), grads)
  np.testing.assert_allclose(got["large"], 1.5, rtol=1e-5)  # norm 10 -> 3
  np.testing.assert_array_equal(got["small"], 0.5)  # norm 1 stays
  zero, _ = tx.update(jax.tree.map(jnp.zeros_like, grads), tx.init(grads), grads)
  assert all((x == 0).all() for x in jax.tree.leaves(zero))
  with pytest.raises(InputError, match="positive norm, not 0"):
    optim.clip_each(0.0)


def test_layers_move_by_their_place():
  tree = {"encoder": {"blocks_0": jnp.ones(2), "position": jnp.ones(2)}}
  tree |= {"head": (jnp.ones(2), jnp.ones(2, jnp.bfloat16))}
  tx = optim.layer_decay(0.5, depth=1, layer=optim.vit_layer(1))
  moved, _ = tx.update(tree, tx.init(tree), tree)
  assert [float(x[0]) for x in jax.tree.leaves(moved)] == [0.5, 0.25, 1.0, 1.0]
  assert moved["head"][1].dtype == jnp.bfloat16
  doubled, _ = optim.by_path(lambda names: 2.0 * ("1" in names)).update(tree, ())
  assert [float(x[0]) for x in jax.tree.leaves(doubled)] == [0.0, 0.0, 0.0, 2.0]


def test_every_part_of_a_vit_has_its_layer():
  positions = functools.partial(models.LearnedPositions, grid=(2, 2))
  vit = models.ViT(
    width=8,
    depth=11,
    heads=2,
    patch=4,
    registers=1,
    mask_token=True,
    positions=positions,
  )
  x = jnp.zeros((1, 8, 8, 3))
  params = jax.eval_shape(lambda: vit.init(jax.random.key(0), x, train=False))
  assert optim.vit_depth(params) == 11
  layer = optim.vit_layer(11)
  found = {name: layer(("params", name, "kernel")) for name in params["params"]}
  blocks = {f"blocks_{i}": i + 1 for i in range(11)}
  first = ("patch_embed", "position", "token", "registers", "mask_token")
  assert found == {**blocks, **dict.fromkeys(first, 0), "norm": 12}
  assert optim.vit_depth({"conv0": jnp.ones(1), "blocks": jnp.ones(1)}) == 0
