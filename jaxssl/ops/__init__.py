"""Pure helpers that know nothing of methods, nets or data."""

from jaxssl.ops.cepstrum import cepstrum, mfcc, slopes
from jaxssl.ops.cubes import cube_grid, cube_moments, cut_cubes, join_cubes
from jaxssl.ops.gamut import (
  SoftBins,
  ab_bins,
  annealed_mean,
  check_colors,
  color_prior,
  rebalancing,
  soft_bins,
)
from jaxssl.ops.graphs import (
  Graph,
  degrees,
  neighbour_mean,
  propagate,
  random_walk,
  symmetric_weights,
)
from jaxssl.ops.hog import hog, hog_picture
from jaxssl.ops.kmeans import Clusters, kmeans, spherical_kmeans
from jaxssl.ops.lab import lab_to_srgb, lightness, srgb_to_lab
from jaxssl.ops.neighbours import nearest_neighbours
from jaxssl.ops.numerics import l2_normalize, masked_mean, to_float
from jaxssl.ops.patches import cut_patches, join_patches, patch_grid, patch_moments
from jaxssl.ops.permutations import all_permutations, permutation_set
from jaxssl.ops.quantize import falling_temperature, gumbel_one_hot, other_places
from jaxssl.ops.queues import check_queue_size, enqueue, random_queue
from jaxssl.ops.sampling import draw_absent, draw_noise, keep_probability, noise_cdf
from jaxssl.ops.schedules import cosine, cosine_ema, linear, per_epoch
from jaxssl.ops.sinkhorn import Scaling, assigned, sinkhorn, sinkhorn_scaling
from jaxssl.ops.spectrogram import (
  LogMel,
  as_pictures,
  cut_frames,
  log_mel,
  mel_bank,
  stft,
)

__all__ = [
  "Clusters",
  "Graph",
  "LogMel",
  "Scaling",
  "SoftBins",
  "ab_bins",
  "all_permutations",
  "annealed_mean",
  "as_pictures",
  "assigned",
  "cepstrum",
  "check_colors",
  "check_queue_size",
  "color_prior",
  "cosine",
  "cosine_ema",
  "cube_grid",
  "cube_moments",
  "cut_cubes",
  "cut_frames",
  "cut_patches",
  "degrees",
  "draw_absent",
  "draw_noise",
  "enqueue",
  "falling_temperature",
  "gumbel_one_hot",
  "hog",
  "hog_picture",
  "join_cubes",
  "join_patches",
  "keep_probability",
  "kmeans",
  "l2_normalize",
  "lab_to_srgb",
  "lightness",
  "linear",
  "log_mel",
  "masked_mean",
  "mel_bank",
  "mfcc",
  "nearest_neighbours",
  "neighbour_mean",
  "noise_cdf",
  "other_places",
  "patch_grid",
  "patch_moments",
  "per_epoch",
  "permutation_set",
  "propagate",
  "random_queue",
  "random_walk",
  "rebalancing",
  "sinkhorn",
  "sinkhorn_scaling",
  "slopes",
  "soft_bins",
  "spherical_kmeans",
  "srgb_to_lab",
  "stft",
  "symmetric_weights",
  "to_float",
]
