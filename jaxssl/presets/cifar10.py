"""What experiments on CIFAR-10 share: data, views, net, optimisers.

Most are solo-learn's recipes (github.com/vturrisi/solo-learn, scripts/pretrain/cifar):
ResNet-18 with a stem for small images, 1,000 epochs, batch 256, LARS whose layers
never move faster than the learning rate, 10 epochs of warm-up. Three things differ
here: images are not standardised by the data set's mean and deviation, the blur has a
fixed small kernel, and training is in float32.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jaxssl import models, optim
from jaxssl.augment import byol_views, dino_views, multi_crop, simclr_view, two_views
from jaxssl.augment.views import Views
from jaxssl.data import DataSet, open_data
from jaxssl.presets import common
from jaxssl.registry import Run

EXAMPLES = 50_000
EPOCHS = 1000  # of solo-learn's runs
SOLO = common.run_of(EPOCHS, examples=EXAMPLES, batch=256)
SHORT = common.run_of(200, examples=EXAMPLES, batch=128)


def source(data: str, data_dir: str, *, size: int) -> DataSet:
  """Opens CIFAR-10, or images in its place; those in a folder are resized.

  Args:
    data: "tfds:cifar10", an .npz, or a folder.
    data_dir: where tensorflow-datasets keeps its data; empty for its own default.
    size: side in pixels that a folder's images are brought to.

  Returns:
    The data set.
  """
  fixed = data.endswith(".npz") or data == "digits"
  return open_data(data, size=None if fixed else size, data_dir=data_dir or None)


def encoder(name: str, run: Run, *, size: int, **options) -> nn.Module:
  """Returns an encoder by name; ResNets start as torchvision's, blocks not at zero.

  Args:
    name: one of `presets.ENCODERS` or `presets.VITS`.
    run: its `precision` and `remat`.
    size: side of the views in pixels.
    **options: of the encoder.

  Returns:
    The encoder.
  """
  if name in common.VITS:
    return common.vit(name, run, size=size, **options)
  if name.startswith("resnet"):
    options = {"zero_init": False, **options}
  return common.encoder(name, run, size=size, **options)


def net(
  name: str,
  run: Run,
  projector: nn.Module,
  predictor: nn.Module | None = None,
  *,
  size: int,
) -> models.Siamese:
  """Returns the net of an encoder by name, a projector and perhaps a predictor."""
  return models.Siamese(encoder(name, run, size=size), projector, predictor)


def grid(encoder: nn.Module, *, size: int) -> int:
  """Returns the rows of patches that a square view of `size` pixels ends in."""
  images = jnp.zeros((1, size, size, 3))

  def run():
    return encoder.init(jax.random.key(0), images, train=False, mutable=True)

  patches = jax.eval_shape(run)["intermediates"]["patches"][0]
  return math.isqrt(patches.shape[1])


def symmetric(size: int, *, strength: float = 1.0, blur: float = 0.5) -> Views:
  """SimCLR's view twice: solo-learn's "symmetric", with 0.5 its "symmetric_weak".

  Args:
    size: side of the views in pixels.
    strength: of the colour jitter.
    blur: probability of a Gaussian blur.
  """
  return two_views(simclr_view(size, strength=strength, blur_probability=blur))


def asymmetric(size: int) -> Views:
  """BYOL's two views without blur: solo-learn's "asymmetric"."""
  return two_views(*byol_views(size, blur_probability=(0.0, 0.0)))


def crops(size: int, *, split: float, local_count: int) -> Views:
  """DINO's crops without blur, the local ones half as large.

  Args:
    size: side of the global views in pixels.
    split: share of the area, the greatest of a local and the least of a global view.
    local_count: number of local views.
  """
  views = dino_views(
    size,
    size // 2,
    scale=(split, 1.0),
    local_scale=(0.05, split),
    blur_probability=(0.0, 0.0, 0.0),
  )
  return multi_crop(*views, local_count=local_count)


def rate(
  run: Run,
  rate: float,
  *,
  warmup: float = 10.0,
  start: float = 3e-5,
  end: float = 0.0,
) -> optax.Schedule:
  """solo-learn's learning rate: warm-up from `start`, then cosine to `end`.

  Args:
    run: its steps and batch.
    rate: peak of 256 rows; scaled with the batch.
    warmup: epochs of the warm-up, out of 1,000.
    start: first value of the warm-up.
    end: last value.

  Returns:
    step -> learning rate.
  """
  return optim.warmup_cosine(
    optim.linear_scaling(rate, run.batch),
    steps=run.steps,
    warmup=common.share(run, warmup, of=EPOCHS),
    start=start,
    end=end,
  )


def lars(run: Run, peak: float, *, weight_decay: float, **schedule: float):
  """solo-learn's LARS: trust 0.02, clipped, without biases and norms; as `rate`."""
  return optim.lars_clipped(
    rate(run, peak, **schedule), weight_decay=weight_decay, trust=0.02
  )


def sgd(run: Run, peak: float, *, weight_decay: float, **schedule: float):
  """SGD with momentum 0.9 that decays all parameters; as `rate`."""
  return optim.sgd(rate(run, peak, **schedule), momentum=0.9, weight_decay=weight_decay)


def adamw(run: Run, peak: float, *, weight_decay: optax.ScalarOrSchedule):
  """AdamW as for ViTs: warm-up from 0, cosine to 1e-6; biases and norms not decayed."""
  schedule = rate(run, peak, start=0.0, end=1e-6)
  return optim.adamw(schedule, weight_decay=weight_decay)
