"""Ten training steps equal those of reference implementations, weight by weight."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxssl import core, methods
from jaxssl.methods import common
from jaxssl.methods.common import QueueExtra, TargetExtra
from jaxssl.models.siamese import Siamese, apply_views
from tests import golden

STEPS = 10
ROWS = {"bn1": 16 * 64, "bn2": 16 * 16, "bn3": 16 * 4}  # that a batch norm averages


class Encoder(nn.Module):
  """Convolution, batch norm, ReLU three times, then the mean over space."""

  @nn.compact
  def __call__(self, x, *, train, keys=None):
    for i, (width, stride) in enumerate(((8, 1), (16, 2), (32, 2)), start=1):
      x = nn.Conv(
        width, (3, 3), stride, padding=((1, 1), (1, 1)), use_bias=False, name=f"conv{i}"
      )(x)
      x = nn.relu(norm(train, f"bn{i}")(x))
    return x.mean((1, 2))


class Fc(nn.Module):
  """A linear layer; or linear, batch norm or nothing, ReLU, linear."""

  kind: str

  @nn.compact
  def __call__(self, x, *, train, keys=None):
    if self.kind == "linear":
      return nn.Dense(16, name="fc")(x)
    x = nn.Dense(32, name="0")(x)
    x = norm(train, "1")(x) if self.kind == "norm" else x
    return nn.Dense(16, name="3" if self.kind == "norm" else "2")(nn.relu(x))


def norm(train, name):
  return nn.BatchNorm(
    use_running_average=not train, momentum=0.9, use_fast_variance=False, name=name
  )


def variables(arrays, prefix, projector):
  """Params and statistics of encoder and projector from a case's arrays."""
  params, stats = {}, {}
  for path, value in arrays.items():
    if path.startswith(prefix):
      *where, leaf = path[len(prefix) :].split("/")
      module = "projector" if where[0] == "fc" else "encoder"
      where = where[1:] if where[0] == "fc" and projector == "mlp" else where
      into, leaf = (stats, leaf) if leaf in ("mean", "var") else (params, leaf)
      put(into, [module, *where, leaf], value)
  return params, stats


def put(tree, path, value):
  for name in path[:-1]:
    tree = tree.setdefault(name, {})
  tree[path[-1]] = jnp.asarray(value, jnp.float32)


def with_predictor(case, kind, pair):
  """Adds the predictor's arrays to params and statistics."""
  prefix = f"{kind}/predictor/"
  arrays = case.inputs if kind == "initial" else case.outputs
  for path, value in arrays.items():
    if path.startswith(prefix):
      layer, leaf = path[len(prefix) :].split("/")
      put(pair[leaf in ("mean", "var")], ["predictor", layer, leaf], value)
  return pair


def first_state(case, params, extra):
  """The optimiser, and a state with the given weights."""
  tx = optax.sgd(case.options["learning_rate"], case.options["sgd_momentum"])
  key = jax.random.key(0)
  state = core.TrainState(jnp.int32(0), key, params, tx.init(params), extra)
  return tx, state


def run(case, method, tx, state):
  """Returns the states after each step, and the losses."""
  step = jax.jit(functools.partial(core.train_step, method, tx))
  states, losses = [], []
  for views in case.inputs["views"]:
    batch = {"input": jnp.asarray(views.swapaxes(0, 1), jnp.float32)}
    state, metrics = step(state, batch)
    states.append(state)
    losses.append(float(metrics["loss"]))
  return states, losses


def assert_arrays(case, kind, got, expected, updates):
  """Compares parameters and running statistics with a case's final arrays."""
  for got_tree, expected_tree in zip(got, expected, strict=True):
    flat = jax.tree_util.tree_leaves_with_path(expected_tree)
    for path, value in flat:
      mine = functools.reduce(lambda tree, entry: tree[entry.key], path, got_tree)
      if path[-1].key == "var":
        value = biased(path[-2].key, value, updates)
      np.testing.assert_allclose(
        mine, value, rtol=2e-4, atol=2e-5, err_msg=f"{kind} {path}"
      )


