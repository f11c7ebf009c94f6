"""Pure helpers that know nothing of methods, nets or data."""

from jaxssl.ops.numerics import l2_normalize, masked_mean, to_float
from jaxssl.ops.queues import enqueue, random_queue
from jaxssl.ops.schedules import cosine_ema

__all__ = [
  "cosine_ema",
  "enqueue",
  "l2_normalize",
  "masked_mean",
  "random_queue",
  "to_float",
]
