"""Self-supervised methods, one file each; nets and views come in as arguments."""

from jaxssl.methods.barlow_twins import barlow_twins
from jaxssl.methods.byol import byol
from jaxssl.methods.cpc import cpc
from jaxssl.methods.dcl import dcl, dclw
from jaxssl.methods.deepcluster import deepcluster
from jaxssl.methods.deepcluster_v2 import deepcluster_v2
from jaxssl.methods.dino import dino
from jaxssl.methods.dinov2 import dinov2
from jaxssl.methods.distill import distill
from jaxssl.methods.ibot import ibot
from jaxssl.methods.ijepa import ijepa
from jaxssl.methods.lejepa import lejepa
from jaxssl.methods.moco import moco_v1, moco_v2
from jaxssl.methods.moco_v3 import moco_v3
from jaxssl.methods.nnclr import nnclr
from jaxssl.methods.npid import npid, npid_softmax
from jaxssl.methods.ressl import ressl
from jaxssl.methods.seed import Teacher, seed
from jaxssl.methods.simclr import simclr
from jaxssl.methods.simsiam import simsiam
from jaxssl.methods.supcon import supcon
from jaxssl.methods.swav import swav
from jaxssl.methods.tico import tico
from jaxssl.methods.vicreg import vicreg
from jaxssl.methods.vicregl import vicregl
from jaxssl.methods.w_mse import w_mse

__all__ = [
  "Teacher",
  "barlow_twins",
  "byol",
  "cpc",
  "dcl",
  "dclw",
  "deepcluster",
  "deepcluster_v2",
  "dino",
  "dinov2",
  "distill",
  "ibot",
  "ijepa",
  "lejepa",
  "moco_v1",
  "moco_v2",
  "moco_v3",
  "nnclr",
  "npid",
  "npid_softmax",
  "ressl",
  "seed",
  "simclr",
  "simsiam",
  "supcon",
  "swav",
  "tico",
  "vicreg",
  "vicregl",
  "w_mse",
]
