"""What experiments share: encoders by name, epochs as steps, runs at a paper's rate.

Experiments look these up at the edge; nothing below knows of them.
"""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxssl import methods, models, ops, optim, plan, registry, runs
from jaxssl.core import Method, PyTree
from jaxssl.data import digits
from jaxssl.errors import InputError, nearest
from jaxssl.mesh import data_mesh
from jaxssl.registry import Experiment, Parts, Run

BLANK = "blank:"  # an experiment that stands for a run, as blank images do for others
SMALL_IMAGES = 64  # side up to which ResNets take the CIFAR stem and ViTs patches of 4


def _resnet(make, size, **options):
  stem = models.CifarStem if size <= SMALL_IMAGES else models.ImageNetStem
  return make(stem=stem, **options)


def _vit(make, size, **options):
  return make(patch=4 if size <= SMALL_IMAGES else 16, **options)


def _convnext(make, size, **options):
  return make(stem=2 if size <= SMALL_IMAGES else 4, **options)


def _convnet(widths, pools, size, remat, **options):
  if remat != "none":
    raise InputError("A small convnet has no blocks to compute twice; remat: none.")
  return models.ConvNet(widths=widths, pools=pools, **options)


def _tiny_vit(size, **options):
  return models.ViT(width=24, depth=2, heads=2, patch=size // 4, **options)


ENCODERS = {
  "resnet18": partial(_resnet, models.ResNet18),
  "resnet34": partial(_resnet, models.ResNet34),
  "resnet50": partial(_resnet, models.ResNet50),
  "resnet101": partial(_resnet, models.ResNet101),
  "resnet152": partial(_resnet, models.ResNet152),
  "resnet50_2x": partial(_resnet, partial(models.ResNet50, width=2)),
  "resnet50_4x": partial(_resnet, partial(models.ResNet50, width=4)),
  "convnext_tiny": partial(_convnext, models.ConvNeXtTiny),
  "convnext_small": partial(_convnext, models.ConvNeXtSmall),
  "convnext_base": partial(_convnext, models.ConvNeXtBase),
  "convnet": partial(_convnet, (16, 32), (2, 2)),
  "convnet_mini": partial(_convnet, (32, 64, 128, 256), (2, 2, 2, 1)),
}
VITS = {
  "vit_tiny": partial(_vit, models.ViTTiny),
  "vit_small": partial(_vit, models.ViTSmall),
  "vit_base": partial(_vit, models.ViTBase),
  "vit_large": partial(_vit, models.ViTLarge),
  "vit_huge": partial(_vit, models.ViTHuge),
  "vit_giant": partial(_vit, models.ViTGiant),
  "vit_mini": partial(_vit, partial(models.ViT, width=96, depth=6, heads=3)),
  "vit_toy": _tiny_vit,
}


def encoder(name: str, run: Run, *, size: int, **options) -> nn.Module:
  """Returns a convolutional encoder by name, its stem by the size of the images.

  Args:
    name: one of `ENCODERS`, such as "resnet18"; "convnet" and "convnet_mini" are small.
    run: its `precision` and `remat`.
    size: side of the (global) views in pixels.
    **options: of the encoder, such as `zero_init=False`.

  Returns:
    The encoder.

  Raises:
    InputError: for another name; the nearest is shown.
  """
  make = _look_up(name, ENCODERS, "convolutional encoder")
  return make(size=size, **{**_computed(run), **options})


def vit(name: str, run: Run, *, size: int, **options) -> nn.Module:
  """Returns a vision transformer by name, its patch by the size of the images.

  Args:
    name: one of `VITS`, such as "vit_small"; "vit_toy" is a small one for trials.
    run: its `precision` and `remat`.
    size: side of the (global) views in pixels.
    **options: of the `ViT`, such as `drop_path=0.1`.

  Returns:
    The encoder; its `patch` says into how many patches a view splits.

  Raises:
    InputError: for another name; the nearest is shown.
  """
  make = _look_up(name, VITS, "vision transformer")
  return make(size=size, **{**_computed(run), **options})


def _computed(run):
  """The options of an encoder that a run's settings decide."""
  return {"dtype": jnp.dtype(run.precision), "remat": run.remat}


def _look_up(name, known, what):
  if name not in known:
    raise InputError(
      f"There is no {what} '{name}'.{nearest(name, known)} There are: "
      f"{', '.join(known)}."
    )
  return known[name]


def run_of(epochs: int, *, examples: int, batch: int, **every: int) -> Run:
  """Returns the settings of a run of so many epochs (last incomplete batches drop).

  Args:
    epochs: passes over the data.
    examples: in the training set.
    batch: examples a step.
    **every: `log_every`, `eval_every`, `checkpoint_every` in steps; an epoch, ten and
      ten unless given.

  Returns:
    The settings.
  """
  epoch = examples // batch
  steps = epochs * epoch
  often = {"log_every": min(epoch, 100), "eval_every": min(10 * epoch, steps)}
  often["checkpoint_every"] = often["eval_every"]
  return Run(steps=steps, batch=batch, **{**often, **every})


def share(run: Run, epochs: float, *, of: float) -> int:
  """Returns the steps of `epochs` out of `of`: they shrink with a shortened run.

  Raises:
    InputError: unless the epochs are from 0 to `of`.
  """
  if not 0 <= epochs <= of:
    raise InputError(
      f"{epochs:g} out of {of:g} is no part of a run; a warm-up and the like are from "
      f"0 to {of:g}."
    )
  return min(int(run.steps * epochs / of), run.steps - 1)


def scaled_cosine(
  run: Run, rate: float, *, warmup: float, epochs: float, end: float = 0.0
) -> optax.Schedule:
  """The papers' learning rate: `rate * batch / 256`, warm-up, cosine to `end` of it.

  Args:
    run: its steps and batch.
    rate: of 256 rows.
    warmup: epochs of the warm-up, out of `epochs`.
    epochs: of the whole run.
    end: last rate, as a share of the peak.

  Returns:
    step -> learning rate.
  """
  peak = optim.linear_scaling(rate, run.batch)
  return optim.warmup_cosine(
    peak, steps=run.steps, warmup=share(run, warmup, of=epochs), end=end * peak
  )


def warmed_temperature(
  run: Run, start: float, end: float, *, warmup: int, epochs: int
) -> optax.Schedule:
  """DINO's temperature of the teacher: a staircase, `end` from epoch `warmup - 1` on.

  Args:
    run: its steps.
    start: temperature of the first epoch.
    end: temperature after the warm-up.
    warmup: epochs of the warm-up, out of `epochs`.
    epochs: of the whole run.

  Returns:
    step -> temperature.
  """
  risen = max(warmup - 1, 0)
  line = ops.linear(start, end, steps=max(share(run, risen, of=epochs), 1))
  return ops.per_epoch(line, steps_per_epoch=max(share(run, 1, of=epochs), 1))


def digits_net(projector: nn.Module, predictor: nn.Module | None = None):
  """Returns the net of the experiments on 8x8 digits: a ConvNet and its heads."""
  convnet = models.ConvNet(widths=(32, 64, 128, 256), pools=(1, 2, 2, 1))
  return models.Siamese(convnet, projector, predictor)


def digits_vit(*, spread: float = 0.5, **options) -> nn.Module:
  """Returns the ViT of the experiments on 8x8 digits: 16 patches of 2 pixels.

  Its positions are learned, and start about as large as what four pixels put in: fixed
  ones drown it, and from 0.02 the mean over patches forgets where what was seen (the
  untrained net: kNN 69 against 81 %). Kernels start Xavier-uniform: a normal of 0.02 is
  made for ten times the width, here it leaves every block close to the identity.

  Args:
    spread: standard deviation that the positions start with.
    **options: of `models.ViT`.
  """
  positions = partial(
    models.LearnedPositions, grid=(4, 4), kernel_init=nn.initializers.normal(spread)
  )
  own = {"positions": positions, "kernel_init": nn.initializers.xavier_uniform()}
  return models.ViT(width=64, depth=3, heads=4, patch=2, **{**own, **options})


def digits_parts(
  run: Run,
  method: Method,
  views,
  *,
  learning_rate: float,
  weight_decay: float,
  warmup: float = 0.0,
) -> Parts:
  """Returns the parts of an experiment on digits: AdamW with a cosine schedule.

  Args:
    run: its steps.
    method: the method.
    views: its views.
    learning_rate: peak of the schedule.
    weight_decay: of the weights; biases and norms have none.
    warmup: share of the run in which the rate rises from 0; ViTs need it.
  """
  rate = optim.warmup_cosine(
    learning_rate, steps=run.steps, warmup=share(run, warmup, of=1)
  )
  tx = optim.adamw(rate, weight_decay=weight_decay)
  return Parts(method, tx, digits(), views)


digits_vit_parts = partial(digits_parts, warmup=0.1)  # ViTs start badly at full rate


def open_run(folder: str) -> tuple[Experiment, PyTree]:
  """Returns a finished run's experiment and its encoder's variables.

  Args:
    folder: of the run; or "blank:EXPERIMENT" for zeros in their place, on blank images:
      what a step costs does not depend on them.

  Raises:
    InputError: if it holds no finished run.
  """
  if not folder.startswith(BLANK):
    return runs.open_encoder(folder)
  entry = registry.find(folder.removeprefix(BLANK))
  settings = plan.without_data(entry, registry.defaults(entry))
  experiment = registry.build(folder.removeprefix(BLANK), **settings)
  mesh = data_mesh(jax.devices()[:1])
  shapes = runs.variables_of(runs.state_shapes(experiment, mesh))
  return experiment, jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)


def open_teacher(folder: str, name: str) -> methods.Teacher:
  """Returns the encoder of a finished run, frozen.

  Args:
    folder: of the run; see `open_run`.
    name: of the experiment that asks for it.

  Raises:
    InputError: without a folder, or if it holds no finished run.
  """
  if not folder:
    raise InputError(f"{name} needs --teacher: the folder of a finished run.")
  experiment, variables = open_run(folder)
  mesh = data_mesh(jax.devices()[:1])
  return methods.Teacher(runs.make_encode(experiment, mesh), variables)
