"""Pure helpers that know nothing of methods, nets or data."""

from jaxssl.ops.kmeans import Clusters, kmeans, spherical_kmeans
from jaxssl.ops.neighbours import nearest_neighbours
from jaxssl.ops.numerics import l2_normalize, masked_mean, to_float
from jaxssl.ops.queues import enqueue, random_queue
from jaxssl.ops.schedules import cosine, cosine_ema, linear, per_epoch
from jaxssl.ops.sinkhorn import sinkhorn

__all__ = [
  "Clusters",
  "cosine",
  "cosine_ema",
  "enqueue",
  "kmeans",
  "l2_normalize",
  "linear",
  "masked_mean",
  "nearest_neighbours",
  "per_epoch",
  "random_queue",
  "sinkhorn",
  "spherical_kmeans",
  "to_float",
]
