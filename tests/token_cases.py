"""Toy forms of the methods with a teacher: DINO, iBOT, DINOv2, I-JEPA."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl.methods.dino import dino
from jaxssl.methods.dinov2 import dinov2
from jaxssl.methods.distill import distill
from jaxssl.methods.ibot import ibot
from jaxssl.methods.ijepa import ijepa
from jaxssl.methods.seed import Teacher
from jaxssl.models.mlp import MLP
from jaxssl.models.predictor import PatchPredictor
from jaxssl.models.siamese import Siamese
from jaxssl.models.vit import ViT
from jaxssl.ops import cosine_ema

PROTOTYPES, WIDTH = 16, 32
SOFT = 0.3  # plain SGD can't follow the gradients that 0.1 has before any warm-up


def constant(value: float):
  """A schedule that stays."""
  return lambda step: jnp.full((), value, jnp.float32)


def noisy(key, image):
  """The image with a little noise."""
  return image + 0.1 * jax.random.normal(key, image.shape)


def four_views(key, image):
  """Two globals and two locals, all of the size of the image."""
  return tuple(noisy(k, image) for k in jax.random.split(key, 4))


def multi_crop(key, image):
  """Two globals of 8 x 8 and two locals of 4 x 4: opposite corners."""
  first, second, third, fourth = four_views(key, image)
  return first, second, third[:4, :4], fourth[4:, 4:]


def vit(**options):
  """A ViT of one block; 8 x 8 pixels are 16 patches.

  Without class token: one of 0.02 under a layer norm has gradients too large for the
  tests' plain SGD. The features are the mean over patches then.
  """
  kernel_init = nn.initializers.lecun_normal()
  return ViT(
    width=WIDTH,
    depth=1,
    heads=2,
    patch=2,
    class_token=False,
    kernel_init=kernel_init,
    **options,
  )


def token_net(**options):
  """A ViT with mask token, and a head that needs no batch."""
  head = MLP(
    widths=(WIDTH, 12),
    biases=(True, True),
    norms=(None, None),
    activation=nn.gelu,
    kernel_init=nn.initializers.lecun_normal(),
  )
  return Siamese(vit(mask_token=True, **options), head)


def random_mask(key):
  """Hides each patch with probability 0.3: cheaper to compile than blocks."""
  return jax.random.bernoulli(key, 0.3, (16,))


def two_blocks(step_key, row_key):
  """Two targets of 2 columns, and 1 or 2 rows by the step; the context is the rest."""
  height = jax.random.randint(step_key, (), 1, 3)
  top, left = jax.random.randint(row_key, (2, 2), 0, 3)
  row, column = jnp.divmod(jnp.arange(16), 4)
  down, right = row[None] - top[:, None], column[None] - left[:, None]
  targets = (down >= 0) & (down < height) & (right >= 0) & (right < 2)
  return ~jnp.any(targets, axis=0), targets


TEACHER = {
  "prototypes": PROTOTYPES,
  "teacher_temperature": constant(0.06),
  "momentum": cosine_ema(0.9, steps=20),
  "freeze_steps": 1,
}


def frozen(state):
  """What no gradient may reach: all that these methods keep but batch statistics."""
  return state.extra._replace(stats=())


def make_dino(norm: str = "layer", axis_name: str | None = None):
  """DINO on the net of the table, batch norm and all."""
  from tests import cases

  return dino(cases.net(norm, axis_name), four_views, **TEACHER)


def make_ibot(norm: str = "layer", axis_name: str | None = None):
  """iBOT on a ViT, which has no batch norm."""
  del norm, axis_name
  return ibot(
    token_net(drop_path=(0.1,)),
    multi_crop,
    mask=random_mask,
    patch_temperature=constant(0.06),
    student_temperature=SOFT,
    center_momentum=0.99,  # a faster centre lifts the loss of a net this young
    patch_center_momentum=0.99,
    **TEACHER,
  )


def make_dinov2(norm: str = "layer", axis_name: str | None = None):
  """DINOv2 on a ViT; no batch norm either."""
  del norm, axis_name
  return dinov2(
    token_net(),
    multi_crop,
    mask=random_mask,
    masked_patches=8,
    student_temperature=SOFT,
    **TEACHER,
  )


def make_ijepa(norm: str = "layer", axis_name: str | None = None):
  """I-JEPA on a ViT without class token."""
  del norm, axis_name
  return ijepa(
    vit(),
    PatchPredictor(width=16, depth=1, heads=2),
    lambda key, image: (noisy(key, image),),
    blocks=two_blocks,
    context_patches=14,
    target_patches=4,
    momentum=cosine_ema(0.9, steps=20),
  )


def _projected(variables, inputs):
  """A teacher: pixels times a matrix."""
  return inputs.reshape(inputs.shape[0], -1) @ variables


def make_distill(norm: str = "layer", axis_name: str | None = None):
  """A frozen linear map as the teacher."""
  from tests import cases

  weights = jax.random.normal(jax.random.key(6), (cases.SIDE**2, WIDTH))
  return distill(
    cases.net(norm, axis_name),
    four_views,
    Teacher(_projected, weights),
    prototypes=PROTOTYPES,
  )
