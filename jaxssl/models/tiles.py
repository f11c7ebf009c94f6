"""Nets that look at the tiles of an image, each with the same encoder."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl.errors import InputError
from jaxssl.models.layers import BatchNorm, Factory, check_images
from jaxssl.models.mlp import MLP

Groups = tuple[tuple[int, ...], ...]


class Tiles(nn.Module):
  """An encoder per tile, and a head on the features of each group of tiles.

  Every tile is encoded once, however many groups it is in, and all tiles of all
  examples are one batch: they share the statistics of batch norm. Nothing but the
  order within a group tells the head which tile is which.

  Attributes:
    encoder: images -> features, called on single tiles.
    head: joined features of a group -> prediction.
    groups: the tiles that are judged together, in that order; all groups have as many
      (`each_tile`, `all_tiles`, `neighbour_pairs`).
    projector: features -> what is joined, with a ReLU after it; None joins features.
  """

  encoder: nn.Module
  head: nn.Module
  groups: Groups
  projector: nn.Module | None = None

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    """Maps tiles [batch, tiles, h, w, channels] to [batch, groups, predictions]."""
    self._check(x)
    batch, tiles = x.shape[:2]
    keys = None if keys is None else _tile_keys(keys, tiles)
    x = self.encoder(x.reshape(-1, *x.shape[2:]), train=train, keys=keys)
    if self.projector is not None:
      x = nn.relu(self.projector(x, train=train, keys=keys))
    x = x.reshape(batch, tiles, -1)[:, jnp.asarray(self.groups)]
    return self.head(x.reshape(batch, len(self.groups), -1), train=train)

  def _check(self, x):
    if x.ndim != 5:
      raise InputError(
        f"Tiles must be [batch, tiles, height, width, channels]; got shape {x.shape}."
      )
    sizes, last = {len(group) for group in self.groups}, max(map(max, self.groups))
    if len(sizes) != 1 or last >= x.shape[1]:
      raise InputError(
        f"Groups {self.groups} of {x.shape[1]} tiles; all must have as many, and count "
        "tiles from 0."
      )


def each_tile(count: int) -> Groups:
  """Groups of one: every tile is judged by itself."""
  return tuple((i,) for i in range(count))


def all_tiles(count: int) -> Groups:
  """One group of all tiles."""
  return (tuple(range(count)),)


def neighbour_pairs() -> Groups:
  """The middle tile of 3 x 3 with each other tile, and the same pairs turned round."""
  around = [i for i in range(9) if i != 4]
  return tuple((4, i) for i in around) + tuple((i, 4) for i in around)


def tile_projector(
  *, out: int, norm: Factory = BatchNorm, axis_name: str | None = None
) -> MLP:
  """The projector of VISSL's jigsaw: Linear and norm, and `Tiles` adds the ReLU.

  Args:
    out: width of a tile's projection, 1,000 there.
    norm: factory of the norm.
    axis_name: the pmap axis for batch norm.

  Returns:
    The projector.
  """
  return MLP(widths=(out,), biases=(True,), norms=(norm,), axis_name=axis_name)


class Standardized(nn.Module):
  """An encoder that sees each image with mean 0 and deviation 1 in every channel.

  Mean and deviation of a tile say where in the image it was; jigsaw standardises each
  tile by itself (arXiv 1603.09246, section 3). As a part of the encoder it holds for
  whole images too. The parameters are those of the encoder, under the same names.

  Attributes:
    encoder: images -> features.
    epsilon: added to the variance: flat images become 0.
  """

  encoder: nn.Module
  epsilon: float = 1e-5

  def setup(self):
    """Has no scope of its own: an encoder is saved and loaded as without it."""
    nn.share_scope(self, self.encoder)

  def __call__(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    """Maps images [batch, height, width, channels] to the encoder's features."""
    return self.encoder(self._standardize(x), train=train, keys=keys)

  def feature_map(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    """Maps images to the encoder's features before the mean."""
    return self.encoder.feature_map(self._standardize(x), train=train, keys=keys)

  def _standardize(self, x):
    check_images(x)
    x = x.astype(jnp.float32)
    centred = x - jnp.mean(x, (1, 2), keepdims=True)
    variance = jnp.mean(jnp.square(centred), (1, 2), keepdims=True)
    return centred * jax.lax.rsqrt(variance + self.epsilon)


def _tile_keys(keys, tiles):
  """One key per tile, [batch * tiles], the tiles of a row beside each other."""
  numbers = jnp.arange(tiles)
  of_row = lambda key: jax.vmap(lambda i: jax.random.fold_in(key, i))(numbers)
  return jax.vmap(of_row)(keys).reshape(-1)
