"""Losses: pure functions of arrays, one value per row (or one per batch), flat."""

from jaxssl.losses.contrastive import decoupled_nt_xent, info_nce, nt_xent, supcon
from jaxssl.losses.redundancy import barlow_twins, vicreg
from jaxssl.losses.siamese import byol, negative_cosine

__all__ = [
  "barlow_twins",
  "byol",
  "decoupled_nt_xent",
  "info_nce",
  "negative_cosine",
  "nt_xent",
  "supcon",
  "vicreg",
]
