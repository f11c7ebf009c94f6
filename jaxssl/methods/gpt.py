"""GPT: tell each token from those before it."""

import flax.linen as nn
import jax.numpy as jnp

from jaxssl.core import Method
from jaxssl.errors import InputError
from jaxssl.losses import causal_language_modelling
from jaxssl.methods.common import Extra, PatchErrors, mean_over_patches
from jaxssl.models.siamese import apply, apply_still, encode_alone, init


def gpt(net: nn.Module) -> Method:
  """GPT (Radford et al. 2018, equation 1), as GPT-2 and nanoGPT build it.

  A row of n tokens is n - 1 predictions; the loss is the mean over those of the batch,
  padding left out.

  Args:
    net: `models.CausalNet`.

  Returns:
    The method; its features are what the encoder pools. Examples are ids, int32
    [batch, length].

  Raises:
    InputError: if the encoder sees what is to be told.
  """
  if not net.encoder.causal:
    raise InputError("GPT needs a Transformer with causal=True; this one sees ahead.")
  padding = net.encoder.padding

  def start(key, batch):
    params, stats = init(net, key, batch["input"])
    return params, Extra(stats)

  def forward(params, extra, batch, keys, step):
    del step
    ids = batch["input"]
    logits, stats = apply(net, params, extra.stats, ids, keys)
    errors = PatchErrors(*causal_language_modelling(logits, ids, padding=padding))
    return errors, Extra(stats)

  def objective(params, extra, errors, step):
    del params, step
    return mean_over_patches(*errors), (extra, {})

  def show(params, extra, batch, keys):
    del keys
    ids = batch["input"]
    logits = apply_still(net, params, extra.stats, ids)
    told = jnp.argmax(logits[:, :-1], axis=-1).astype(ids.dtype)
    told = jnp.concatenate([ids[:, :1], told], axis=1)
    shown = told if padding is None else jnp.where(ids == padding, ids, told)
    return {"original | each token from those before it": jnp.stack([ids, shown], 1)}

  return Method(start, forward, objective, encode_alone(net.encoder), show=show)
