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
from jaxssl.losses.distillation import (
  dino,
  ibot_patch,
  koleo,
  relational,
  seed,
  smooth_l1,
)
from jaxssl.losses.gaussianity import sigreg
from jaxssl.losses.local import vicreg_local
from jaxssl.losses.noise_contrastive import instance_softmax, npid
from jaxssl.losses.redundancy import barlow_twins, tico, vicreg
from jaxssl.losses.ring import (
  ring_decoupled_nt_xent,
  ring_info_nce,
  ring_nt_xent,
  ring_supcon,
)
from jaxssl.losses.siamese import byol, negative_cosine
from jaxssl.losses.whitening import w_mse

__all__ = [
  "barlow_twins",
  "byol",
  "cpc",
  "dclw",
  "decoupled_nt_xent",
  "dino",
  "ibot_patch",
  "info_nce",
  "instance_softmax",
  "koleo",
  "negative_cosine",
  "npid",
  "nt_xent",
  "relational",
  "ring_decoupled_nt_xent",
  "ring_info_nce",
  "ring_nt_xent",
  "ring_supcon",
  "seed",
  "sigreg",
  "smooth_l1",
  "supcon",
  "swav",
  "tico",
  "vicreg",
  "vicreg_local",
  "w_mse",
]
