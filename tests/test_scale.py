"""What a run computes with, and in how many parts: precision, remat, accumulation."""

import functools
import inspect
import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxssl import core, plan, registry, runs, train
from jaxssl.errors import InputError
from jaxssl.mesh import data_mesh
from jaxssl.models.layers import REMAT, run_block
from tests.models.nets import ENCODERS

TOY = str(pathlib.Path(__file__).parent / "toy.py") + ":toy"
NETS = {
  "resnet": functools.partial(ENCODERS["resnet"], layers=(2, 1)),
  "vit": functools.partial(ENCODERS["vit"], width=16, depth=3),
  "convnext": functools.partial(ENCODERS["convnext"], layers=(2, 1), layer_scale=1.0),
}
IMAGES = np.random.default_rng(0).random((4, 16, 16, 3), np.float32)


def gradient(make, variables, **options):
  """Loss, gradient and statistics of a net, as a function to trace or to call."""
  net = make(**options)

  def loss(params):
    features, state = net.apply(
      {**variables, "params": params}, IMAGES, train=True, mutable=["batch_stats"]
    )
    assert features.dtype == jnp.float32
    return jnp.mean(features**2), state

  return jax.value_and_grad(loss, has_aux=True)


@functools.cache
def variables_of(name):
  init = functools.partial(NETS[name]().init, train=True)
  variables = jax.jit(init)(jax.random.key(0), IMAGES)
  return {n: v for n, v in variables.items() if n != "intermediates"}


@functools.cache
def result(name, **options):
  variables = variables_of(name)
  return jax.jit(gradient(NETS[name], variables, **options))(variables["params"])


@pytest.mark.parametrize("remat", ["dots", "full"])
@pytest.mark.parametrize("name", NETS)
def test_remat_changes_no_number(name, remat):
  got, expected = result(name, remat=remat), result(name)
  close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6)
  jax.tree.map(close, got, expected)


def test_remat_drops_the_same_paths():
  """The rows' keys reach the blocks, also in the pass that computes them again."""
  keys = jax.random.split(jax.random.key(1), len(IMAGES))
  variables = variables_of("vit")

  def loss(params, remat):
    net = NETS["vit"](drop_path=0.5, remat=remat)
    return jnp.sum(net.apply({"params": params}, IMAGES, train=True, keys=keys) ** 2)

  grads = [
    jax.jit(jax.grad(functools.partial(loss, remat=remat)))(variables["params"])
    for remat in ("none", "full")
  ]
  close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6)
  jax.tree.map(close, *grads)


@pytest.mark.parametrize("name", NETS)
def test_every_block_is_computed_twice(name):
  variables = variables_of(name)
  call = gradient(NETS[name], variables, remat="full")
  program = str(jax.make_jaxpr(call)(variables["params"]))
  assert len(re.findall(r"= remat2?\[", program)) == 3  # in the backward pass


def temporaries(remat):
  variables = variables_of("vit")
  call = gradient(NETS["vit"], variables, remat=remat)
  compiled = jax.jit(call).lower(variables["params"]).compile()
  return compiled.memory_analysis().temp_size_in_bytes


@pytest.mark.skipif(
  jax.__version_info__ < (0, 11), reason="this CPU compiler merges what is twice there"
)
def test_remat_saves_memory():
  assert temporaries("full") < temporaries("dots") < temporaries("none")


@pytest.mark.parametrize("name", NETS)
def test_bfloat16_computes_and_float32_remembers(name):
  (loss, state), grads = result(name, dtype=jnp.bfloat16)
  (expected, _), _ = result(name)
  assert abs(loss - expected) < 0.03 * abs(expected)
  assert all(x.dtype == jnp.float32 for x in jax.tree.leaves((loss, state, grads)))
  variables = variables_of(name)
  call = gradient(NETS[name], variables, dtype=jnp.bfloat16)
  products = list(multiplied(jax.make_jaxpr(call)(variables["params"]).jaxpr))
  short = products.count(jnp.bfloat16)
  assert short > 0.8 * len(products)  # attention's logits and small moments are float32


def multiplied(jaxpr):
  """Yields the dtype of what each product and each convolution multiplies."""
  for equation in jaxpr.eqns:
    if equation.primitive.name in ("dot_general", "conv_general_dilated"):
      yield equation.invars[0].aval.dtype
    for value in jax.tree.leaves(list(equation.params.values())):
      inner = getattr(value, "jaxpr", value)
      if hasattr(inner, "eqns"):
        yield from multiplied(inner)


