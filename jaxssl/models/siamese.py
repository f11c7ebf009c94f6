"""What every net has in common: its outputs, and how methods call it.

A net is a flax module called `net(x, *, train, keys=None)` with one PRNG key per
row of `x`, that returns an `Embedding`. Inputs may be uint8 images; they become
float32 in [0, 1] here, and nowhere else.
"""

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl.errors import InputError
from jaxssl.ops.numerics import in_turns, to_float

PyTree = Any


class Embedding(NamedTuple):
  """What a net returns, one row per example.

  Attributes:
    features: [batch, dim] of the encoder, for evaluation and export.
    projection: [batch, dim] of the projector, what most losses compare.
    prediction: [batch, dim] of the predictor; the projection where there is none.
  """

  features: jax.Array
  projection: jax.Array
  prediction: jax.Array


class Siamese(nn.Module):
  """Encoder, projector and, for some methods, predictor in a row.

  Attributes:
    encoder: inputs -> features.
    projector: features -> projection.
    predictor: projection -> prediction, or None.
  """

  encoder: nn.Module
  projector: nn.Module
  predictor: nn.Module | None = None

  @nn.compact
  def __call__(self, x: PyTree, *, train: bool, keys: jax.Array | None = None):
    features = self.encoder(x, train=train, keys=keys)
    projection = self.projector(features, train=train, keys=keys)
    if self.predictor is None:
      return Embedding(features, projection, projection)
    prediction = self.predictor(projection, train=train, keys=keys)
    return Embedding(features, projection, prediction)


def init(net: nn.Module, key: jax.Array, inputs: PyTree) -> tuple[PyTree, PyTree]:
  """Returns `params, stats` of a net for `inputs` (only their shapes matter)."""
  variables = dict(net.init(key, to_float(inputs), train=True))
  return variables.pop("params"), variables


def init_on_views(
  net: nn.Module, key: jax.Array, views: Callable, batch: PyTree
) -> tuple[PyTree, PyTree]:
  """Returns `params, stats` of a net for what the first view makes of `batch`."""

  def first_view():
    return draw_views(views, _keys_for(key, batch), batch["input"])[0][0]

  shapes = jax.eval_shape(first_view)
  return init(net, key, jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes))


def draw_views(
  views: Callable, keys: jax.Array, inputs: PyTree
) -> tuple[tuple, jax.Array]:
  """Applies `views` to every row.

  Args:
    views: (key, example) -> tuple of inputs, for one example.
    keys: one PRNG key per row, used up here.
    inputs: a batch of examples, rows first.

  Returns:
    One batch of inputs per view, and one new key per row for the net.
  """
  split = jax.vmap(jax.random.split)(keys)
  return jax.vmap(views)(split[:, 0], inputs), split[:, 1]


def apply(
  net: nn.Module, params: PyTree, stats: PyTree, inputs: PyTree, keys: jax.Array
) -> tuple[Embedding, PyTree]:
  """Training-mode call; returns the outputs and the new batch statistics."""
  variables = {"params": params, **stats}
  out, stats = net.apply(
    variables, to_float(inputs), train=True, keys=keys, mutable=list(stats)
  )
  return out, stats


def apply_views(
  net: nn.Module, params: PyTree, stats: PyTree, views: tuple, keys: jax.Array
) -> tuple[tuple[Embedding, ...], PyTree]:
  """Calls the net once per view, in order, with the statistics threaded through.

  Batch norm normalises each view by its own statistics (BYOL, SimSiam, Barlow
  Twins, VICReg, MoCo).

  Args:
    net: the net.
    params: its parameters.
    stats: its batch statistics.
    views: one batch of inputs per view, each with rows first.
    keys: one PRNG key per row; view `i` uses `fold_in(key, i)`.

  Returns:
    One `Embedding` per view, and the new statistics.
  """
  outputs = []
  for i, view in enumerate(views):
    out, stats = apply(net, params, stats, view, fold_in_rows(keys, i))
    outputs.append(out)
  return tuple(outputs), stats


