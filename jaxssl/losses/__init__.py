"""Losses: pure functions of arrays, one value per row (or one per batch), flat."""

from jaxssl.losses.clustering import swav
from jaxssl.losses.contrastive import (
  cpc,
  dclw,
  decoupled_nt_xent,
  info_nce,
  nt_xent,
  supcon,
)
from jaxssl.losses.discrete import code_kl, logit_laplace, logit_laplace_image
from jaxssl.losses.distillation import (
  dino,
  ibot_patch,
  koleo,
  relational,
  seed,
  smooth_l1,
)
from jaxssl.losses.gaussianity import sigreg
from jaxssl.losses.generative import (
  adversarial_critic,
  adversarial_generator,
  bernoulli_reconstruction,
  free_bits,
  gaussian_kl,
  gaussian_kl_terms,
  gaussian_reconstruction,
  squared_error,
)
from jaxssl.losses.graphs import dgi, grace, graphcl, scaled_cosine_error
from jaxssl.losses.image_text import clip, ring_clip, ring_siglip, siglip
from jaxssl.losses.items import next_item
from jaxssl.losses.language import (
  IGNORED,
  causal_language_modelling,
  masked_language_modelling,
  next_sentence,
)
from jaxssl.losses.local import vicreg_local
from jaxssl.losses.masked import (
  masked_absolute_error,
  masked_squared_error,
  patch_targets,
)
from jaxssl.losses.noise_contrastive import instance_softmax, npid
from jaxssl.losses.redundancy import barlow_twins, tico, vicreg
from jaxssl.losses.restoration import (
  color_cross_entropy,
  ring_weights,
  weighted_squared_error,
)
from jaxssl.losses.ring import (
  ring_decoupled_nt_xent,
  ring_info_nce,
  ring_nt_xent,
  ring_supcon,
)
from jaxssl.losses.siamese import byol, negative_cosine
from jaxssl.losses.sounding import alignment_nce, contrastive_margin
from jaxssl.losses.speech import (
  code_perplexity,
  code_usage,
  cpc_audio,
  cpc_audio_logits,
  hubert,
  hubert_logits,
  wav2vec2_contrastive,
  wav2vec2_diversity,
  wav2vec2_logits,
)
from jaxssl.losses.table import RowPrediction, mask_error, row_error
from jaxssl.losses.video import (
  absolute_error,
  cube_targets,
  gradient_difference,
  n_pairs,
  triplet_semi_hard,
)
from jaxssl.losses.whitening import w_mse
from jaxssl.losses.word2vec import cbow_negative_sampling, skip_gram_negative_sampling

__all__ = [
  "IGNORED",
  "RowPrediction",
  "absolute_error",
  "adversarial_critic",
  "adversarial_generator",
  "alignment_nce",
  "barlow_twins",
  "bernoulli_reconstruction",
  "byol",
  "causal_language_modelling",
  "cbow_negative_sampling",
  "clip",
  "code_kl",
  "code_perplexity",
  "code_usage",
  "color_cross_entropy",
  "contrastive_margin",
  "cpc",
  "cpc_audio",
  "cpc_audio_logits",
  "cube_targets",
  "dclw",
  "decoupled_nt_xent",
  "dgi",
  "dino",
  "free_bits",
  "gaussian_kl",
  "gaussian_kl_terms",
  "gaussian_reconstruction",
  "grace",
  "gradient_difference",
  "graphcl",
  "hubert",
  "hubert_logits",
  "ibot_patch",
  "info_nce",
  "instance_softmax",
  "koleo",
  "logit_laplace",
  "logit_laplace_image",
  "mask_error",
  "masked_absolute_error",
  "masked_language_modelling",
  "masked_squared_error",
  "n_pairs",
  "negative_cosine",
  "next_item",
  "next_sentence",
  "npid",
  "nt_xent",
  "patch_targets",
  "relational",
  "ring_clip",
  "ring_decoupled_nt_xent",
  "ring_info_nce",
  "ring_nt_xent",
  "ring_siglip",
  "ring_supcon",
  "ring_weights",
  "row_error",
  "scaled_cosine_error",
  "seed",
  "siglip",
  "sigreg",
  "skip_gram_negative_sampling",
  "smooth_l1",
  "squared_error",
  "supcon",
  "swav",
  "tico",
  "triplet_semi_hard",
  "vicreg",
  "vicreg_local",
  "w_mse",
  "wav2vec2_contrastive",
  "wav2vec2_diversity",
  "wav2vec2_logits",
  "weighted_squared_error",
]
