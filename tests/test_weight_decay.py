"""Which parameters the experiments on ImageNet decay: all, or biases and norms not.

In the papers' own code one half of the optimisers has all parameters in one group and
the other keeps those of one dim out, a difference that no loss curve shows.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl import models, optim, registry, runs
from tests import experiments_imagenet
from tests.marks import some_of

EVERYTHING = (  # torch's SGD or AdamW over all parameters, or Apex LARC
  *("moco_v1", "moco_v2", "moco_v3_vit", "npid", "simsiam"),
  *("swav", "deepcluster", "deepcluster_v2"),
)
WEIGHTS = (  # LARS or AdamW with two groups
  *("simclr", "simclr_v2", "moco_v3", "byol", "barlow_twins", "vicreg"),
  *("dino", "ibot", "dinov2", "ijepa", "mae", "simmim", "maskfeat", "aim"),
)
BUT_POSITIONS = ("beit", "data2vec")  # AdamW with a list: positions and class token too
EVERYDAY = (
  *(*EVERYTHING, "simclr", "moco_v3", "byol", "barlow_twins", "dino", "ijepa"),
  "data2vec",
)
UPDATES = 3  # the first may be at a rate of 0, and the first of Adam is a sign


@pytest.fixture(scope="module")
def images(tmp_path_factory):
  """An .npz of 16 black images in colour."""
  path = tmp_path_factory.mktemp("data") / "x.npz"
  np.savez(path, x=np.zeros((16, 32, 32, 3), np.uint8), y=np.arange(16) % 4)
  return str(path)


def build(name, images, decay):
  """The experiment made small, with one decay from its first to its last step."""
  known = registry.defaults(registry.find(name))
  decays = {n: decay for n in ("weight_decay", "weight_decay_end") if n in known}
  small = {**experiments_imagenet.TINY[name], "data": images, "steps": 50}
  return registry.build(name, **small, **decays)


def parameters(experiment, draw):
  """Random parameters of the net's tree, 2 long in every dim: optimisers don't mind."""
  batch = jax.eval_shape(lambda: runs.example_batch(experiment, experiment.run.batch))
  shapes, _ = jax.eval_shape(experiment.method.init, jax.random.key(0), batch)
  return jax.tree.map(lambda x: draw.normal(size=(2,) * x.ndim).astype(x.dtype), shapes)


def last_updates(tx, params):
  """What is added to each parameter, by its path, after some random gradients."""
  draw, state = np.random.default_rng(1), tx.init(params)
  for _ in range(UPDATES):
    drawn = lambda x: draw.normal(size=x.shape).astype(x.dtype)
    updates, state = tx.update(jax.tree.map(drawn, params), state, params)
  leaves = jax.tree_util.tree_leaves_with_path(updates)
  return {"/".join(optim.names_of(path)): np.asarray(x) for path, x in leaves}


@pytest.mark.parametrize(
  "name", some_of((*EVERYTHING, *WEIGHTS, *BUT_POSITIONS), EVERYDAY)
)
def test_what_has_weight_decay(name, images):
  plain, other = (build(f"{name}_imagenet", images, decay) for decay in (0.0, 0.5))
  params = parameters(plain, np.random.default_rng(0))
  without, under = (last_updates(made.tx, params) for made in (plain, other))
  decayed, kept = [], []
  for path, step in without.items():
    change = np.abs(under[path] - step).max()
    assert np.abs(step).max() > 0, path
    (decayed if change > 1e-3 * np.abs(step).max() else kept).append(path)
  small = {path for path, step in without.items() if step.ndim < 2}
  kernels = {path for path in without if path.endswith("kernel")}
  assert small and kernels <= set(decayed)
  if name in EVERYTHING:
    assert not kept
  else:
    assert small <= set(kept)
  if name in BUT_POSITIONS:
    assert any(path.endswith("position/table") for path in kept)
    assert any(path.endswith("mask_token") for path in decayed)


def test_positions_and_class_token_of_a_vit_alone_are_left_out():
  """A transformer for text calls its embeddings token and position."""
  positions = functools.partial(models.LearnedPositions, grid=(2, 2))
  options = {"registers": 1, "mask_token": True, "positions": positions}
  vit = models.ViT(width=4, depth=1, heads=2, patch=2, **options)
  text = models.Transformer(vocabulary=7, width=4, depth=1, heads=2, length=5)
  made = lambda net, x: jax.eval_shape(
    functools.partial(net.init, train=False), jax.random.key(0), x
  )
  for net, x, kept in (
    (vit, jnp.zeros((1, 4, 4, 1)), {"token", "position/class_token", "position/table"}),
    (text, jnp.zeros((1, 5), jnp.int32), set()),
  ):
    params = made(net, x)["params"]
    decayed, large = optim.but_positions(params), optim.weights_only(params)
    leaves = jax.tree_util.tree_leaves_with_path(
      jax.tree.map(lambda a, b: a != b, decayed, large)
    )
    assert {"/".join(optim.names_of(path)) for path, x in leaves if x} == kept
