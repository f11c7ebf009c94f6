"""stable-pretraining's JAX back end as a competitor of `peers.py`, on our views.

Its own augmentation leaves out saturation, hue and the crop's proportions, so that the
views are ours here; net, loss and step are its own.
"""

import importlib.util
import sys
import types
from collections.abc import Callable

import jax
import optax
import setups
from flax import nnx
from workers import setting
from workers.setting import Setting

from jaxssl.augment import two_views
from jaxssl.data.sampler import indices

PACKAGES = ("stable-pretraining", "jax", "flax")


def _back_end():
  """Imports `stable_pretraining.jax` without its parent, which needs PyTorch."""
  found = importlib.util.find_spec("stable_pretraining")
  if found is None:
    raise ImportError("No module named 'stable_pretraining'")
  parent = types.ModuleType("stable_pretraining")
  parent.__path__ = list(found.submodule_search_locations)
  sys.modules["stable_pretraining"] = parent
  import stable_pretraining.jax as back_end
  from stable_pretraining.jax import trainer

  return back_end, trainer


class ConvNet(nnx.Module):
  """The small ConvNet, from the layers that the back end's own nets are made of."""

  def __init__(self, rngs: nnx.Rngs):
    sizes = zip((3, *setting.WIDTHS[:-1]), setting.WIDTHS, strict=True)
    self.convs = nnx.List(
      [nnx.Conv(a, b, (3, 3), padding=1, use_bias=False, rngs=rngs) for a, b in sizes]
    )
    norms = [nnx.BatchNorm(width, rngs=rngs) for width in setting.WIDTHS]
    self.norms, self.embed_dim = nnx.List(norms), setting.WIDTHS[-1]

  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [batch, height, width, 3] to features [batch, embed_dim]."""
    for conv, norm, pool in zip(self.convs, self.norms, setting.POOLS, strict=True):
      x = nnx.relu(norm(conv(x)))
      x = x if pool == 1 else nnx.avg_pool(x, (pool, pool), strides=(pool, pool))
    return x.mean((1, 2))


def make(given: Setting) -> Callable[[int], None]:
  """Returns a function that does so many steps."""
  back_end, trainer = _back_end()
  model = _model(back_end, given.task)
  optimizer = nnx.Optimizer(model, _sgd(), wrt=nnx.Param)
  views = jax.jit(jax.vmap(two_views(setups.small_view(given.side))))
  images, key, done = setting.images(given), jax.random.key(0), 0

  def advance(steps):
    nonlocal done
    for step in range(done, done + steps):
      rows = indices(step, examples=given.examples, batch=given.batch, seed=0)
      keys = jax.random.split(jax.random.fold_in(key, step), given.batch)
      a, b = views(keys, images[rows])
      trainer._train_step(model, optimizer, {"views": [{"image": a}, {"image": b}]})
    done += steps
    jax.block_until_ready(nnx.state(model, nnx.Param))

  return advance


def _model(back_end, task):
  rngs = nnx.Rngs(0)
  small = {"rngs": rngs, "low_resolution": True}
  net = ConvNet(rngs) if task == "convnet" else back_end.backbone.resnet18(**small)
  dims = (net.embed_dim, setting.PROJECTION)
  return back_end.SimCLR(
    backbone=net,
    embed_dim=net.embed_dim,
    rngs=rngs,
    projector_dims=dims,
    temperature=setting.TEMPERATURE,
  )


def _sgd():
  given = setting.SGD
  decay = optax.add_decayed_weights(given["weight_decay"])
  return optax.chain(decay, optax.sgd(given["rate"], momentum=given["momentum"]))
