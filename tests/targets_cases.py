"""Toy forms of the discrete VAE, BEiT, MaskFeat and data2vec."""

from functools import partial

import jax
import jax.numpy as jnp

from jaxssl.methods.beit import beit
from jaxssl.methods.data2vec import data2vec
from jaxssl.methods.dvae import Tokenizer, dvae
from jaxssl.methods.maskfeat import maskfeat
from jaxssl.models.convnet import ConvNet
from jaxssl.models.dvae import CodeDecoder, DiscreteVAE
from jaxssl.models.heads import linear_head
from jaxssl.models.layers import BatchNorm, GroupNorm
from jaxssl.models.siamese import Siamese
from jaxssl.models.vit import LearnedPositions
from jaxssl.ops import cosine_ema
from jaxssl.ops.patches import cut_patches
from tests.token_cases import WIDTH, constant, noisy, vit

VOCABULARY, PATCH = 6, 4


def one_view(key, image):
  """The image with a little noise."""
  return (noisy(key, image),)


def net(out: int, **options):
  """A ViT of one block with a mask token, and a linear head; 4 patches of 4 pixels.

  The mean over more patches of noise is the same for all images. Positions start near
  0, as in `digits_vit`: fixed ones drown what a few pixels say.
  """
  positions = partial(LearnedPositions, grid=(2, 2))
  encoder = vit(mask_token=True, positions=positions, **options)
  return Siamese(encoder.clone(patch=PATCH), linear_head(out=out))


def random_mask(key):
  """Hides each patch with probability 0.4: some images keep all."""
  return jax.random.bernoulli(key, 0.4, (4,))


def code_net(norm: str = "batch", axis_name: str | None = None, **options):
  """A discrete VAE of patches of 2 pixels, on an encoder with or without batch norm."""
  layer = {"batch": BatchNorm, "layer": lambda **o: GroupNorm(groups=4, **o)}[norm]
  encoder = ConvNet(widths=(WIDTH,), pools=(2,), norm=layer, axis_name=axis_name)
  decoder = CodeDecoder(1, width=8, groups=2, blocks=1)
  return DiscreteVAE(encoder, decoder, **{"vocabulary": VOCABULARY, **options})


def make_dvae(norm: str = "batch", axis_name: str | None = None):
  """The discrete VAE, with a ConvNet as its encoder."""
  return dvae(
    code_net(norm, axis_name),
    one_view,
    temperature=constant(0.7),
    kl_weight=constant(0.01),
  )


def scores(variables, images):
  """A tokenizer: the nearest of some patches."""
  patches = cut_patches(images, PATCH)
  return jnp.argmax(patches @ variables, axis=-1).astype(jnp.int32)


def tokenizer():
  """A frozen linear map of the pixels of a patch."""
  weights = jax.random.normal(jax.random.key(6), (PATCH**2, VOCABULARY))
  return Tokenizer(scores, weights, VOCABULARY)


def make_beit(norm: str = "layer", axis_name: str | None = None):
  """BEiT with a linear tokenizer; a ViT has no batch norm."""
  del norm, axis_name
  return beit(
    net(VOCABULARY, drop_path=(0.1,)),
    one_view,
    tokenizer(),
    mask=random_mask,
    masked_patches=3,
  )


def make_maskfeat(norm: str = "layer", axis_name: str | None = None):
  """MaskFeat with cells of the patches' size."""
  del norm, axis_name
  return maskfeat(net(9), one_view, mask=random_mask, cell=PATCH)


def make_data2vec(norm: str = "layer", axis_name: str | None = None):
  """data2vec with one block, whose output is the target."""
  del norm, axis_name
  return data2vec(
    net(WIDTH), one_view, mask=random_mask, momentum=cosine_ema(0.9, steps=20), top=1
  )


def nothing(state):
  """What no gradient may reach in a method without frozen state."""
  del state
  return ()


ROWS = (
  ("dvae", make_dvae, nothing),
  ("beit", make_beit, lambda state: state.extra.tokenizer),
  ("maskfeat", make_maskfeat, nothing),
  ("data2vec", make_data2vec, lambda state: state.extra.target),
)