def apply_merged(
  net: nn.Module, params: PyTree, stats: PyTree, views: tuple, keys: jax.Array
) -> tuple[tuple[Embedding, ...], PyTree]:
  """Calls the net once on all views together (SimCLR: statistics over all crops).

  The views must have equal shapes. They are merged as [batch * views, ...] with
  the batch outermost, so that no row changes its device.

  Args:
    net: the net.
    params: its parameters.
    stats: its batch statistics.
    views: one batch of inputs per view, each with rows first.
    keys: one PRNG key per row; view `i` uses `fold_in(key, i)`.

  Returns:
    One `Embedding` per view, and the new statistics.
  """
  return _apply_group(net, params, stats, views, keys, start=0)


def apply_multicrop(
  net: nn.Module, params: PyTree, stats: PyTree, views: tuple, keys: jax.Array
) -> tuple[tuple[Embedding, ...], PyTree]:
  """Calls the net once per size of view: neighbours of one shape go together.

  As the official codes of SwAV, DINO and iBOT do: crops of one resolution are one
  batch (merged as in `apply_merged`), and batch statistics are threaded from size to
  size.

  Args:
    net: the net.
    params: its parameters.
    stats: its batch statistics.
    views: one batch of inputs per view, each with rows first.
    keys: one PRNG key per row; view `i` uses `fold_in(key, i)`.

  Returns:
    One `Embedding` per view, in the order of `views`, and the new statistics.
  """
  outputs = []
  for _, group in itertools.groupby(views, key=_shapes):
    group = tuple(group)
    made, stats = _apply_group(net, params, stats, group, keys, start=len(outputs))
    outputs.extend(made)
  return tuple(outputs), stats


def _shapes(view):
  leaves, structure = jax.tree.flatten(view)
  return structure, [(x.shape, x.dtype) for x in leaves]


def _apply_group(net, params, stats, views, keys, *, start):
  count = len(views)
  numbers = range(start, start + count)
  merged = jax.tree.map(in_turns, *views)
  view_keys = in_turns(*[fold_in_rows(keys, i) for i in numbers])
  out, stats = apply(net, params, stats, merged, view_keys)
  split = jax.tree.map(lambda x: x.reshape(-1, count, *x.shape[1:]), out)
  outputs = tuple(jax.tree.map(lambda x, i=i: x[:, i], split) for i in range(count))
  return outputs, stats


def apply_with_patches(
  net: nn.Module, params: PyTree, stats: PyTree, inputs: PyTree, keys: jax.Array
) -> tuple[tuple[Embedding, jax.Array], PyTree]:
  """`apply` that also returns what the encoder computed for each patch.

  Args:
    net: the net; its encoder sows "patches" (ConvNet, ResNet, ViT and ConvNeXt do).
    params: its parameters.
    stats: its batch statistics.
    inputs: a batch of inputs, rows first.
    keys: one PRNG key per row.

  Returns:
    The `Embedding` and the patches' features [batch, patches, dim], and the new
    statistics.

  Raises:
    InputError: if the encoder has no patch features.
  """
  variables, mutable = {"params": params, **stats}, [*stats, "intermediates"]
  out, new = net.apply(
    variables, to_float(inputs), train=True, keys=keys, mutable=mutable
  )
  return (out, _patches(new)), {name: new[name] for name in stats}


def apply_projector(
  net: nn.Module, params: PyTree, stats: PyTree, x: jax.Array, *, train: bool = True
) -> tuple[jax.Array, PyTree]:
  """Calls the net's projector alone, on rows of features; returns new statistics."""

  def project(module, x):
    return module.projector(x, train=train, keys=None)

  variables = {"params": params, **stats}
  out, new = net.apply(variables, x, method=project, mutable=list(stats))
  return out, {name: new[name] for name in stats}


