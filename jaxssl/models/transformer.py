"""Transformers over tokens: BERT (arXiv 1810.04805), RoBERTa, GPT, and captions."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl.errors import InputError
from jaxssl.models.layers import (
  LayerNorm,
  RowDropout,
  exact_gelu,
  normal_init,
  run_block,
)
from jaxssl.models.vit import Attention


class Tokens(NamedTuple):
  """Sequences of two segments, as BERT reads pairs of sentences.

  Attributes:
    ids: int32 [batch, length].
    segments: int32 [batch, length], the segment of each token.
  """

  ids: jax.Array
  segments: jax.Array


def mean_pool(
  hidden: jax.Array, ids: jax.Array, *, padding: int | None = 0
) -> jax.Array:
  """Returns the mean over the tokens that aren't padding, [batch, width].

  Args:
    hidden: [batch, length, width].
    ids: int [batch, length].
    padding: the id that doesn't count; None: every token does.
  """
  if padding is None:
    return jnp.mean(hidden, axis=1)
  kept = (ids != padding).astype(hidden.dtype)[:, :, None]
  return jnp.sum(hidden * kept, axis=1) / jnp.maximum(jnp.sum(kept, axis=1), 1.0)


def first_pool(hidden: jax.Array, ids: jax.Array) -> jax.Array:
  """Returns the first token of each row, [batch, width]; see `mean_pool`."""
  del ids
  return hidden[:, 0]


def last_pool(
  hidden: jax.Array, ids: jax.Array, *, padding: int | None = 0
) -> jax.Array:
  """Returns the last token that isn't padding, [batch, width]; see `mean_pool`."""
  if padding is None:
    return hidden[:, -1]
  places = jnp.arange(ids.shape[1], dtype=jnp.int32)[None, :]
  return _at(hidden, jnp.max(jnp.where(ids != padding, places, 0), axis=1))


def end_pool(hidden: jax.Array, ids: jax.Array, *, end: int) -> jax.Array:
  """Returns the features at the first token `end`, [batch, width], as CLIP takes them.

  Args:
    hidden: [batch, length, width].
    ids: int [batch, length]; of a row without `end` the first token counts.
    end: an id.
  """
  return _at(hidden, jnp.argmax(ids == end, axis=1))


def _at(hidden, places):
  """The token at a place of each row."""
  return jnp.take_along_axis(hidden, places[:, None, None], axis=1)[:, 0]


class TokenBlock(nn.Module):
  """Attention and an MLP, with layer norm before (GPT) or after the sum (BERT).

  Attributes:
    heads: of the attention.
    pre_norm: whether norms come before the branches, or after the sums.
    dropout: of each branch, in [0, 1).
    mlp_ratio: hidden width of the MLP, in channels.
    activation: between the layers of the MLP.
    epsilon: of the norms.
    kernel_init: how kernels start.
    residual_init: how the last kernel of each branch starts.
    dtype: compute dtype.
  """

  heads: int
  pre_norm: bool
  dropout: float = 0.0
  mlp_ratio: int = 4
  activation: Callable = exact_gelu
  epsilon: float = 1e-5
  kernel_init: Callable = normal_init
  residual_init: Callable = normal_init
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(
    self,
    x: jax.Array,
    *,
    train: bool,
    keys: jax.Array | None = None,
    mask: jax.Array | None = None,
  ):
    """Maps tokens [batch, length, width] to as many; see `ViT.encode` for the mask."""
    attention = Attention(
      self.heads,
      kernel_init=self.residual_init,
      qkv_init=self.kernel_init,
      dtype=self.dtype,
      name="attention",
    )
    branches = (partial(attention, train=train, mask=mask), self._mlp)
    for i, branch in enumerate(branches, 1):
      norm = LayerNorm(epsilon=self.epsilon, dtype=self.dtype, name=f"norm{i}")
      drop = RowDropout(self.dropout, name=f"drop{i}")
      y = branch(norm(x, train=train) if self.pre_norm else x)
      x = x + drop(y, train=train, keys=keys)
      x = x if self.pre_norm else norm(x, train=train)
    return x

  def _mlp(self, x):
    width, dense = x.shape[-1], partial(nn.Dense, dtype=self.dtype)
    hidden = self.mlp_ratio * width
    y = dense(hidden, kernel_init=self.kernel_init, name="dense1")(x)
    return dense(width, kernel_init=self.residual_init, name="dense2")(
      self.activation(y)
    )


