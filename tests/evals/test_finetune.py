import json

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxssl import optim
from jaxssl.data import ArraySource, DataSet
from jaxssl.errors import InputError
from jaxssl.evals import (
  RECIPE,
  Table,
  as_markdown,
  as_text,
  finetune,
  finetune_line,
  label_subset,
)
from jaxssl.evals.finetune import _fit, _joined, _mixed, _optimiser, _split
from jaxssl.evals.training_mode import in_training
from jaxssl.models.layers import BatchNorm, DropPath

SHORT = RECIPE._replace(epochs=1, minimum_steps=20, batch=32, learning_rate=0.1)


@pytest.fixture(autouse=True)
def loose_types(strict_types):
  """optax's Adam relies on the promotion of types."""
  with jax.numpy_dtype_promotion("standard"):
    yield


def two_classes(rows, seed):
  """Rows whose class is the sign of their first entry."""
  x = np.random.default_rng(seed).normal(size=(rows, 6)).astype(np.float32)
  return ArraySource({"input": x, "label": (x[:, 0] > 0).astype(np.int32)})


def toy(train, test):
  return DataSet("toy", train, test, ("dark", "light"))


DATA = toy(two_classes(96, 0), two_classes(64, 1))


class Net(nn.Module):
  """Dense layer, batch norm and bias at the end; the head is of another task."""

  norm: str = "own"

  @nn.compact
  def __call__(self, x, *, train):
    x = nn.relu(self._norm(nn.Dense(8)(x), train))
    bias = self.param("bias", nn.initializers.zeros, (1, 8))
    return x + bias, nn.Dense(3, name="head")(x)

  def _norm(self, x, train):
    if self.norm == "own":
      return BatchNorm(name="norm")(x, train=train)
    return nn.BatchNorm(use_running_average=not train, momentum=0.9, name="norm")(x)


def made(net, x):
  """A plain encode and variables as a run has them."""
  variables = net.init(jax.random.key(0), x, train=False)
  extra = {"stats": {"batch_stats": variables["batch_stats"]}, "step": jnp.int32(3)}
  extra["queue"] = jnp.ones((4, 2))

  def encode(v, x):
    both = {"params": v["params"], **v["extra"]["stats"]}
    return net.apply(both, x, train=False)[0]

  return encode, {"params": variables["params"], "extra": extra}


def names(tree):
  paths = [path for path, _ in jax.tree_util.tree_leaves_with_path(tree)]
  return {"/".join(optim.names_of(path)) for path in paths}


@pytest.mark.parametrize("fraction", [0.001, 0.1, 0.5])
def test_every_class_keeps_its_share(digits, fraction):
  rows = label_subset(digits.labels, fraction=fraction, seed=3)
  whole, part = np.bincount(digits.labels), np.bincount(digits.labels[rows])
  np.testing.assert_array_equal(part, [max(1, round(fraction * n)) for n in whole])
  assert len(set(rows)) == len(rows)


def test_larger_shares_hold_the_smaller_ones(digits):
  small, large, whole = (
    label_subset(digits.labels, fraction=f, seed=0) for f in (0.01, 0.1, 1.0)
  )
  assert set(small) < set(large)
  np.testing.assert_array_equal(whole, np.arange(len(digits.labels)))
  again, other = (label_subset(digits.labels, fraction=0.01, seed=s) for s in (0, 1))
  np.testing.assert_array_equal(small, again)
  assert set(other) != set(small)


@pytest.mark.parametrize("norm", ["own", "flax"])
def test_batch_norm_is_that_of_training(norm):
  net, x = Net(norm), DATA.train.arrays()["input"][:16]
  encode, v = made(net, x)
  train = in_training(encode, drop_path=0.0)

  def total(v):
    features, moves = train(v, x, jax.random.key(0))
    return sum(moves) + features.sum(), features

  moving = _split(encode, v, x[:1])
  value = lambda m: total(_joined(m, moving.fixed))
  slopes, features = jax.grad(value, has_aux=True)(moving.moving)
  old = v["extra"]["stats"]
  wanted, new = net.apply(
    {"params": v["params"], **old}, x, train=True, mutable=["batch_stats"]
  )
  np.testing.assert_allclose(features, wanted[0], rtol=1e-5)
  moved = jax.tree.map(lambda a, b: a - b, old, slopes["extra"]["stats"])
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), moved, new)
  assert not np.allclose(features, encode(v, x))


class Branches(nn.Module):
  @nn.compact
  def __call__(self, x, *, train):
    return jnp.stack([DropPath(0.9)(x, train=train) for _ in range(3)], axis=1)


