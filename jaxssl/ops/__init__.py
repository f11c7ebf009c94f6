"""Pure helpers that know nothing of methods, nets or data."""

from jaxssl.ops.gamut import (
  SoftBins,
  ab_bins,
  annealed_mean,
  color_prior,
  rebalancing,
  soft_bins,
)
from jaxssl.ops.hog import hog, hog_picture
from jaxssl.ops.kmeans import Clusters, kmeans, spherical_kmeans
from jaxssl.ops.lab import lab_to_srgb, lightness, srgb_to_lab
from jaxssl.ops.neighbours import nearest_neighbours
from jaxssl.ops.numerics import l2_normalize, masked_mean, to_float
from jaxssl.ops.patches import cut_patches, join_patches, patch_grid, patch_moments
from jaxssl.ops.permutations import all_permutations, permutation_set
from jaxssl.ops.queues import enqueue, random_queue
from jaxssl.ops.schedules import cosine, cosine_ema, linear, per_epoch
from jaxssl.ops.sinkhorn import sinkhorn

__all__ = [
  "Clusters",
  "SoftBins",
  "ab_bins",
  "all_permutations",
  "annealed_mean",
  "color_prior",
  "cosine",
  "cosine_ema",
  "cut_patches",
  "enqueue",
  "hog",
  "hog_picture",
  "join_patches",
  "kmeans",
  "l2_normalize",
  "lab_to_srgb",
  "lightness",
  "linear",
  "masked_mean",
  "nearest_neighbours",
  "patch_grid",
  "patch_moments",
  "per_epoch",
  "permutation_set",
  "random_queue",
  "rebalancing",
  "sinkhorn",
  "soft_bins",
  "spherical_kmeans",
  "srgb_to_lab",
  "to_float",
]