class Transformer(nn.Module):
  """A transformer over token ids, with learned positions.

  Attributes:
    vocabulary: number of ids.
    width: channels.
    depth: blocks.
    heads: of each attention.
    length: most tokens of a sequence.
    causal: whether a token attends to none after it (GPT).
    pre_norm: norms before the branches and at the end (GPT), or after the sums and
      the embedding (BERT).
    segments: number of segment embeddings; 0: there are none.
    padding: the id that no token attends to; None: all ids are attended to.
    dropout: of the embedding and of each branch, in [0, 1); needs `keys` in training.
    pool: (hidden [batch, length, width], ids [batch, length]) -> [batch, width]:
      `mean_pool`, `first_pool`, `last_pool`, `partial(end_pool, end=2)`; with
      another padding than 0, as in `partial(mean_pool, padding=None)`.
    mlp_ratio: hidden width of the MLPs, in channels.
    activation: of the MLPs.
    epsilon: of the norms; 1e-12 in BERT.
    kernel_init: how embeddings and kernels start: a normal of 0.02.
    residual_init: how the last kernel of each branch starts; None: as the others. In
      GPT a normal of 0.02 / sqrt(2 depth).
    dtype: compute dtype; parameters and what comes out are float32.
    remat: what blocks compute again in the backward pass, see `layers.run_block`.
  """

  vocabulary: int
  width: int
  depth: int
  heads: int
  length: int
  causal: bool = False
  pre_norm: bool = True
  segments: int = 0
  padding: int | None = 0
  dropout: float = 0.0
  pool: Callable = mean_pool
  mlp_ratio: int = 4
  activation: Callable = exact_gelu
  epsilon: float = 1e-5
  kernel_init: Callable = normal_init
  residual_init: Callable | None = None
  dtype: Any = jnp.float32
  remat: str = "none"

  def setup(self):
    """Makes the layers."""
    embed = partial(
      nn.Embed,
      features=self.width,
      embedding_init=self.kernel_init,
      dtype=self.dtype,
    )
    self.token = embed(self.vocabulary)
    self.position = embed(self.length)
    if self.segments:
      self.segment = embed(self.segments)
    self.drop = RowDropout(self.dropout)
    self.blocks = [self._block() for _ in range(self.depth)]
    self.norm = LayerNorm(epsilon=self.epsilon)

  def _block(self):
    return TokenBlock(
      self.heads,
      self.pre_norm,
      dropout=self.dropout,
      mlp_ratio=self.mlp_ratio,
      activation=self.activation,
      epsilon=self.epsilon,
      kernel_init=self.kernel_init,
      residual_init=self.residual_init or self.kernel_init,
      dtype=self.dtype,
    )

  def __call__(
    self, x: jax.Array | Tokens, *, train: bool, keys: jax.Array | None = None
  ) -> jax.Array:
    """Maps ids int [batch, length], or `Tokens`, to features, float32 [batch, width].

    The sequence is what `tokens` returns; it is also sown as "patches".
    """
    hidden = self.tokens(x, train=train, keys=keys)
    self.sow("intermediates", "patches", hidden)
    return self.pool(hidden, x.ids if isinstance(x, Tokens) else x)

  def tokens(
    self, x: jax.Array | Tokens, *, train: bool, keys: jax.Array | None = None
  ) -> jax.Array:
    """Maps token ids to one vector each.

    Args:
      x: ids, int [batch, length], or `Tokens`; without segments all are the first.
      train: whether to drop.
      keys: one per row, for `dropout`.

    Returns:
      float32 [batch, length, width]; of padding it means nothing.

    Raises:
      InputError: `x` are no ids, are more than `length`, or come with segments that
        this net has no embedding for.
    """
    ids, segments = x if isinstance(x, Tokens) else (x, None)
    self._check(ids, segments)
    hidden = self._embed(ids, segments)
    hidden = self.drop(hidden, train=train, keys=keys)
    options = {"train": train, "keys": keys, "mask": self._mask(ids)}
    for block in self.blocks:
      hidden = run_block(block, hidden, remat=self.remat, **options)
    hidden = self.norm(hidden, train=train) if self.pre_norm else hidden
    return hidden.astype(jnp.float32)

  def logits(self, hidden: jax.Array) -> jax.Array:
    """Returns float32 scores of every id, [..., vocabulary], by the token embedding."""
    table = self.token.embedding.astype(self.dtype)
    hidden = hidden.astype(self.dtype)
    return jnp.einsum(
      "...d,vd->...v", hidden, table, preferred_element_type=jnp.float32
    )

  def _check(self, ids, segments):
    if ids.ndim != 2 or not jnp.issubdtype(ids.dtype, jnp.integer):
      raise InputError(
        f"Token ids must be integers [batch, length]; got {ids.dtype} {ids.shape}."
      )
    if ids.shape[1] > self.length:
      raise InputError(
        f"These sequences have {ids.shape[1]} tokens, more than the {self.length} "
        "positions of the transformer; cut them or give it a larger `length`."
      )
    if segments is not None and (not self.segments or segments.shape != ids.shape):
      raise InputError(
        f"Segments of shape {segments.shape} for ids of shape {ids.shape}, with "
        f"{self.segments} segment embeddings; they need the shape of the ids and a "
        "transformer with segments=2."
      )

  def _embed(self, ids, segments):
    hidden = self.token(ids) + self.position(jnp.arange(ids.shape[1]))[None]
    if self.segments:
      hidden += self.segment(jnp.zeros_like(ids) if segments is None else segments)
    return hidden if self.pre_norm else self.norm(hidden, train=False)

  def _mask(self, ids):
    """Which tokens each may attend to: None, [batch, length] or one more length."""
    kept = None if self.padding is None else ids != self.padding
    if not self.causal:
      return kept
    length = ids.shape[1]
    before = jnp.tril(jnp.ones((1, length, length), bool))
    return before if kept is None else before & kept[:, None, :]


class TokenHead(nn.Module):
  """What BERT puts before the tied embedding: dense, GELU, layer norm.

  Attributes:
    activation: after the dense layer.
    epsilon: of the norm.
    kernel_init: how the kernel starts.
    dtype: compute dtype.
  """

  activation: Callable = exact_gelu
  epsilon: float = 1e-12
  kernel_init: Callable = normal_init
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(
    self, hidden: jax.Array, logits: Callable[[jax.Array], jax.Array]
  ) -> jax.Array:
    """Maps hidden vectors [..., width] to scores [..., vocabulary].

    Args:
      hidden: what the transformer gives.
      logits: its method of that name.
    """
    options = {"kernel_init": self.kernel_init, "dtype": self.dtype}
    hidden = nn.Dense(hidden.shape[-1], **options, name="dense")(hidden)
    norm = LayerNorm(epsilon=self.epsilon, name="norm")
    scores = logits(norm(self.activation(hidden), train=False))
    bias = self.param("bias", nn.initializers.zeros, scores.shape[-1:])
    return scores + jnp.expand_dims(bias, range(scores.ndim - 1))