def fold_in_rows(keys: jax.Array, data: int) -> jax.Array:
  """Folds the integer `data` into every row's key."""
  return jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, data)


def apply_still(
  net: nn.Module, params: PyTree, stats: PyTree, inputs: PyTree
) -> Embedding:
  """Evaluation-mode call: running statistics, no masks."""
  return net.apply({"params": params, **stats}, to_float(inputs), train=False)


def make_encode(net: nn.Module, select: Callable) -> Callable:
  """Builds a method's `encode` from the net and where its variables are.

  Args:
    net: the net.
    select: `(params, extra) -> params of the net, stats of the net`.

  Returns:
    `encode(params, extra, batch, *, patches=False)`: features [batch, dim] of the
    unaugmented `batch["input"]` with running statistics, or with `patches` the
    encoder's features before pooling, [batch, patches, dim].
  """

  def encode(params, extra, batch, *, patches=False):
    params, stats = select(params, extra)
    variables, inputs = {"params": params, **stats}, to_float(batch["input"])
    out, seen = net.apply(variables, inputs, train=False, mutable=["intermediates"])
    return _patches(seen) if patches else out.features

  return encode


class _Alone(nn.Module):
  """An encoder as a net of its own."""

  encoder: nn.Module

  def __call__(self, x, *, train, keys=None):
    return Embedding(*(self.encoder(x, train=train, keys=keys),) * 3)


def encode_alone(
  encoder: nn.Module, prepare: Callable[[PyTree], PyTree] = to_float
) -> Callable:
  """Builds a method's `encode` from the part `encoder` of its net, without the rest.

  Args:
    encoder: its parameters are at `params["encoder"]`, its statistics at
      `extra.stats[collection]["encoder"]`.
    prepare: inputs, images in [0, 1], -> what the encoder sees.

  Returns:
    `encode(params, extra, batch, *, patches=False)`, as `make_encode` returns it.
  """

  def select(params, extra):
    stats = {
      n: {"encoder": t["encoder"]} for n, t in extra.stats.items() if "encoder" in t
    }
    return {"encoder": params["encoder"]}, stats

  whole = make_encode(_Alone(encoder), select)

  def encode(params, extra, batch, *, patches=False):
    inputs = prepare(to_float(batch["input"]))
    return whole(params, extra, {"input": inputs}, patches=patches)

  return encode


def _patches(seen):
  found = seen.get("intermediates", {}).get("encoder", {}).get("patches")
  if not found:
    raise InputError(
      "This encoder has no patch features; it must sow 'patches' into "
      "'intermediates' before it pools (ConvNet, ResNet and ViT do)."
    )
  return found[0]


def target_net(net: nn.Module) -> nn.Module:
  """Returns the net of a target: the same without its predictor.

  Raises:
    InputError: if the net has no field `predictor`.
  """
  if getattr(net, "predictor", None) is None:
    raise InputError(
      f"{type(net).__name__} has no predictor; pass one, as in "
      "Siamese(encoder, projector, predictor)."
    )
  return net.clone(predictor=None)


def target_variables(params: PyTree, stats: PyTree) -> tuple[PyTree, PyTree]:
  """Returns copies of a net's variables without those of its predictor."""
  stats = {name: _no_predictor(tree) for name, tree in stats.items()}
  return jax.tree.map(jnp.copy, (_no_predictor(params), stats))


def _no_predictor(tree):
  return {name: value for name, value in tree.items() if name != "predictor"}


def output_shapes(net: nn.Module, views: Callable, batch: PyTree) -> Embedding:
  """Returns shapes and dtypes of what a net makes of the first view of `batch`."""

  def run():
    key = jax.random.key(0)
    crops, keys = draw_views(views, _keys_for(key, batch), batch["input"])
    return apply(net, *init(net, key, crops[0]), crops[0], keys)[0]

  return jax.eval_shape(run)


def _keys_for(key, batch):
  return jax.random.split(key, jax.tree.leaves(batch["input"])[0].shape[0])