def biased(layer, unbiased, updates):
  """Torch stores the unbiased variance: takes its share out of the running mean."""
  rows, start = ROWS.get(layer, 16), 0.9**updates
  return (unbiased - start) * (rows - 1) / rows + start


def pair_of_views(key, example):
  """The two views that the reference was given."""
  del key
  return example[0], example[1]


def test_simclr():
  case = golden.load("trajectory_simclr")[0]
  net = Siamese(Encoder(), Fc("linear"))
  method = methods.simclr(net, pair_of_views, temperature=0.2, apply=apply_views)
  params, stats = variables(case.inputs, "initial/", "linear")
  extra = common.Extra({"batch_stats": stats})
  states, losses = run(case, method, *first_state(case, params, extra))
  np.testing.assert_allclose(losses, case.outputs["losses"], rtol=1e-5)
  got = states[-1].params, states[-1].extra.stats["batch_stats"]
  expected = variables(case.outputs, "final/", "linear")
  assert_arrays(case, "online", got, expected, updates=2 * STEPS)


def test_pitfall_9_byol_moves_its_target_after_the_step():
  case = golden.load("trajectory_byol")[0]
  net = Siamese(Encoder(), Fc("norm"), Fc("norm"))
  constant = lambda step: jnp.float32(case.options["ema"])
  method = methods.byol(net, pair_of_views, momentum=constant)
  pair = variables(case.inputs, "initial/online/", "mlp")
  params, stats = with_predictor(case, "initial", pair)
  target, target_stats = variables(case.inputs, "initial/target/", "mlp")
  extra = TargetExtra({"batch_stats": stats}, target, {"batch_stats": target_stats})
  states, losses = run(case, method, *first_state(case, params, extra))
  np.testing.assert_allclose(losses, case.outputs["losses"], rtol=1e-5)
  last = states[-1]
  online = with_predictor(
    case, "final", variables(case.outputs, "final/online/", "mlp")
  )
  got = last.params, last.extra.stats["batch_stats"]
  assert_arrays(case, "online", got, online, updates=2 * STEPS)
  got = last.extra.target, last.extra.target_stats["batch_stats"]
  target = variables(case.outputs, "final/target/", "mlp")
  assert_arrays(case, "target", got, target, updates=2 * STEPS)


def test_pitfall_9_moco_v2_moves_its_keys_before_the_step():
  case = golden.load("trajectory_moco_v2")[0]
  net = Siamese(Encoder(), Fc("plain"))
  method = methods.moco_v2(
    net, pair_of_views, queue_size=64, momentum=0.99, temperature=0.2
  )
  params, stats = variables(case.inputs, "initial/encoder_q/", "mlp")
  target, target_stats = variables(case.inputs, "initial/encoder_k/", "mlp")
  extra = QueueExtra(
    {"batch_stats": stats},
    target,
    {"batch_stats": target_stats},
    jnp.asarray(case.inputs["queue"], jnp.float32),
    jnp.int32(0),
  )
  states, losses = run(case, method, *first_state(case, params, extra))
  np.testing.assert_allclose(losses, case.outputs["losses"], rtol=1e-5)
  last = states[-1]
  query = variables(case.outputs, "final/encoder_q/", "mlp")
  got = last.params, last.extra.stats["batch_stats"]
  assert_arrays(case, "query", got, query, updates=STEPS)
  # The reference moves its keys at the start of a step, this library at the end.
  got = states[-2].extra.target, last.extra.target_stats["batch_stats"]
  key = variables(case.outputs, "final/encoder_k/", "mlp")
  assert_arrays(case, "key", got, key, updates=STEPS)
  queue = case.outputs["final_queue"]
  np.testing.assert_allclose(last.extra.queue, queue, rtol=1e-4, atol=1e-5)
  assert int(last.extra.pointer) == case.outputs["final_pointer"].item()
