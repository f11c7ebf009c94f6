"""Self-supervised methods, one file each; nets and views come in as arguments."""

from jaxssl.methods.aim import aim
from jaxssl.methods.alignment import alignment, alignment_info_nce
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
from jaxssl.methods.bert import bert
from jaxssl.methods.bert4rec import bert4rec, bert4rec_scores
from jaxssl.methods.bigan import bigan
from jaxssl.methods.byol import byol
from jaxssl.methods.cbow import cbow
from jaxssl.methods.clip import clip
from jaxssl.methods.cola import cola, cola_cosine
from jaxssl.methods.colorization import colorization, colorization_regression
from jaxssl.methods.context import context
from jaxssl.methods.cpc import cpc
from jaxssl.methods.cpc_audio import cpc_audio
from jaxssl.methods.cross_modal import cross_modal
from jaxssl.methods.data2vec import data2vec
from jaxssl.methods.dcl import dcl, dclw
from jaxssl.methods.deepcluster import deepcluster
from jaxssl.methods.deepcluster_v2 import deepcluster_v2
from jaxssl.methods.dgi import dgi
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
from jaxssl.methods.frame_order import frame_order, shuffle_and_learn
from jaxssl.methods.future_frame import future_frame
from jaxssl.methods.gan import gan
from jaxssl.methods.gpt import gpt
from jaxssl.methods.grace import grace
from jaxssl.methods.graphcl import graphcl
from jaxssl.methods.graphmae import graphmae
from jaxssl.methods.hubert import hubert
from jaxssl.methods.ibot import ibot
from jaxssl.methods.ijepa import ijepa
from jaxssl.methods.inpainting import inpainting, inpainting_adversarial
from jaxssl.methods.jigsaw import jigsaw
from jaxssl.methods.lejepa import lejepa
from jaxssl.methods.lit import lit
from jaxssl.methods.mae import mae
from jaxssl.methods.masked_spectrogram import masked_spectrogram, mockingjay
from jaxssl.methods.maskfeat import maskfeat
from jaxssl.methods.moco import moco_v1, moco_v2
from jaxssl.methods.moco_v3 import moco_v3
from jaxssl.methods.nnclr import nnclr
from jaxssl.methods.npid import npid, npid_softmax
from jaxssl.methods.patch_order import patch_order
from jaxssl.methods.predictive import predictive
from jaxssl.methods.ressl import ressl
from jaxssl.methods.roberta import roberta
from jaxssl.methods.rotation import rotation, rotation_sampled
from jaxssl.methods.sasrec import sasrec, sasrec_scores
from jaxssl.methods.scarf import scarf
from jaxssl.methods.seed import Teacher, seed, teacher_width
from jaxssl.methods.siglip import siglip
from jaxssl.methods.simclr import simclr
from jaxssl.methods.simcse import simcse
from jaxssl.methods.simmim import simmim
from jaxssl.methods.simsiam import simsiam
from jaxssl.methods.skip_gram import nearest_words, skip_gram
from jaxssl.methods.supcon import supcon
from jaxssl.methods.swav import swav
from jaxssl.methods.table_denoising import table_denoising
from jaxssl.methods.tcn import tcn, tcn_multi_view
from jaxssl.methods.tico import tico
from jaxssl.methods.vae import vae
from jaxssl.methods.vicreg import vicreg
from jaxssl.methods.vicregl import vicregl
from jaxssl.methods.videomae import videomae
from jaxssl.methods.vime import vime
from jaxssl.methods.w_mse import w_mse
from jaxssl.methods.wav2vec2 import wav2vec2

__all__ = [
  "BERNOULLI",
  "LOGIT_LAPLACE",
  "SQUARED",
  "Likelihood",
  "Pixels",
  "Teacher",
  "Tokenizer",
  "aim",
  "alignment",
  "alignment_info_nce",
  "autoencoder",
  "barlow_twins",
  "beit",
  "bert",
  "bert4rec",
  "bert4rec_scores",
  "bigan",
  "byol",
  "cbow",
  "clip",
  "cola",
  "cola_cosine",
  "colorization",
  "colorization_regression",
  "context",
  "cpc",
  "cpc_audio",
  "cross_modal",
  "data2vec",
  "dcl",
  "dclw",
  "deepcluster",
  "deepcluster_v2",
  "denoising",
  "dgi",
  "dino",
  "dinov2",
  "distill",
  "dvae",
  "dvae_tokenizer",
  "frame_order",
  "future_frame",
  "gan",
  "gaussian_pixels",
  "gpt",
  "grace",
  "graphcl",
  "graphmae",
  "hubert",
  "ibot",
  "ijepa",
  "inpainting",
  "inpainting_adversarial",
  "jigsaw",
  "kmeans_tokenizer",
  "lejepa",
  "lit",
  "mae",
  "masked_spectrogram",
  "maskfeat",
  "mockingjay",
  "moco_v1",
  "moco_v2",
  "moco_v3",
  "nearest_words",
  "nnclr",
  "npid",
  "npid_softmax",
  "patch_order",
  "predictive",
  "ressl",
  "roberta",
  "rotation",
  "rotation_sampled",
  "sasrec",
  "sasrec_scores",
  "scarf",
  "seed",
  "shuffle_and_learn",
  "siglip",
  "simclr",
  "simcse",
  "simmim",
  "simsiam",
  "skip_gram",
  "supcon",
  "swav",
  "table_denoising",
  "tcn",
  "tcn_multi_view",
  "teacher_width",
  "tico",
  "vae",
  "vicreg",
  "vicregl",
  "videomae",
  "vime",
  "w_mse",
  "wav2vec2",
]