def test_stochastic_depth_rises_to_the_last_branch():
  x = jnp.ones((400, 5))
  encode = lambda v, x: Branches().apply(v, x, train=False)
  np.testing.assert_array_equal(encode({}, x), jnp.ones((400, 3, 5)))
  kept, _ = in_training(encode, drop_path=0.5)({}, x, jax.random.key(0))
  assert set(np.unique(kept[:, 0])) == {1.0}
  np.testing.assert_allclose(sorted(set(np.unique(kept[:, 1]))), [0, 4 / 3], rtol=1e-6)
  assert set(np.unique(kept[:, 2])) == {0.0, 2.0}
  np.testing.assert_allclose(kept.mean((0, 2)), 1.0, atol=0.15)
  assert bool((kept.max(2) == kept.min(2)).all())  # a row is dropped as a whole


def test_what_encode_depends_on_moves():
  x = DATA.train.arrays()["input"][:2]
  encode, v = made(Net(), x)
  v["params"]["Dense_0"]["kernel"] *= 0.0  # no gradient here, but it moves later
  split = _split(encode, v, x)
  stats = "extra/stats/batch_stats/norm"
  assert names(split.moving) == {
    *(f"params/{n}" for n in ("Dense_0/kernel", "Dense_0/bias", "bias")),
    *(f"params/norm/{n}" for n in ("scale", "bias")),
    *(f"{stats}/{n}" for n in ("mean", "var")),
  }
  whole = _joined(split.moving, split.fixed)
  assert jax.tree.structure(whole) == jax.tree.structure(v)
  jax.tree.map(np.testing.assert_array_equal, whole, v)


def test_what_has_its_gradient_stopped_stays():
  encode = lambda v, x: jax.lax.stop_gradient(x @ v["patches"]) * v["scale"]
  v = {"patches": jnp.ones((6, 4)), "scale": jnp.ones((1, 4)), "key": jax.random.key(0)}
  assert names(_split(encode, v, jnp.ones((2, 6))).moving) == {"scale"}


def test_labels_are_learned_and_the_variables_kept():
  encode, v = made(Net(), DATA.train.arrays()["input"][:2])
  before = jax.tree.map(np.array, v)
  accuracy = finetune(encode, v, DATA, fraction=1.0, recipe=SHORT)
  assert accuracy > 85
  jax.tree.map(np.testing.assert_array_equal, before, v)
  assert finetune(encode, v, DATA, fraction=1.0, recipe=SHORT) == accuracy


def test_steps_are_those_of_adamw_on_encoder_and_head():
  """Against a loop that has nothing of ours but the schedule."""
  x, y = (DATA.train.arrays()[n][:12] for n in ("input", "label"))
  weights = jax.random.normal(jax.random.key(1), (6, 4))
  recipe = SHORT._replace(minimum_steps=10, learning_rate=0.01, label_smoothing=0.2)
  encode = lambda v, x: jnp.tanh(x @ v["w"])
  tuned = _fit(
    encode,
    {"w": weights, "unused": jnp.ones(3)},
    DATA.train,
    np.arange(12),
    classes=2,
    recipe=recipe,
    augment=lambda key, x: x,
    seed=0,
    watch=None,
  )
  params = (weights, jnp.zeros((4, 2)), jnp.zeros(2))
  rate = optim.warmup_cosine(0.01, steps=10, warmup=1)
  tx = optax.adamw(rate, weight_decay=0.05, mask=(True, True, False))
  targets = np.full((12, 2), 0.1, np.float32) + 0.8 * np.eye(2, dtype=np.float32)[y]

  def loss(params):
    w, kernel, bias = params
    logits = jnp.tanh(x @ w) @ kernel + bias[None]
    return -(jax.nn.log_softmax(logits) * targets).sum(1).mean()

  state = tx.init(params)
  for _ in range(10):
    updates, state = tx.update(jax.grad(loss)(params), state, params)
    params = optax.apply_updates(params, updates)
  np.testing.assert_allclose(tuned.variables["w"], params[0], rtol=1e-4, atol=1e-6)
  np.testing.assert_allclose(tuned.kernel, params[1], rtol=1e-4, atol=1e-6)
  np.testing.assert_allclose(tuned.bias, params[2], rtol=1e-4, atol=1e-6)
  np.testing.assert_array_equal(tuned.variables["unused"], 1.0)


def test_early_blocks_move_less():
  params = {"blocks_0": jnp.ones((2, 2)), "blocks_1": jnp.ones((2, 2))}
  params = {"encoder": {"params": params}, "head": jnp.ones((2, 2))}
  tx = _optimiser(RECIPE._replace(layer_decay=0.5, weight_decay=0.0), params, 10)
  state, gradients = tx.init(params), jax.tree.map(jnp.ones_like, params)
  for _ in range(2):  # the warm-up starts at 0
    updates, state = tx.update(gradients, state, params)
  first, second = (updates["encoder"]["params"][f"blocks_{i}"] for i in (0, 1))
  np.testing.assert_allclose(second, 2 * first, rtol=1e-5)
  np.testing.assert_allclose(updates["head"], 2 * second, rtol=1e-5)


