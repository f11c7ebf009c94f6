"""BEiT: which token of a frozen tokenizer belongs in the place of a hidden patch."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax.lax import stop_gradient

from jaxssl.core import Method
from jaxssl.errors import InputError
from jaxssl.methods.common import mean_over_patches
from jaxssl.methods.dvae import Tokenizer
from jaxssl.methods.hidden import (
  check_width,
  draw_hidden,
  hidden_error,
  hidden_picture,
  init_hidden,
  predict_still,
  see_hidden,
)
from jaxssl.methods.pictures import side_by_side
from jaxssl.models.predictor import first_true
from jaxssl.models.siamese import apply_projector, make_encode
from jaxssl.ops import kmeans, to_float
from jaxssl.ops.patches import cut_patches, join_patches

PyTree = Any


class BeitExtra(NamedTuple):
  """State of BEiT beside the parameters.

  Attributes:
    stats: the net's batch statistics.
    tokenizer: the tokenizer's variables, which never change.
  """

  stats: PyTree
  tokenizer: PyTree


class BeitOutputs(NamedTuple):
  """What BEiT makes of each example.

  Attributes:
    error: [batch], cross-entropy summed over the hidden patches.
    count: [batch], number of these patches.
    right: [batch], number of these whose likeliest token is the tokenizer's.
  """

  error: jax.Array
  count: jax.Array
  right: jax.Array


def beit(
  net: nn.Module,
  views: Callable,
  tokenizer: Tokenizer,
  *,
  mask: Callable,
  masked_patches: int,
) -> Method:
  """BEiT (Bao et al., arXiv 2106.08254, section 2.3).

  The loss is the cross-entropy of the tokens of hidden patches, the mean over all
  hidden patches of the batch: ln(vocabulary) for uniform predictions, 9.011 for 8,192.

  Args:
    net: ViT with `mask_token=True`, and a projector to the vocabulary, as
      `models.linear_head(out=8192)`.
    views: (key, example) -> images: the net sees the first, the tokenizer the last,
      which may have another size (`augment.in_two_sizes`).
    tokenizer: a trained discrete VAE, or `kmeans_tokenizer`; one token for each patch.
    mask: key -> bool [patches], True where the net doesn't see the patch; BEiT's is
      `augment.block_mask` with `ratio=(75 / 196,) * 2` and `probability=1`.
    masked_patches: the most patches that a mask hides; of more, the first count.

  Returns:
    The method; `encode` is the encoder on whole images.

  Raises:
    InputError: for a vocabulary of fewer than 2; in `init` if the tokens, the mask
      or the projector don't fit the patches.
  """
  if tokenizer.vocabulary < 2:
    raise InputError(f"A vocabulary has 2 tokens or more, not {tokenizer.vocabulary}.")

  def init(key, batch):
    params, stats, width = init_hidden(net, key, views, mask, batch)
    check_width(width, tokenizer.vocabulary, "the tokenizer's vocabulary is")
    variables = jax.tree.map(jnp.array, tokenizer.variables)
    _check_tokens(tokenizer, views, mask, batch)
    return params, BeitExtra(stats, variables)

  def tokens_of(extra, hidden):
    found = tokenizer.encode(stop_gradient(extra.tokenizer), hidden.crops[-1])
    return stop_gradient(found)

  def forward(params, extra, batch, keys, step):
    del step
    hidden = draw_hidden(views, mask, keys, batch["input"])
    index, asked = first_true(hidden.mask, masked_patches)
    patches, stats = see_hidden(net, params, extra.stats, hidden)
    patches = jnp.take_along_axis(patches, index[:, :, None], axis=1)
    logits, stats = apply_projector(net, params, stats, patches)
    logits = logits.astype(jnp.float32)
    tokens = jnp.take_along_axis(tokens_of(extra, hidden), index, axis=1)
    error = optax.losses.softmax_cross_entropy_with_integer_labels(logits, tokens)
    right = (jnp.argmax(logits, axis=-1) == tokens) & asked
    right = jnp.sum(right, axis=1, dtype=jnp.float32)
    outputs = BeitOutputs(*hidden_error(error, asked), right)
    return outputs, extra._replace(stats=stats)

  def objective(params, extra, outputs, step):
    del params, step
    accuracy = mean_over_patches(outputs.right, outputs.count)
    metrics = {"token_accuracy": accuracy, "hidden_patches": outputs.count.mean()}
    return mean_over_patches(outputs.error, outputs.count), (extra, metrics)

  def show(params, extra, batch, keys):
    hidden = draw_hidden(views, mask, keys, batch["input"])
    logits = predict_still(net, params, extra.stats, hidden)
    true = tokens_of(extra, hidden)
    filled = jnp.where(hidden.mask, jnp.argmax(logits, axis=-1).astype(jnp.int32), true)
    image = hidden.crops[0]
    drawn = [tokenizer.decode(extra.tokenizer, tokens) for tokens in (true, filled)]
    drawn = [jax.image.resize(x, image.shape, "nearest") for x in drawn]
    seen = hidden_picture(image, hidden.mask, net.encoder.patch)
    columns = side_by_side(image, seen, *drawn)
    return {"original | seen | its tokens | tokens as predicted": columns}

  encode = make_encode(net, lambda params, extra: (params, extra.stats))
  drawable = show if tokenizer.decode else None
  return Method(init, forward, objective, encode, show=drawable)


def kmeans_tokenizer(
  key: jax.Array,
  images: jax.Array,
  *,
  patch: int,
  vocabulary: int,
  iterations: int = 20,
) -> Tokenizer:
  """Tokens without a net: the nearest of the centroids of patches' pixels.

  A substitute for the discrete VAE where none was trained: it knows colours and edges,
  and nothing larger than a patch.

  Args:
    key: PRNG key of k-means.
    images: some training images, [images, height, width, channels], uint8 or float.
    patch: side of a patch in pixels, which divides both sides.
    vocabulary: number of tokens.
    iterations: of k-means.

  Returns:
    The tokenizer, for square images of any size that `patch` divides.

  Raises:
    InputError: for a vocabulary of fewer than 2 or more than patches, or patches that
      don't divide the images.
  """
  if vocabulary < 2:
    raise InputError(f"A vocabulary has 2 tokens or more, not {vocabulary}.")
  rows = cut_patches(to_float(images), patch)
  rows = rows.reshape(-1, rows.shape[-1])
  found = kmeans(key, rows, clusters=vocabulary, iterations=iterations)

  def encode(variables, images):
    rows = cut_patches(to_float(images), patch)
    return _nearest(rows.astype(jnp.float32), variables["centroids"])

  def decode(variables, tokens):
    side = round(tokens.shape[1] ** 0.5)
    rows = variables["centroids"][tokens]
    return jnp.clip(join_patches(rows, patch=patch, grid=(side, side)), 0.0, 1.0)

  return Tokenizer(encode, {"centroids": found.centroids}, vocabulary, decode)


def _nearest(rows, centroids):
  half = jnp.sum(jnp.square(centroids), axis=1) / 2.0
  product = jnp.einsum("bpd,vd->bpv", rows, centroids, precision="highest")
  return jnp.argmin(half[None, None] - product, axis=-1).astype(jnp.int32)


def _check_tokens(tokenizer, views, mask, batch):
  """Raises unless there is one token for each patch that can be hidden."""

  def run():
    keys = jax.random.split(jax.random.key(0), batch["input"].shape[0])
    hidden = draw_hidden(views, mask, keys, batch["input"])
    return tokenizer.encode(tokenizer.variables, hidden.crops[-1]), hidden

  tokens, hidden = jax.eval_shape(run)
  if tokens.shape != hidden.mask.shape:
    raise InputError(
      f"The tokenizer makes {tokens.shape[1]} tokens of its view "
      f"{list(hidden.crops[-1].shape[1:])}, and the net has {hidden.mask.shape[1]} "
      f"patches of its own {list(hidden.crops[0].shape[1:])}; there must be one token "
      "for each patch."
    )
