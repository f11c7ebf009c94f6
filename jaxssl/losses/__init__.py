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
from jaxssl.losses.whitening import w_mse

__all__ = [
  "adversarial_critic",
  "adversarial_generator",
  "barlow_twins",
  "bernoulli_reconstruction",
  "byol",
  "code_kl",
  "color_cross_entropy",
  "cpc",
  "dclw",
  "decoupled_nt_xent",
  "dino",
  "free_bits",
  "gaussian_kl",
  "gaussian_kl_terms",
  "gaussian_reconstruction",
  "ibot_patch",
  "info_nce",
  "instance_softmax",
  "koleo",
  "logit_laplace",
  "logit_laplace_image",
  "masked_absolute_error",
  "masked_squared_error",
  "negative_cosine",
  "npid",
  "nt_xent",
  "patch_targets",
  "relational",
  "ring_decoupled_nt_xent",
  "ring_info_nce",
  "ring_nt_xent",
  "ring_supcon",
  "ring_weights",
  "seed",
  "sigreg",
  "smooth_l1",
  "squared_error",
  "supcon",
  "swav",
  "tico",
  "vicreg",
  "vicreg_local",
  "w_mse",
  "weighted_squared_error",
]