def test_branches_drop_while_an_encoder_is_tuned():
  branches = lambda v, x: Branches().apply({}, x @ v["w"], train=False)
  encode = lambda v, x: branches(v, x).reshape(len(x), -1)

  def tuned(rate):
    recipe = SHORT._replace(minimum_steps=2, drop_path=rate)
    options = {"classes": 2, "recipe": recipe, "augment": lambda key, x: x}
    rows = np.arange(12)
    weights = {"w": jnp.ones((6, 4))}
    found = _fit(encode, weights, DATA.train, rows, **options, seed=0, watch=None)
    return np.asarray(found.kernel)

  np.testing.assert_array_equal(tuned(0.0), tuned(0.0))
  assert np.abs(tuned(0.0) - tuned(0.5)).max() > 1e-4


def test_images_and_targets_are_mixed_alike():
  x = jax.random.normal(jax.random.key(0), (8, 3, 2))
  targets = jax.nn.one_hot(jnp.arange(8), 8)
  mixed, labels = _mixed(jax.random.key(1), (x, targets), 0.5)
  np.testing.assert_allclose(labels.sum(1), 1.0, rtol=1e-6)
  np.testing.assert_allclose(mixed, jnp.einsum("ij,jkl->ikl", labels, x), atol=1e-5)
  assert len(np.unique(np.diag(labels))) == 8  # a share for every row
  with pytest.raises(InputError, match="mixup needs"):
    _mixed(jax.random.key(1), jnp.arange(3), 0.5)


def test_the_watch_sees_the_steps():
  seen = []

  class Watch:
    def __init__(self, steps, batch):
      seen.append((steps, batch))

    def __enter__(self):
      return self

    def __exit__(self, *_):
      seen.append("end")

    def update(self, step, loss):
      assert loss > 0
      seen.append(step)

  encode = lambda v, x: x * v
  options = {"fraction": 0.1, "recipe": SHORT, "watch": Watch}
  finetune(encode, jnp.ones((1, 6)), DATA, **options)
  rows = len(label_subset(DATA.train.arrays()["label"], fraction=0.1, seed=0))
  assert seen == [(20, rows), *range(2, 21, 2), "end"]


@pytest.mark.parametrize("warm", [False, True])
def test_a_jitted_encode_hides_its_norms(warm):
  x = DATA.train.arrays()["input"][:1]
  encode, v = made(Net(), x)
  jitted = jax.jit(encode)
  if warm:
    jitted(v, x)
  with pytest.raises(InputError, match="encode is jitted"):
    finetune(jitted, v, DATA, fraction=1.0, recipe=SHORT)


@pytest.mark.parametrize(
  ("changed", "words"),
  [
    ({"fraction": 0.0}, "in \\(0, 1\\]"),
    ({"fraction": 1.5}, "fraction of 1.5"),
    ({"recipe": SHORT._replace(batch=0)}, "batch is 0"),
    ({"recipe": SHORT._replace(learning_rate=-1.0)}, "learning_rate is -1"),
    ({"recipe": SHORT._replace(weight_decay=float("nan"))}, "weight_decay is nan"),
    ({"recipe": SHORT._replace(layer_decay=0.0)}, "layer_decay is 0"),
    ({"recipe": SHORT._replace(label_smoothing=1.0)}, "label_smoothing is 1"),
  ],
)
def test_settings_out_of_range(changed, words):
  with pytest.raises(InputError, match=words):
    finetune(lambda v, x: x * v, jnp.ones(()), DATA, **{"fraction": 1.0, **changed})


def test_data_and_features_that_cannot_be_used():
  unlabelled = ArraySource({"input": DATA.train.arrays()["input"]})
  tune = lambda encode, data: finetune(encode, jnp.ones(()), data, fraction=1.0)
  for data, words in (
    (DATA._replace(test=None), "no test split"),
    (DATA._replace(train=unlabelled), "no labels"),
  ):
    with pytest.raises(InputError, match=words):
      tune(lambda v, x: x * v, data)
  with pytest.raises(InputError, match="must return"):
    tune(lambda v, x: (x * v)[:, None], DATA)
  with pytest.raises(InputError, match="negative"):
    label_subset(np.array([0, -1]), fraction=1.0, seed=0)


def test_the_table_of_fine_tuning():
  line = finetune_line(RECIPE._replace(mixup=0.2, layer_decay=1.0), "none")
  assert "batch norm in training mode" in line and "mixup 0.2" in line
  assert "layer decay" not in line and "label smoothing 0.1" in line
  rows = [
    {"features": "raw pixels"},
    {"features": "untrained encoder", "finetune": {"0.01": 41.25, "1.0": 98.0}},
    {"features": "trained encoder", "finetune": {"0.01": 80.0, "1.0": 99.0}},
  ]
  table = Table(rows, [line], "")
  text = as_text(table).splitlines()
  assert text[0].split()[1:] == ["finetune", "1", "%", "finetune", "100", "%"]
  assert text[1].split() == ["raw", "pixels", "-", "-"]
  assert text[2].split()[2:] == ["41.2", "98.0"]
  assert as_markdown(table).startswith("| features | finetune 1 % | finetune 100 % |")
  assert as_text(Table(**json.loads(json.dumps(table._asdict())))) == as_text(table)
