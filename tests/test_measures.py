"""The measures beside a step: right where they are due, and never felt by the run."""

import functools
import math
import pathlib
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.extend.core import jaxprs_in_params
from jax.lax import stop_gradient

import jaxssl
from jaxssl import core, evals, feeds, losses, measures, models, runs, train
from jaxssl.augment import two_views
from jaxssl.data import digits
from jaxssl.data.loader import gather
from jaxssl.log import read_metrics
from jaxssl.mesh import data_mesh, replicated, rows_sharded
from jaxssl.methods.common import two_view_method
from jaxssl.models.siamese import draw_views
from jaxssl.registry import Experiment

TOY = str(pathlib.Path(__file__).parent / "toy.py") + ":toy"
ONE = data_mesh(jax.devices()[:1])
OF_INPUT = {
  *("spread", "feature_std", "rankme", "effective_rank", "possible_rank"),
  "alpha_req",
}
OF_VIEWS = {"alignment", "uniformity", "lidar"}
TX = optax.sgd(0.1)


def noisy(key, image):
  return image + 0.3 * jax.random.uniform(key, image.shape)


def linear(views):
  """The least method: one matrix; rows never meet."""

  def init(key, batch):
    dim = math.prod(batch["input"].shape[1:])
    return {"w": jax.random.normal(key, (dim, 12)) / 8}, ()

  def encode(params, extra, batch, *, patches=False):
    x = batch["input"]
    return x.reshape(len(x), -1) @ params["w"]

  def forward(params, extra, batch, keys, step):
    crops, _ = draw_views(views, keys, batch["input"])
    first = jax.tree.leaves(crops)[0]
    return encode(params, extra, {"input": first}), extra

  def objective(params, extra, z, step):
    return jnp.mean(jnp.square(z)), (extra, {})

  return core.Method(init, forward, objective, encode)


def batch_of(rows):
  rng = np.random.default_rng(rows)
  return {"input": rng.uniform(size=(rows, 4, 4, 1)).astype(np.float32)}


def steps_of(method, views, *, every=2, last=5):
  """The plain step and the measured one."""
  step = functools.partial(core.train_step, method, TX)
  return step, measures.measured(step, method, views, every=every, last=last)


def first_state(method, batch):
  return core.init_state(method, TX, jax.random.key(0), batch)


def names_of(views, rows=8, method=None):
  """The measures that there are, of one traced step."""
  method, batch = method or linear(views), batch_of(rows)
  _, step = steps_of(method, views)
  _, metrics = jax.eval_shape(step, first_state(method, batch), batch)
  found = {n for n in metrics if n.startswith(measures.PREFIX)}
  return {n.removeprefix(measures.PREFIX) for n in found}


def test_they_are_computed_at_every_other_step_and_at_the_last():
  views, batch = two_views(noisy), batch_of(8)
  method = linear(views)
  step = jax.jit(steps_of(method, views)[1])
  state, seen = first_state(method, batch), []
  for _ in range(6):
    state, metrics = step(state, batch)
    values = {n: float(x) for n, x in metrics.items() if n.startswith("measure/")}
    assert len({math.isnan(x) for x in values.values()}) == 1
    seen.append(not math.isnan(values["measure/rankme"]))
  assert seen == [False, True, False, True, True, True]
  assert step._cache_size() == 1


@pytest.mark.parametrize("rows", [8, 300])
def test_they_are_of_the_new_parameters_on_the_first_rows_and_their_views(rows):
  views, batch = two_views(noisy), batch_of(rows)
  method = linear(views)
  before = first_state(method, batch)
  after, metrics = jax.jit(steps_of(method, views, every=1)[1])(before, batch)
  encode = lambda x: method.encode(after.params, after.extra, {"input": x})
  inputs = batch["input"][: measures.MOST_ROWS]
  a, b = map(encode, draw_views(views, core.row_keys(before, len(inputs)), inputs)[0])
  z = encode(inputs)
  expected = {
    **evals.collapse_measures(z),
    "alpha_req": evals.alpha_req(z),
    "alignment": evals.alignment(a, b),
    "uniformity": (evals.uniformity(a) + evals.uniformity(b)) / 2,
    "lidar": evals.lidar(jnp.stack([a, b], axis=1)),
  }
  assert expected.keys() == OF_INPUT | OF_VIEWS
  for name, value in expected.items():
    np.testing.assert_allclose(metrics["measure/" + name], value, rtol=1e-3)


