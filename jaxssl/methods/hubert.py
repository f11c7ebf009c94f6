"""HuBERT: to which cluster does a masked frame belong, by k-means over all frames."""

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl import losses
from jaxssl.core import Method
from jaxssl.errors import InputError
from jaxssl.methods.common import mean_over_patches
from jaxssl.methods.deepcluster import check_clusters
from jaxssl.models.siamese import encode_alone, fold_in_rows
from jaxssl.models.speech import MaskedWave, pick_frames
from jaxssl.models.wave import block_count, own_frames
from jaxssl.ops import kmeans, to_float

PyTree = Any


class HubertExtra(NamedTuple):
  """State of HuBERT beside the parameters.

  Attributes:
    stats: the net's batch statistics.
    labels: int32 [examples, frames], the cluster of each frame, by `index`; 0 where a
      recording is padded.
    round: int32 [], how often frames were clustered.
  """

  stats: PyTree
  labels: jax.Array
  round: jax.Array


class HubertOutputs(NamedTuple):
  """What HuBERT makes of each example.

  Attributes:
    error: [batch], cross-entropy summed over masked frames that aren't padded.
    count: [batch], number of these frames.
    right: [batch], number of these whose likeliest cluster is theirs.
    picked: [batch, 1, clusters], how many of them are in each cluster.
    square: [batch], mean square of the convolutions' frames.
  """

  error: jax.Array
  count: jax.Array
  right: jax.Array
  picked: jax.Array
  square: jax.Array


def hubert(
  net: nn.Module,
  *,
  examples: int,
  clusters: int,
  acoustic: Callable,
  mask: Callable,
  again: tuple[int, ...] = (),
  layers: int | None = None,
  iterations: int = 20,
  temperature: float = 0.1,
  penalty_weight: float = 10.0,
) -> Method:
  """HuBERT (Hsu et al., arXiv 2106.07447, section 2).

  Before the first epoch k-means clusters what `acoustic` makes of all frames; before
  the first epochs from the steps `again` on, the net's own features. Each clustering
  draws new codes, and the net goes on, where the paper starts a new one. The loss is
  the mean over all masked frames of the batch.

  Clips are heard whole and unchanged, so that labels stay with their frames.

  Args:
    net: `models.Hubert`.
    examples: in the training set; `index` counts them.
    clusters: of k-means, 2 or more: 100 of MFCC, then 500 of features in the paper.
    acoustic: waves [batch, samples] -> [batch, frames, dim], in any number of frames,
      of which the nearest is taken: `partial(ops.mfcc, rate=...)`.
    mask: key -> `augment.Spans`; the paper's spans of 10 start from 0.08 of the frames.
    again: steps, rising.
    layers: blocks of the context net whose features are clustered, 6 of 12 in the
      paper; None: all.
    iterations: of k-means.
    temperature: divides the cosines.
    penalty_weight: of the mean square of the convolutions' frames.

  Returns:
    The method; its batches need `index`, and `refresh` must run before each epoch.

  Raises:
    InputError: for steps that don't rise from 1 on, other layers than the net has,
      fewer than 2 clusters, or more than frames.
  """
  if any(a >= b for a, b in itertools.pairwise((0, *again))):
    raise InputError(f"Frames are clustered again at {again}; pass rising steps.")
  block_count(layers, net.encoder.context.depth)
  heard, felt = _listeners(net, acoustic, layers)

  def init(key, batch):
    key_net, key_codes = jax.random.split(key)
    wave = batch["input"]
    frames = net.encoder.local.frames(wave.shape[-1])
    check_clusters(clusters, examples * frames)
    waves = MaskedWave(jnp.zeros(wave.shape), jnp.zeros((len(wave), frames), bool))
    variables = dict(net.init(key_net, waves, train=True))
    params = {**variables.pop("params"), "codes": _codes(key_codes, clusters, net.out)}
    labels = jnp.arange(examples * frames, dtype=jnp.int32) % clusters
    labels = labels.reshape(examples, frames)
    return params, HubertExtra(variables, labels, jnp.zeros((), jnp.int32))

  def forward(params, extra, batch, keys, step):
    del step
    spans = jax.vmap(mask)(fold_in_rows(keys, 0))
    heard, stats = net.apply(
      {"params": _net(params), **extra.stats},
      MaskedWave(to_float(batch["input"]), spans.mask),
      train=True,
      keys=fold_in_rows(keys, 1),
      mutable=list(extra.stats),
    )
    frames = heard.context, extra.labels[batch["index"]], heard.own
    asked = pick_frames(frames, spans.index)
    outputs = _compare(*asked, params["codes"], heard.square, temperature)
    return outputs, extra._replace(stats=stats)

  def objective(params, extra, outputs, step):
    del params, step
    error = mean_over_patches(outputs.error, outputs.count)
    penalty = outputs.square.mean()
    metrics = {
      "cross_entropy": error,
      "accuracy": mean_over_patches(outputs.right, outputs.count),
      "label_perplexity": losses.code_perplexity(outputs.picked),
      "frame_square": penalty,
    }
    return error + penalty_weight * penalty, (extra, metrics)

  def refresh(state, batches, key):
    due = 1 + sum(int(state.step) >= step for step in again)
    if int(state.extra.round) == due:
      return state
    key_codes, key_means = jax.random.split(key)
    look = partial(heard if due == 1 else felt, state.params, state.extra)
    parts = [look(to_float(batch["input"])) for batch, _ in batches]
    parts = [jnp.concatenate(x)[:examples] for x in zip(*parts, strict=True)]
    labels = _assign(key_means, *parts, clusters=clusters, iterations=iterations)
    number = jnp.full_like(state.extra.round, due)
    params = {**state.params, "codes": _codes(key_codes, clusters, net.out)}
    extra = state.extra._replace(labels=labels, round=number)
    return state._replace(params=params, extra=extra)

  encode = encode_alone(net.encoder)
  return Method(init, forward, objective, encode, refresh=refresh)


