"""BERT: tell hidden tokens, and whether two segments follow each other."""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl import losses
from jaxssl.core import Method
from jaxssl.data.packing import TextPair
from jaxssl.methods.common import Extra
from jaxssl.methods.hidden_tokens import (
  TokenErrors,
  filled_in,
  hide,
  mean_error,
  token_errors,
)
from jaxssl.models.language import Asked
from jaxssl.models.siamese import apply, apply_still, encode_alone, init
from jaxssl.models.transformer import Tokens


class PairErrors(NamedTuple):
  """The errors of each row of two segments.

  Attributes:
    tokens: of the hidden tokens.
    next: [batch], of whether the second segment follows.
    right: [batch], 1.0 where that is told right.
  """

  tokens: TokenErrors
  next: jax.Array
  right: jax.Array


def bert(net: nn.Module, mask: Callable) -> Method:
  """BERT (Devlin et al., arXiv 1810.04805, section 3.1).

  The loss is the mean over the hidden tokens of the batch, plus the mean over its rows
  of the next-sentence loss. Tokens are hidden anew at each step; the official code
  masks a text in ten ways beforehand.

  Args:
    net: `models.BertNet`, its encoder with `segments=2`.
    mask: (key, ids int32 [length]) -> `augment.MaskedText`; `augment.bert_mask`.

  Returns:
    The method; its features are what the encoder pools. Examples are
    `data.TextPair`.
  """

  def ask(pair, keys):
    hidden, keys = hide(mask, keys, pair.ids)
    tokens = Tokens(hidden.ids, pair.segments)
    return hidden, Asked(tokens, hidden.places), keys

  def start(key, batch):
    keys = jax.random.split(key, batch["input"].ids.shape[0])
    params, stats = init(net, key, ask(batch["input"], keys)[1])
    return params, Extra(stats)

  def forward(params, extra, batch, keys, step):
    del step
    pair = batch["input"]
    hidden, asked, keys = ask(pair, keys)
    (logits, scores), stats = apply(net, params, extra.stats, asked, keys)
    told = jnp.argmax(scores, axis=1).astype(pair.random.dtype)
    errors = PairErrors(
      token_errors(logits, hidden.labels),
      losses.next_sentence(scores, pair.random),
      (told == pair.random).astype(jnp.float32),
    )
    return errors, Extra(stats)

  def objective(params, extra, errors, step):
    del params, step
    tokens, metrics = mean_error(errors.tokens)
    pairs = errors.next.mean()
    own = {
      "token_loss": tokens,
      "next_loss": pairs,
      "next_accuracy": errors.right.mean(),
    }
    return tokens + pairs, (extra, metrics | own)

  def show(params, extra, batch, keys):
    pair = batch["input"]
    hidden, asked, _ = ask(pair, keys)
    logits, _ = apply_still(net, params, extra.stats, asked)
    return {"original | masked | predicted": _columns(pair, filled_in(hidden, logits))}

  encode = encode_alone(net.encoder, lambda pair: Tokens(pair.ids, pair.segments))
  return Method(start, forward, objective, encode, show=show)


def _columns(pair, ids):
  """The pair with other ids, [batch, columns, length]."""
  repeat = lambda x: jnp.repeat(x[:, None], ids.shape[1], axis=1)
  return TextPair(ids, repeat(pair.segments), repeat(pair.random))
