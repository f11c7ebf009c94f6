"""What iBOT and DINOv2 share: crops with hidden patches, and a head for patches."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl.methods.prototypes import GLOBALS, check_crops
from jaxssl.models.siamese import (
  apply_multicrop,
  apply_projector,
  apply_with_patches,
  fold_in_rows,
)
from jaxssl.models.vit import MaskedImage

PyTree = Any


class Tokens(NamedTuple):
  """A net's outputs for several views of one size.

  Attributes:
    features: of the class token, [batch, views, width].
    projection: of the class token, [batch, views, dim].
    patches: projections of the patches, [batch, views, patches, dim].
  """

  features: jax.Array
  projection: jax.Array
  patches: jax.Array


def draw_masks(mask: Callable, keys: jax.Array) -> tuple[jax.Array, jax.Array]:
  """One mask per row and global crop, [batch, 2, patches], and one new key per row."""
  split = jax.vmap(jax.random.split)(keys)
  drawn = [jax.vmap(mask)(fold_in_rows(split[:, 0], i)) for i in range(GLOBALS)]
  return jnp.stack(drawn, axis=1), split[:, 1]


def apply_masked(
  net: nn.Module,
  params: PyTree,
  stats: PyTree,
  crops: tuple,
  masks: jax.Array,
  keys: jax.Array,
) -> tuple[tuple[Tokens, tuple], PyTree]:
  """The student's pass: masked globals in one batch, then whole locals by size.

  Args:
    net: encoder and projector.
    params: its parameters.
    stats: its batch statistics.
    crops: one batch of images per view, the two globals first.
    masks: bool [batch, 2, patches].
    keys: one PRNG key per row.

  Returns:
    `Tokens` of the globals and one `Embedding` per local crop, and new statistics.
  """
  check_crops(crops)
  masked = [MaskedImage(crops[i], masks[:, i]) for i in range(GLOBALS)]
  tokens, stats = apply_tokens(net, params, stats, masked, keys)
  local_keys = fold_in_rows(keys, GLOBALS)
  locals_, stats = apply_multicrop(net, params, stats, crops[GLOBALS:], local_keys)
  return (tokens, locals_), stats


def apply_tokens(
  net: nn.Module, params: PyTree, stats: PyTree, views: list, keys: jax.Array
) -> tuple[Tokens, PyTree]:
  """Class and patch tokens, and their projections, of views of one size at once."""
  count = len(views)
  split = lambda x: x.reshape(-1, count, *x.shape[1:])
  merge = lambda x: x.reshape(-1, *x.shape[2:])
  merged = jax.tree.map(lambda *x: merge(jnp.stack(x, axis=1)), *views)
  view_keys = jnp.stack([fold_in_rows(keys, i) for i in range(count)], axis=1)
  (out, patches), stats = apply_with_patches(
    net, params, stats, merged, merge(view_keys)
  )
  projected, stats = apply_projector(net, params, stats, patches)
  return Tokens(split(out.features), split(out.projection), split(projected)), stats


def class_projections(globals_: Tokens, locals_: tuple) -> list[jax.Array]:
  """Projections of the class token, one per view, globals first."""
  first = [globals_.projection[:, i] for i in range(GLOBALS)]
  return first + [e.projection for e in locals_]
