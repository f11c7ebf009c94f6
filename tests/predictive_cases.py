"""Toy forms of the predictive pretexts: rotation, context, jigsaw, patch order."""

import flax.linen as nn
import jax.numpy as jnp

from jaxssl.methods.context import context
from jaxssl.methods.jigsaw import jigsaw
from jaxssl.methods.patch_order import patch_order
from jaxssl.methods.rotation import rotation, rotation_sampled
from jaxssl.models.layers import squares
from jaxssl.ops import permutation_set

DIM = 12


class Squares(nn.Module):
  """A layer on each square of 2 pixels and their mean: takes images of any size."""

  norm: str
  axis_name: str | None = None

  @nn.compact
  def __call__(self, x, *, train, keys=None):
    from tests import cases

    x = cases.Layer(32, self.norm, self.axis_name)(squares(x, 2), train=train)
    x = x.reshape(x.shape[0], -1, 32)
    self.sow("intermediates", "patches", x)
    return x.mean(axis=1)


class Dense(nn.Module):
  """A dense layer, called as a head."""

  out: int

  @nn.compact
  def __call__(self, x, *, train, keys=None):
    return nn.Dense(self.out)(x)


def graded(key, image):
  """The image and a level that says which pixel is which: places can be learned."""
  del key
  row, column = jnp.meshgrid(jnp.arange(8.0), jnp.arange(8.0), indexing="ij")
  return (0.2 * image + 0.08 * row[..., None] + 0.03 * column[..., None],)


def tiles(norm: str, axis_name: str | None, classes: int):
  """Encoder, projector and head of the methods that join tiles."""
  from tests import cases

  encoder = Squares(norm, axis_name)
  return encoder, Dense(DIM), cases.Head(norm, axis_name, classes)


def make_rotation(norm: str = "layer", axis_name: str | None = None):
  """All four rotations."""
  from tests import cases

  head = cases.Head(norm, axis_name, 4)
  return rotation(cases.Encoder(norm, axis_name), head, graded)


def make_rotation_sampled(norm: str = "layer", axis_name: str | None = None):
  """One rotation an image."""
  from tests import cases

  head = cases.Head(norm, axis_name, 4)
  return rotation_sampled(cases.Encoder(norm, axis_name), head, graded)


def make_context(norm: str = "layer", axis_name: str | None = None):
  """Nine patches of 2 x 2 pixels, 16 pairs."""
  parts = tiles(norm, axis_name, 8)
  return context(*parts, graded, tile=2, gap=0, smallest=1)


def make_jigsaw(norm: str = "layer", axis_name: str | None = None):
  """Six tiles of 2 x 2 pixels that move, 8 permutations."""
  permutations = permutation_set(6, count=8, seed=0)
  parts = tiles(norm, axis_name, 8)
  return jigsaw(*parts, graded, permutations=permutations, grid=(2, 3), tile=2, gap=0)


def make_patch_order(norm: str = "layer", axis_name: str | None = None):
  """Four tiles of 3 x 3 pixels in 24 orders."""
  return patch_order(*tiles(norm, axis_name, 24), graded, tile=3, gap=1)


def frozen(state):
  """Nothing: what these keep beside the parameters takes no gradient."""
  del state
  return ()


ROWS = (
  ("rotation", make_rotation, frozen),
  ("rotation_sampled", make_rotation_sampled, frozen),
  ("context", make_context, frozen),
  ("jigsaw", make_jigsaw, frozen),
  ("patch_order", make_patch_order, frozen),
)
