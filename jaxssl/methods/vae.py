"""The variational autoencoder: rebuild from a noisy code, close to the prior."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxssl import losses
from jaxssl.core import Method
from jaxssl.errors import InputError
from jaxssl.losses.generative import check_free_bits
from jaxssl.methods.autoencoder import Pixels
from jaxssl.methods.common import Extra
from jaxssl.methods.pictures import sample_grid, side_by_side
from jaxssl.models.generative import VAE, normal_prior
from jaxssl.models.siamese import (
  apply,
  apply_still,
  draw_views,
  init_on_views,
  make_encode,
)
from jaxssl.ops import to_float


class VaeOutputs(NamedTuple):
  """The two terms of each example.

  Attributes:
    error: of the reconstruction, summed over the pixels, [batch].
    kl: of each dimension of the code, [batch, latent].
  """

  error: jax.Array
  kl: jax.Array


def at_once(step: jax.Array) -> jax.Array:
  """The schedule of a KL term that has its whole weight from the first step."""
  return jnp.ones_like(step, jnp.float32)


def vae(
  net: VAE,
  views: Callable,
  *,
  pixels: Pixels,
  beta: float = 1.0,
  free_bits: float = 0.0,
  warmup: Callable = at_once,
) -> Method:
  """A VAE (Kingma and Welling, arXiv 1312.6114, equation 10), beta as in beta-VAE.

  The reconstruction is summed over the pixels and the KL over the dimensions of an
  example, both are averaged over the batch: beta = 1 is the bound. Free bits are those
  of arXiv 1606.04934; their mean is over the whole batch.

  Args:
    net: the VAE.
    views: (key, example) -> inputs, of which the first is used.
    pixels: what the decoder's output means: `BERNOULLI` or `gaussian_pixels(s)`.
    beta: weight of the KL, 0 or more.
    free_bits: nats that each dimension's KL has for free, 0 or more.
    warmup: step -> share of beta; `ops.linear(0.0, 1.0, steps=steps)` over a tenth of
      the run keeps dimensions alive.

  Returns:
    The method; its features are the mean of the code.

  Raises:
    InputError: if beta or the free bits are negative.
  """
  if not beta >= 0.0:
    raise InputError(f"beta is {beta}; pass 0 or more.")
  check_free_bits(free_bits)

  def init(key, batch):
    params, stats = init_on_views(net, key, views, batch)
    return params, Extra(stats)

  def forward(params, extra, batch, keys, step):
    del step
    crops, net_keys = draw_views(views, keys, batch["input"])
    out, stats = apply(net, params, extra.stats, crops[0], net_keys)
    error = pixels.error(out.image, to_float(crops[0]))
    kl = losses.gaussian_kl_terms(out.features, out.log_variance)
    return VaeOutputs(error, kl), Extra(stats)

  def objective(params, extra, outputs, step):
    del params
    error = jnp.mean(outputs.error)
    weight = beta * warmup(step)
    loss = error + weight * losses.free_bits(outputs.kl, least=free_bits)
    return loss, (extra, {"reconstruction": error, "kl": outputs.kl.sum(1).mean()})

  def show(params, extra, batch, keys):
    crops, draw_keys = draw_views(views, keys, batch["input"])
    rebuilt = pixels.image(apply_still(net, params, extra.stats, crops[0]).image)
    variables = {"params": params, **extra.stats}
    decode = lambda z: pixels.image(net.apply(variables, z, method="decode"))
    return {
      "original | rebuilt": side_by_side(crops[0], rebuilt),
      "samples": sample_grid(normal_prior(net.latent).draw, decode, draw_keys),
    }

  encode = make_encode(net, lambda params, extra: (params, extra.stats))
  return Method(init, forward, objective, encode, show=show)
