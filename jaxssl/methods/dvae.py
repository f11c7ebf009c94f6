"""The discrete VAE: images as a grid of codes, the tokenizer of BEiT."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.lax import stop_gradient

from jaxssl import losses
from jaxssl.core import Method
from jaxssl.errors import InputError
from jaxssl.methods.common import Extra
from jaxssl.methods.pictures import side_by_side
from jaxssl.models.dvae import DiscreteVAE
from jaxssl.models.layers import flatten_map
from jaxssl.models.siamese import draw_views, init_on_views
from jaxssl.ops import to_float

PyTree = Any


class Likelihood(NamedTuple):
  """How numbers that a decoder makes stand for pixels.

  Attributes:
    numbers: for each pixel and channel.
    error: (decoded, image) -> error of each pixel and channel, in nats or another unit.
    image: decoded -> the likeliest image, in [0, 1].
  """

  numbers: int
  error: Callable
  image: Callable


def _halves(decoded):
  return jnp.split(decoded, 2, axis=-1)


MEAN_SQUARED = Likelihood(
  numbers=1,
  error=lambda decoded, image: jnp.square(decoded - image),
  image=lambda decoded: jnp.clip(decoded, 0.0, 1.0),
)
LOGIT_LAPLACE = Likelihood(
  numbers=2,
  error=lambda decoded, image: losses.logit_laplace(*_halves(decoded), image),
  image=lambda decoded: losses.logit_laplace_image(_halves(decoded)[0]),
)


class DvaeOutputs(NamedTuple):
  """What the discrete VAE makes of each example.

  Attributes:
    error: [batch], mean over pixels and channels.
    kl: [batch], divergence from uniform codes, mean over patches, in nats.
    usage: [batch, vocabulary], mean probability of each code over the patches.
  """

  error: jax.Array
  kl: jax.Array
  usage: jax.Array


def dvae(
  net: DiscreteVAE,
  views: Callable,
  *,
  temperature: Callable,
  kl_weight: Callable,
  likelihood: Likelihood = MEAN_SQUARED,
) -> Method:
  """The discrete VAE of DALL-E (Ramesh et al., arXiv 2102.12092, section 2.1).

  Every patch becomes a distribution over codes; a relaxed draw of it is decoded. The
  loss is the error of a pixel and channel plus `kl_weight` times the divergence of a
  patch from uniform codes, both as means. In these units DALL-E's weight of 6.6 is
  6.6 / 192 (192 numbers for each code), with `LOGIT_LAPLACE`.

  Args:
    net: encoder and decoder; the decoder makes `likelihood.numbers` per channel.
    views: (key, example) -> images, of which the first is used.
    temperature: step -> temperature of the relaxed codes; 1 to 1/16 in DALL-E.
    kl_weight: step -> weight of the divergence.
    likelihood: `MEAN_SQUARED` or `LOGIT_LAPLACE`.

  Returns:
    The method. `encode` gives the mean of the encoder's map; with `patches` the scores
    of the codes, [batch, patches, vocabulary]: their argmax are the tokens.

  Raises:
    InputError: for a vocabulary of fewer than 2 codes; in `init` if the decoder's
      images have another size than its inputs.
  """
  if net.vocabulary < 2:
    raise InputError(f"A vocabulary has 2 codes or more, not {net.vocabulary}.")

  def init(key, batch):
    params, stats = init_on_views(net, key, views, batch)
    _check_decoder(net, {"params": params, **stats}, views, batch, likelihood)
    return params, Extra(stats)

  def forward(params, extra, batch, keys, step):
    (image, *_), net_keys = draw_views(views, keys, batch["input"])
    image, variables = to_float(image), {"params": params, **extra.stats}
    options = {"keys": net_keys, "temperature": temperature(step)}
    out, stats = net.apply(
      variables, image, train=True, mutable=list(extra.stats), **options
    )
    outputs = DvaeOutputs(
      likelihood.error(out.decoded, image).mean((1, 2, 3)),
      losses.code_kl(out.logits).mean((1, 2)),
      stop_gradient(jax.nn.softmax(out.logits).mean((1, 2))),
    )
    return outputs, Extra(stats)

  def objective(params, extra, outputs, step):
    del params
    error, kl = outputs.error.mean(), outputs.kl.mean()
    metrics = {"error": error, "kl": kl, "codes_used": perplexity(outputs.usage)}
    return error + kl_weight(step) * kl, (extra, metrics)

  def encode(params, extra, batch, *, patches=False):
    variables, image = {"params": params, **extra.stats}, to_float(batch["input"])
    features, logits = net.apply(variables, image, method="encode")
    return flatten_map(logits) if patches else features

  def show(params, extra, batch, keys):
    (image, *_), _ = draw_views(views, keys, batch["input"])
    tokenizer = made_of(params, extra)
    tokens = tokenizer.encode(tokenizer.variables, image)
    rebuilt = decode(params, extra, tokens)
    return {"original | rebuilt": side_by_side(image, rebuilt)}

  def made_of(params, extra):
    return dvae_tokenizer(net, params, extra.stats, likelihood=likelihood)

  def decode(params, extra, tokens):
    tokenizer = made_of(params, extra)
    return tokenizer.decode(tokenizer.variables, tokens)

  return Method(init, forward, objective, encode, show=show, decode=decode)


def perplexity(usage: jax.Array) -> jax.Array:
  """The number of codes in use: exp of the entropy of their mean share.

  Args:
    usage: [batch, vocabulary], rows that sum to 1.

  Returns:
    float32 [], from 1 to the vocabulary.
  """
  share = usage.mean(0)
  return jnp.exp(-jnp.sum(share * jnp.log(jnp.maximum(share, 1e-20))))


class Tokenizer(NamedTuple):
  """A frozen map from images to a grid of tokens.

  Attributes:
    encode: (variables, images) -> int32 [batch, patches], row by row.
    variables: its weights and statistics.
    vocabulary: number of tokens.
    decode: (variables, tokens) -> images, [batch, height, width, channels] in [0, 1];
      None: there are no pictures of tokens.
  """

  encode: Callable
  variables: PyTree
  vocabulary: int
  decode: Callable | None = None


def dvae_tokenizer(
  net: DiscreteVAE,
  params: PyTree,
  stats: PyTree,
  *,
  likelihood: Likelihood = MEAN_SQUARED,
) -> Tokenizer:
  """A trained discrete VAE as a tokenizer: the likeliest code of each patch.

  Args:
    net: the net, whose patches form a square.
    params: its parameters.
    stats: its statistics.
    likelihood: that it was trained with.

  Returns:
    The tokenizer, with pictures.
  """

  def encode(variables, images):
    _, logits = net.apply(variables, to_float(images), method="encode")
    return jnp.argmax(flatten_map(logits), axis=-1).astype(jnp.int32)

  def decode(variables, tokens):
    side = round(tokens.shape[1] ** 0.5)
    codes = jax.nn.one_hot(tokens.reshape(-1, side, side), net.vocabulary)
    return likelihood.image(net.apply(variables, codes, method="decode"))

  return Tokenizer(encode, {"params": params, **stats}, net.vocabulary, decode)


def _check_decoder(net, variables, views, batch, likelihood):
  """Raises unless what is decoded has the shape of the image."""
  keys = jax.random.split(jax.random.key(0), batch["input"].shape[0])
  crop = jax.eval_shape(partial(draw_views, views), keys, batch["input"])[0][0]
  run = lambda x: net.apply(variables, to_float(x), train=False).decoded
  made = jax.eval_shape(run, crop).shape
  wanted = (*crop.shape[:-1], crop.shape[-1] * likelihood.numbers)
  if made != wanted:
    raise InputError(
      f"The decoder makes {list(made)} of images {list(crop.shape)}; it must make "
      f"{list(wanted)}: as many groups as the encoder, and out={wanted[-1]}."
    )
