"""RoBERTa: tell hidden tokens from the others, other ones each time."""

from collections.abc import Callable

import flax.linen as nn
import jax

from jaxssl.core import Method
from jaxssl.methods.common import Extra
from jaxssl.methods.hidden_tokens import filled_in, hide, mean_error, token_errors
from jaxssl.models.language import Asked
from jaxssl.models.siamese import apply, apply_still, encode_alone, init


def roberta(net: nn.Module, mask: Callable) -> Method:
  """RoBERTa (Liu et al., arXiv 1907.11692, section 4).

  Every time that a text is seen other tokens are hidden ("dynamic masking"), and there
  is no second task. The loss is the mean over the hidden tokens of the batch.

  Args:
    net: `models.MaskedNet`.
    mask: (key, ids int32 [length]) -> `augment.MaskedText`; `augment.roberta_mask`.

  Returns:
    The method; its features are what the encoder pools of the whole text. Examples
    are ids, int32 [batch, length].
  """

  def start(key, batch):
    keys = jax.random.split(key, batch["input"].shape[0])
    hidden, _ = hide(mask, keys, batch["input"])
    params, stats = init(net, key, Asked(hidden.ids, hidden.places))
    return params, Extra(stats)

  def forward(params, extra, batch, keys, step):
    del step
    hidden, keys = hide(mask, keys, batch["input"])
    asked = Asked(hidden.ids, hidden.places)
    logits, stats = apply(net, params, extra.stats, asked, keys)
    return token_errors(logits, hidden.labels), Extra(stats)

  def objective(params, extra, errors, step):
    del params, step
    loss, metrics = mean_error(errors)
    return loss, (extra, metrics)

  def show(params, extra, batch, keys):
    hidden, _ = hide(mask, keys, batch["input"])
    asked = Asked(hidden.ids, hidden.places)
    logits = apply_still(net, params, extra.stats, asked)
    return {"original | masked | predicted": filled_in(hidden, logits)}

  return Method(start, forward, objective, encode_alone(net.encoder), show=show)
