"""Tiny nets of every family, and how the tests call them."""

import functools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxssl import models

SHAPE = (4, 8, 8, 3)
ENCODERS = {
  "convnet": partial(models.ConvNet, widths=(4, 8), pools=(1, 2)),
  "resnet": partial(
    models.ResNet,
    layers=(1, 1),
    block=models.BasicBlock,
    channels=(4, 8),
    stem=models.CifarStem,
    stem_channels=4,
  ),
  "convnext": partial(models.ConvNeXt, layers=(1, 1), channels=(4, 8), stem=2),
  "vit": partial(models.ViT, width=8, depth=2, heads=2, patch=4),
  "vit_mean": partial(
    models.ViT,
    width=8,
    depth=2,
    heads=2,
    patch=4,
    class_token=False,
    positions=partial(models.LearnedPositions, grid=(2, 2)),
  ),
  "vit_registers": partial(
    models.ViT,
    width=8,
    depth=2,
    heads=2,
    patch=4,
    registers=3,
    mask_token=True,
    mlp=models.SwiGLU,
    layer_scale=1e-5,
  ),
  "vit_frozen": partial(
    models.ViT,
    width=8,
    depth=2,
    heads=2,
    patch=4,
    class_token=False,
    registers=1,
    patch_embed=models.FrozenPatchEmbed,
  ),
}


def images(shape=SHAPE, seed: int = 3) -> jax.Array:
  """Random images in [0, 1]."""
  return jax.random.uniform(jax.random.key(seed), shape)


def keys(rows: int, seed: int = 9) -> jax.Array:
  """One key per row."""
  return jax.random.split(jax.random.key(seed), rows)


def shapes(net, shape=SHAPE) -> dict:
  """Variables as shapes; nothing is computed."""
  key, x = jax.random.key(0), jax.ShapeDtypeStruct(shape, jnp.float32)
  return jax.eval_shape(partial(net.init, train=True), key, x)


def parameters(net, shape) -> int:
  """Number of parameters."""
  return sum(leaf.size for leaf in jax.tree.leaves(shapes(net, shape)["params"]))


def initial(net, shape=SHAPE) -> dict:
  """Variables as the net starts."""
  init = jax.jit(partial(net.init, train=True))
  return init(jax.random.key(0), jnp.zeros(shape))


def variables(net, shape=SHAPE) -> dict:
  """Random variables, norms and statistics too, without compiling an init."""
  random = np.random.default_rng(4)
  return jax.tree_util.tree_map_with_path(
    partial(_random_leaf, random), shapes(net, shape)
  )


def _random_leaf(random, path, leaf):
  name, value = path[-1].key, random.standard_normal(leaf.shape, np.float32)
  if name in ("scale", "var"):
    return jnp.asarray(np.exp(0.2 * value))
  fan_in = np.prod(leaf.shape[:-1]) if leaf.ndim > 1 else 25
  return jnp.asarray(value * np.float32(fan_in**-0.5))


def output_shape(net, shape) -> tuple[int, ...]:
  """Shape of the output in evaluation, from shapes alone."""
  x = jax.ShapeDtypeStruct(shape, jnp.float32)
  call = partial(net.apply, train=False)
  return jax.eval_shape(call, shapes(net, shape), x).shape


def evaluate(net, values: dict, x: jax.Array) -> np.ndarray:
  """Output in evaluation mode."""
  return np.asarray(_evaluation(net)(values, x))


def train(net, values: dict, x: jax.Array, row_keys=None):
  """Output in training mode, and the new batch statistics."""
  return _training(net)(values, x, keys=row_keys)


@functools.cache
def _evaluation(net):
  return jax.jit(partial(net.apply, train=False))


@functools.cache
def _training(net):
  return jax.jit(partial(net.apply, train=True, mutable=["batch_stats"]))
