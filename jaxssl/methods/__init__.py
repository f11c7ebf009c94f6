"""Self-supervised methods, one file each; nets and views come in as arguments."""

from jaxssl.methods.aim import aim
from jaxssl.methods.autoencoder import (
  BERNOULLI,
  SQUARED,
  Pixels,
  autoencoder,
  denoising,
  gaussian_pixels,
)
from jaxssl.methods.barlow_twins import barlow_twins
from jaxssl.methods.beit import beit, kmeans_tokenizer
from jaxssl.methods.bigan import bigan
from jaxssl.methods.byol import byol
from jaxssl.methods.colorization import colorization, colorization_regression
from jaxssl.methods.context import context
from jaxssl.methods.cpc import cpc
from jaxssl.methods.data2vec import data2vec
from jaxssl.methods.dcl import dcl, dclw
from jaxssl.methods.deepcluster import deepcluster
from jaxssl.methods.deepcluster_v2 import deepcluster_v2
from jaxssl.methods.dino import dino
from jaxssl.methods.dinov2 import dinov2
from jaxssl.methods.distill import distill
from jaxssl.methods.dvae import (
  LOGIT_LAPLACE,
  Likelihood,
  Tokenizer,
  dvae,
  dvae_tokenizer,
)
from jaxssl.methods.gan import gan
from jaxssl.methods.ibot import ibot
from jaxssl.methods.ijepa import ijepa
from jaxssl.methods.inpainting import inpainting, inpainting_adversarial
from jaxssl.methods.jigsaw import jigsaw
from jaxssl.methods.lejepa import lejepa
from jaxssl.methods.mae import mae
from jaxssl.methods.maskfeat import maskfeat
from jaxssl.methods.moco import moco_v1, moco_v2
from jaxssl.methods.moco_v3 import moco_v3
from jaxssl.methods.nnclr import nnclr
from jaxssl.methods.npid import npid, npid_softmax
from jaxssl.methods.patch_order import patch_order
from jaxssl.methods.predictive import predictive
from jaxssl.methods.ressl import ressl
from jaxssl.methods.rotation import rotation, rotation_sampled
from jaxssl.methods.seed import Teacher, seed
from jaxssl.methods.simclr import simclr
from jaxssl.methods.simmim import simmim
from jaxssl.methods.simsiam import simsiam
from jaxssl.methods.supcon import supcon
from jaxssl.methods.swav import swav
from jaxssl.methods.tico import tico
from jaxssl.methods.vae import vae
from jaxssl.methods.vicreg import vicreg
from jaxssl.methods.vicregl import vicregl
from jaxssl.methods.w_mse import w_mse

__all__ = [
  "BERNOULLI",
  "LOGIT_LAPLACE",
  "SQUARED",
  "Likelihood",
  "Pixels",
  "Teacher",
  "Tokenizer",
  "aim",
  "autoencoder",
  "barlow_twins",
  "beit",
  "bigan",
  "byol",
  "colorization",
  "colorization_regression",
  "context",
  "cpc",
  "data2vec",
  "dcl",
  "dclw",
  "deepcluster",
  "deepcluster_v2",
  "denoising",
  "dino",
  "dinov2",
  "distill",
  "dvae",
  "dvae_tokenizer",
  "gan",
  "gaussian_pixels",
  "ibot",
  "ijepa",
  "inpainting",
  "inpainting_adversarial",
  "jigsaw",
  "kmeans_tokenizer",
  "lejepa",
  "mae",
  "maskfeat",
  "moco_v1",
  "moco_v2",
  "moco_v3",
  "nnclr",
  "npid",
  "npid_softmax",
  "patch_order",
  "predictive",
  "ressl",
  "rotation",
  "rotation_sampled",
  "seed",
  "simclr",
  "simmim",
  "simsiam",
  "supcon",
  "swav",
  "tico",
  "vae",
  "vicreg",
  "vicregl",
  "w_mse",
]