def primitives(jaxpr, *, inside_conditions):
  """Names of all operations of a program, those of its subprograms too."""
  for equation in jaxpr.eqns:
    yield equation.primitive.name
    if equation.primitive.name == "cond" and not inside_conditions:
      continue
    for sub in jaxprs_in_params(equation.params):
      yield from primitives(sub, inside_conditions=inside_conditions)


def test_other_steps_do_not_pay():
  """Outside the condition there is no more work than a few integers."""
  views, batch = two_views(noisy), batch_of(8)
  method = linear(views)
  state = first_state(method, batch)
  plain, step = (
    jax.make_jaxpr(step)(state, batch).jaxpr for step in steps_of(method, views)
  )
  assert "svd" in primitives(step, inside_conditions=True)
  for name in ("dot_general", "svd", "random_bits"):
    count = lambda jaxpr, n=name: [*primitives(jaxpr, inside_conditions=False)].count(n)
    assert count(step) == count(plain)


class Masked(NamedTuple):
  """A view that is no array."""

  image: jax.Array
  mask: jax.Array


def cut(key, image):
  return image[:2, :2]


def masked(key, image):
  return Masked(image, image > 0.5)


@pytest.mark.parametrize(
  ("views", "names"),
  [
    ((noisy, noisy), OF_INPUT | OF_VIEWS),
    ((noisy, cut, noisy), OF_INPUT | OF_VIEWS),
    ((noisy,), OF_INPUT),
    ((noisy, cut), OF_INPUT),
    ((noisy, cut, cut), OF_INPUT),  # the encoder takes no small views
    ((masked, masked), OF_INPUT),
  ],
  ids=["two", "multi-crop", "one", "two sizes", "small", "masked"],
)
def test_views_that_have_no_match_are_left_out(views, names):
  of_all = lambda key, image: tuple(view(key, image) for view in views)
  assert names_of(of_all) == names


def test_rows_too_few_and_encoders_that_fail_are_left_out():
  views = two_views(noisy)
  assert names_of(views, rows=3) == OF_INPUT | OF_VIEWS
  assert names_of(views, rows=2) == names_of(views, rows=1) == set()

  def refuse(*args, **kwargs):
    raise TypeError("no")

  assert names_of(views, method=linear(views)._replace(encode=refuse)) == set()


OPTIMISED = {"xla_backend_optimization_level": 3}  # as users compile, unlike tests


def after_steps(experiment, step, mesh, count):
  """The state after some steps on a mesh, and the metrics of the last."""
  whole, rows = replicated(mesh), rows_sharded(mesh)
  shardings = {"in_shardings": (whole, rows), "out_shardings": whole}
  step = jax.jit(step, **shardings, compiler_options=OPTIMISED)
  state = runs.make_init(experiment, mesh)()
  for number in range(count):
    index = 32 * number + np.arange(32)
    state, metrics = step(state, gather(experiment.data.train, index))
  plain = state._replace(key=jax.random.key_data(state.key))
  return jax.device_get(plain), {n: float(x) for n, x in metrics.items()}


@pytest.mark.parametrize("devices", [1, 8])
def test_the_run_is_the_same_to_the_last_bit(devices):
  """Queue, EMA, batch statistics and Adam, over steps that are measured and not."""
  mesh, experiment = data_mesh(jax.devices()[:devices]), jaxssl.build(TOY)
  method = experiment.method
  plain = functools.partial(core.train_step, method, experiment.tx)
  step = measures.measured(plain, method, experiment.views, every=2, last=4)
  expected, others = after_steps(experiment, plain, mesh, 4)
  state, metrics = after_steps(experiment, step, mesh, 4)
  jax.tree.map(np.testing.assert_array_equal, state, expected)
  found = {n: x for n, x in metrics.items() if n.startswith("measure/")}
  assert len(found) == 9 and all(map(math.isfinite, found.values()))
  assert {n: x for n, x in metrics.items() if n not in found} == others


