"""What the experiments on ImageNet share: data, encoders, optimisers, schedules.

Images are scaled and centre-cropped to 256 pixels by the source, once, and the random
crops of the recipes are taken from those. The papers crop the full image instead, of
about 500 x 375 pixels: theirs see its borders and more of its detail.
"""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import optax

from jaxssl import models, ops, optim
from jaxssl.augment import sobel
from jaxssl.data import DataSet, open_data
from jaxssl.presets.common import encoder, run_of, share, vit
from jaxssl.registry import Run

IMAGES = 1_281_167  # in the training set
SIDE = 256  # to which the source brings all images
COST = "a cluster of GPUs or TPUs; not measured here"


def imagenet_run(epochs: int, *, batch: int) -> Run:
  """Returns the settings of a run of so many epochs over ImageNet-1k."""
  return run_of(epochs, examples=IMAGES, batch=batch)


def on_v5e(
  *,
  precision: str = "bfloat16",
  rows: tuple[int, int] | None = None,
  many: dict[str, Any] | None = None,
  **settings: Any,
) -> dict[str, dict[str, Any]]:
  """The `slices` of an experiment: settings for 16 and for 256 chips of TPU v5e.

  Args:
    precision: for both; "float32" where the experiment has no other.
    rows: batches for 16 and for 256 chips, where the paper's doesn't split over them.
    many: for the 256 chips: mesh, accumulate, remat.
    **settings: for the 16 chips, of 16 GiB each.
  """
  few, most = ({"batch": n} for n in rows) if rows else ({}, {})
  few, most = {**settings, **few}, {**(many or {}), **most}
  both = {"precision": precision}
  return {"v5e:4x4": {**both, **few}, "v5e:16x16": {**both, **most}}


def imagenet_data(data: str, data_dir: str) -> DataSet:
  """Opens ImageNet, or what stands in for it.

  Args:
    data: "tfds:imagenet2012"; or a folder of images or an .npz in its place. Images of
      tfds and of folders are brought to `SIDE`, those of an .npz stay as they are.
    data_dir: where tensorflow-datasets keeps its data; "" for its own default.

  Returns:
    The data set.
  """
  size = None if data.endswith(".npz") else SIDE
  return open_data(data, size=size, data_dir=data_dir or None)


def torchvision_encoder(name: str, run: Run, *, size: int) -> nn.Module:
  """Returns an encoder whose blocks start with scales of 1, not 0: MoCo, NPID, SwAV."""
  options = {"zero_init": False} if name.startswith("resnet") else {}
  return encoder(name, run, size=size, **options)


def learned_vit(name: str, run: Run, *, size: int, **options) -> nn.Module:
  """Returns a ViT with learned positions, interpolated for local views: DINO, iBOT."""
  net = vit(name, run, size=size, **options)
  grid = patch_grid(net, size)
  return net.clone(positions=partial(models.LearnedPositions, grid=grid))


def moco_v3_vit(name: str, run: Run, *, size: int) -> nn.Module:
  """Returns a ViT as MoCo v3 builds it (arXiv 2104.02057 and the official code).

  A frozen patch projection, sine positions, and Xavier-uniform kernels, those of
  queries, keys and values drawn as three matrices. "vit_small" has 12 heads there.
  """
  heads = {"heads": 12} if name == "vit_small" else {}
  return vit(
    name,
    run,
    size=size,
    patch_embed=models.FrozenPatchEmbed,
    kernel_init=nn.initializers.xavier_uniform(),
    qkv_init=nn.initializers.lecun_uniform(),
    token_init=nn.initializers.normal(1e-6),
    **heads,
  )


def patch_grid(net: nn.Module, size: int) -> tuple[int, int]:
  """Returns rows and columns of patches into which a ViT splits a view."""
  return (size // net.patch,) * 2


class SobelSiamese(models.Siamese):
  """A `Siamese` that sees edges alone, as DeepCluster's (arXiv 1807.05520)."""

  def __call__(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    return super().__call__(sobel(x), train=train, keys=keys)


def stepped_sgd(
  run: Run, rate: float, *, weight_decay: float, drops: tuple[int, ...], epochs: int
) -> optax.GradientTransformation:
  """SGD whose rate falls to a tenth at each of `drops`: MoCo v1 and NPID.

  Args:
    run: its steps and batch.
    rate: of 256 rows.
    weight_decay: of all parameters.
    drops: epochs at which the rate falls.
    epochs: of the whole run.

  Returns:
    The optimiser.
  """
  peak = optim.linear_scaling(rate, run.batch)
  scales = {share(run, epoch, of=epochs): 0.1 for epoch in drops}
  schedule = optax.piecewise_constant_schedule(peak, scales)
  return optim.sgd(schedule, momentum=0.9, weight_decay=weight_decay)


def larc(
  run: Run, rate: float, *, weight_decay: float, warmup: float, epochs: float
) -> optax.GradientTransformation:
  """The optimiser of SwAV and DeepCluster-v2: LARC, from a 16th to a 1000th of a peak.

  As in Apex, biases and norms are scaled and decayed too.

  Args:
    run: its steps and batch.
    rate: peak of 256 rows, 0.3 for the published 4.8 of 4,096.
    weight_decay: of all parameters.
    warmup: epochs of the warm-up, out of `epochs`.
    epochs: of the whole run.

  Returns:
    The optimiser.
  """
  peak = optim.linear_scaling(rate, run.batch)
  schedule = ops.cosine(
    peak,
    peak / 1000,
    steps=run.steps,
    warmup=share(run, warmup, of=epochs),
    warmup_from=peak / 16,
  )
  return optim.lars_separate_norms(
    schedule, weight_decay=weight_decay, mask=optim.everything
  )


def teacher_adamw(
  run: Run,
  peak: float,
  *,
  weight_decay: float,
  weight_decay_end: float,
  warmup: float,
  epochs: float,
) -> optax.GradientTransformation:
  """AdamW of DINO, iBOT and DINOv2, without their clipping of the gradient.

  The rate warms up from 0 and falls to 1e-6 by a cosine, the decay rises by one.

  Args:
    run: its steps.
    peak: the learning rate, scaled to the batch already.
    weight_decay: of the first step, of tensors with 2 or more dims.
    weight_decay_end: of the last step.
    warmup: epochs of the warm-up, out of `epochs`.
    epochs: of the whole run.

  Returns:
    The optimiser.
  """
  warm = share(run, warmup, of=epochs)
  schedule = ops.cosine(peak, 1e-6, steps=run.steps, warmup=warm)
  decay = ops.cosine(weight_decay, weight_decay_end, steps=run.steps)
  return optim.adamw(schedule, weight_decay=decay)


def layer_decay(
  decay: float, *, depth: int, patch_rate: float
) -> optax.GradientTransformation:
  """Scales the steps of a ViT's layers: later ones move faster (DINOv2).

  `optim.layer_decay` with a further factor for the patch projection. Goes after the
  optimiser.

  Args:
    decay: factor from one layer to the one before it.
    depth: blocks of the ViT.
    patch_rate: further factor of the patch projection.

  Returns:
    The transformation.
  """
  layers = optim.layer_decay(decay, depth=depth, layer=optim.vit_layer(depth))
  patches = optim.by_path(lambda names: patch_rate if "patch_embed" in names else 1.0)
  return optax.chain(layers, patches)