def _listeners(net, acoustic, layers):
  """What is clustered at first, and later: frames of waves and which are their own."""

  @jax.jit
  def heard(params, extra, wave):
    del params
    frames = extra.labels.shape[1]
    return nearest_frames(acoustic(wave), frames), own_frames(wave, frames)

  @jax.jit
  def felt(params, extra, wave):
    variables = {"params": _net(params), **extra.stats}
    return net.apply(variables, wave, layers, method=_features)

  return heard, felt


@partial(jax.jit, static_argnames=("clusters", "iterations"))
def _assign(key, features, own, *, clusters, iterations):
  """The cluster of each frame, int32 [examples, frames]; 0 where padded."""
  rows, real = features.reshape(-1, features.shape[-1]), own.reshape(-1)
  found = kmeans(key, rows, clusters=clusters, iterations=iterations, mask=real)
  return jnp.maximum(found.labels, 0).reshape(own.shape)


def nearest_frames(x: jax.Array, frames: int) -> jax.Array:
  """Picks, for so many frames over the same time, the nearest of each.

  Args:
    x: [batch, any number, dim].
    frames: how many to pick.

  Returns:
    [batch, frames, dim].
  """
  middles = (jnp.arange(frames, dtype=jnp.float32) + 0.5) * (x.shape[1] / frames)
  return x[:, jnp.clip(middles.astype(jnp.int32), 0, x.shape[1] - 1)]


def _features(net, inputs, layers):
  heard = net.encoder.look(inputs, train=False, layers=layers)
  return heard.context, heard.own


def _net(params):
  return {name: tree for name, tree in params.items() if name != "codes"}


def _codes(key, clusters, width):
  return jax.random.uniform(key, (clusters, width))


def _compare(projected, labels, own, codes, square, temperature):
  """The outputs of masked frames alone."""
  own = own.astype(jnp.float32)
  scores = losses.hubert_logits(projected, codes, temperature=temperature)
  error = losses.hubert(projected, codes, labels, temperature=temperature)
  right = jnp.argmax(scores, axis=-1) == labels
  picked = jnp.einsum("btc,bt->bc", jax.nn.one_hot(labels, len(codes)), own)
  return HubertOutputs(
    jnp.sum(error * own, axis=1),
    own.sum(axis=1),
    jnp.sum(jnp.where(right, own, 0.0), axis=1),
    picked[:, None],
    square,
  )