@pytest.mark.parametrize("data", ["resident", "host"])
def test_both_feeds_measure(data):
  experiment = jaxssl.build(TOY, data=data, steps=3, log_every=2)
  feed, state = feeds.make_feed(experiment, ONE), runs.make_init(experiment, ONE)()
  seen = []
  for _, args in feed.chunks(0, 3):
    state, metrics = feed.advance(state, *args)
    seen.append(bool(np.isfinite(metrics["measure/rankme"][-1])))
  assert seen == [False, True, True]


def test_eight_devices_measure_what_one_does():
  views, batch = two_views(noisy), batch_of(264)  # 256 rows: of all devices but one
  method = linear(views)
  _, step = steps_of(method, views, every=1)
  mesh = data_mesh()
  whole, rows = replicated(mesh), rows_sharded(mesh)
  split = jax.jit(step, in_shardings=(whole, rows), out_shardings=whole)
  state = first_state(method, batch)
  one, eight = (run(state, batch)[1] for run in (jax.jit(step), split))
  for name, value in one.items():
    np.testing.assert_allclose(eight[name], value, rtol=1e-3, err_msg=name)


def test_a_verdict_on_what_was_measured():
  healthy = {"spread": 0.5, "feature_std": 0.5, "effective_rank": 9.0}
  metrics = {f"measure/{n}": x for n, x in {**healthy, "possible_rank": 12.0}.items()}
  assert measures.warning(metrics) is None
  assert "collapsing" in measures.warning({**metrics, "measure/spread": 0.01})
  assert "diverged" in measures.warning({**metrics, "measure/spread": math.nan})
  assert measures.warning({"loss": 1.0}) is None


class Dense(nn.Module):
  """Dense layers with ReLU between."""

  widths: tuple[int, ...]

  @nn.compact
  def __call__(self, x, *, train, keys=None):
    x = x.reshape(len(x), -1)
    for width in self.widths[:-1]:
      x = nn.relu(nn.Dense(width)(x))
    return nn.Dense(self.widths[-1])(x)


class Same(nn.Module):
  """No projector: the loss compares the features themselves."""

  def __call__(self, x, *, train, keys=None):
    return x


def shifted(key, image):
  key_shift, key_noise = jax.random.split(key)
  image = jnp.roll(image, jax.random.randint(key_shift, (2,), -1, 2), (0, 1))
  return image + 0.2 * jax.random.normal(key_noise, image.shape)


def simsiam(target):
  """SimSiam on digits with `target` in the place of its stop-gradient."""

  def loss(first, second):
    (z_a, p_a), (z_b, p_b) = first, second
    forth = losses.negative_cosine(p_a, target(z_b))
    back = losses.negative_cosine(p_b, target(z_a))
    return (forth.mean() + back.mean()) / 2

  views = two_views(shifted)
  net = models.Siamese(Dense((64, 64, 32)), Same(), Dense((16, 32)))
  outputs = lambda e: (e.projection, e.prediction)
  method = two_view_method(net, views, outputs=outputs, loss=loss)
  every = {"log_every": 25, "eval_every": 200, "checkpoint_every": 200}
  run = jaxssl.Run(steps=200, batch=64, **every)
  tx = optax.sgd(0.05, momentum=0.9)
  return Experiment("simsiam", "-", {}, run, method, tx, digits(), views)


def warned_at(experiment, out):
  """Steps at which the step's own measures brought a warning, and what was said."""
  said = []
  with train.Trainer(experiment, out, ONE, (), said.append) as trainer:
    trainer.run(resume=False)
  rows = read_metrics(out / "metrics.jsonl")
  logged = [row for row in rows if "measure/rankme" in row]
  assert [row["step"] for row in logged] == list(range(25, 201, 25))
  return [row["step"] for row in logged if "collapsing" in row.get("warning", "")], said


def test_pitfall_17_a_collapse_is_flagged_within_200_steps(tmp_path):
  steps, said = warned_at(simsiam(lambda z: z), tmp_path / "collapsing")
  assert steps and steps[-1] == 200
  assert len(said) == 1 and said[0].startswith(f"Step {steps[0]}: The representation")
  assert warned_at(simsiam(stop_gradient), tmp_path / "healthy") == ([], [])
