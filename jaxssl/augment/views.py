"""From one example to the views of it that a method compares, for every modality.

`views(key, example) -> tuple of inputs` is what methods take; a view or augmentation
is `(key, x) -> x`. View i draws from `fold_in(key, i)`.
"""

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jaxssl.errors import InputError
from jaxssl.ops.numerics import to_float

PyTree = Any
View = Callable[[jax.Array, PyTree], PyTree]
Views = Callable[[jax.Array, PyTree], tuple[PyTree, ...]]


def two_views(first: View, second: View | None = None) -> Views:
  """Two views of an example: by `first` and `second`, or twice by `first`.

  Args:
    first: (key, example) -> view.
    second: the same for the other view; None takes `first` again.

  Returns:
    views(key, example) -> (a, b).
  """
  return many_views(first, first if second is None else second)


def many_views(*views: View) -> Views:
  """One view of an example by each function; uint8 leaves become floats in [0, 1].

  Neighbours that are the same function are traced and compiled once, under one
  `vmap` over their keys: `many_views(*[large] * 2, *[small] * 6)` compiles two.

  Args:
    *views: functions (key, example) -> view; the shapes may differ.

  Returns:
    views(key, example) -> a tuple with one view by each function.

  Raises:
    InputError: if there is no function.
  """
  if not views:
    raise InputError("no view; pass at least one function (key, example) -> view")
  count = len(views)
  starts = [i for i in range(count) if i == 0 or views[i] != views[i - 1]]

  def apply(key: jax.Array, example: PyTree) -> tuple[PyTree, ...]:
    example = to_float(example)
    keys = jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(count))
    groups = zip(starts, [*starts[1:], count], strict=True)
    made = [_repeat(views[i], keys[i:end], example) for i, end in groups]
    return tuple(itertools.chain.from_iterable(made))

  return apply


def as_it_is(key: jax.Array, example: PyTree) -> PyTree:
  """The view of methods without augmentation: the example itself."""
  del key
  return example


def compose(*augmentations: View) -> View:
  """One view function that applies each in turn; number i gets its own split key.

  uint8 leaves become floats in [0, 1] first.
  """
  if not augmentations:
    raise InputError("nothing to compose; pass at least one (key, example) -> example")

  def view(key: jax.Array, example: PyTree) -> PyTree:
    example = to_float(example)
    keys = jax.random.split(key, len(augmentations))
    for i, augmentation in enumerate(augmentations):
      example = augmentation(keys[i], example)
    return example

  return view


def _repeat(view, keys, example):
  """The same view once for each key."""
  if len(keys) == 1:
    return [view(keys[0], example)]
  stacked = jax.vmap(view, in_axes=(0, None))(keys, example)
  return [jax.tree.map(lambda x, i=i: x[i], stacked) for i in range(len(keys))]