def test_an_unknown_policy_is_refused():
  with pytest.raises(InputError, match=r"remat policy 'ful'\. Did you mean 'full'"):
    run_block(None, None, remat="ful")
  assert tuple(REMAT) == registry.CHOICES["remat"]


def test_every_encoder_takes_the_settings_of_the_run():
  for name, entry in registry.names().items():
    if "encoder" in inspect.signature(entry.function).parameters:
      source = inspect.getsource(entry.function)
      assert re.search(r"\(\s*encoder,\s*run,", source), name


@pytest.mark.parametrize("name", ["mae_imagenette", "dino_cifar10"])
def test_an_experiment_computes_as_it_is_told(name):
  small = {"data": "blank:16x16x16x3", "size": 16, "batch": 8, "steps": 2}
  told = {"precision": "bfloat16", "remat": "dots", "accumulate": 2}
  experiment = registry.build(name, encoder="vit_toy", **small, **told)
  batch = runs.example_batch(experiment, 8)
  state = jax.eval_shape(runs.first_state(experiment))
  program = str(jax.make_jaxpr(runs.train_step(experiment))(state, batch))
  assert "bf16" in program
  assert re.search(r"= remat2?\[", program)


def test_a_run_accumulates():
  step = runs.train_step(registry.build(TOY, accumulate=4))
  assert step.func is core.accumulated_step
  assert step.args[-1] == 4


@pytest.mark.parametrize(
  ("settings", "message"),
  [
    ({"precision": "bfloat"}, r"precision is 'bfloat'\. Did you mean 'bfloat16'\?"),
    ({"remat": "all"}, r"remat is 'all'\..* It can be: none, dots, full"),
    ({"precision": "bfloat16"}, "net of its own, in float32: precision is for experi"),
    ({"accumulate": 0}, "accumulate is 0; it must be 1 or more"),
    ({"accumulate": 5}, "A batch of 32 does not split into accumulate=5 micro"),
  ],
)
def test_bad_settings(settings, message):
  with pytest.raises(InputError, match=message):
    registry.build(TOY, **settings)


def test_micro_batches_are_the_same_in_a_loop():
  experiment = registry.build(TOY)
  batch = runs.example_batch(experiment, 32)
  state = jax.jit(runs.first_state(experiment))()
  parts = experiment.method, optax.sgd(0.1), 2
  state = state._replace(opt_state=parts[1].init(state.params))
  ends = [
    jax.jit(functools.partial(core.accumulated_step, *parts, unroll=u))(state, batch)
    for u in (True, False)
  ]
  close = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)
  jax.tree.map(close, ends[0][0].params, ends[1][0].params)


def test_a_plan_counts_every_turn_of_a_loop():
  mesh = data_mesh(jax.devices()[:1])
  experiment = registry.build(TOY, accumulate=4)
  flops = [
    plan.lower(experiment, mesh, unroll=u).compile().cost_analysis()["flops"]
    for u in (True, False)
  ]
  assert flops[0] > 1.5 * flops[1]  # why plans take the work from the program without
  assert plan.plan(experiment, mesh).flops == flops[0]


def test_micro_batches_divide_over_the_devices():
  said = "A batch of 32 does not divide in 8 parts over 8 devices; use a multiple of 64"
  with pytest.raises(InputError, match=said):
    train.check(registry.build(TOY, accumulate=8), data_mesh())


@pytest.mark.parametrize("steps", [1, 3])
def test_unrolled_steps_are_no_loop(steps):
  """In a loop, even of one turn, a CPU's convolutions are many times slower."""
  step = lambda state, batch: (state + batch["x"].sum(), {"loss": state})
  data, rows = {"x": jnp.ones(8)}, jnp.zeros((steps, 4), jnp.int32)

  def program(unroll):
    run = core.scan_steps(step, steps, unroll=unroll)
    return jax.jit(run).lower(0.0, data, rows)

  assert "while" in program(False).as_text()
  assert "while" not in program(True).as_text()
  ends = [program(u).compile()(0.0, data, rows) for u in (False, True)]
  jax.tree.map(np.testing.assert_array_equal, *ends)
  assert ends[0][1]["loss"].shape == (steps,)
