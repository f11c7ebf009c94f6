"""What the experiments on captioned images share, and how their runs are used."""

import dataclasses
import pathlib
import types
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxssl import evals, methods, models, optim, registry, runs
from jaxssl.augment import clip_view, many_views
from jaxssl.core import Method
from jaxssl.data import DataSet, caption_tokens
from jaxssl.data.kinds import IMAGES
from jaxssl.data.tokenizers import tokenizer_from
from jaxssl.errors import InputError
from jaxssl.mesh import data_mesh
from jaxssl.models import siamese
from jaxssl.presets import common
from jaxssl.registry import Parts, Run

SMALL = "small"
ROWS = 256  # encoded at a time
UNTRAINED = (
  "LiT without --image-run: the image encoder is locked as it was drawn, untrained. "
  "Give the folder of a run on images like these, such as runs/simclr_digits/1, which "
  "`jaxssl train simclr_digits` makes."
)


class TextSettings(NamedTuple):
  """The text tower of an experiment.

  Attributes:
    width: channels.
    depth: blocks.
    heads: of the attention.
  """

  width: int
  depth: int
  heads: int


class OpenTowers(NamedTuple):
  """Both towers of a saved run, as functions.

  Attributes:
    images: images [n, height, width, channels] -> unit vectors, float32 [n, dim].
    texts: sentences -> unit vectors, float32 [n, dim], of the same space.
    scale: what the model multiplies cosines by, 1 / temperature.
  """

  images: Callable[[np.ndarray], np.ndarray]
  texts: Callable[[Sequence[str]], np.ndarray]
  scale: float


def open_towers(out: str | pathlib.Path) -> OpenTowers:
  """Opens both towers of a run of CLIP, SigLIP or LiT.

  ```
  towers = open_towers("runs/clip_captions/1")
  found = towers.texts(["the number seven"]) @ towers.images(images).T   # cosines
  ```

  Args:
    out: the run's folder.

  Returns:
    The towers, with the weights of the newest checkpoint.

  Raises:
    InputError: if `out` is no run with a checkpoint, or its method has no text tower.
  """
  experiment = runs.reopen_encoder(out)
  if experiment.data.kind.name != "captions":
    raise InputError(
      f"{out} is a run on {experiment.data.kind.name}; text towers come from runs on "
      "captions, such as `jaxssl train clip` makes."
    )
  mesh = data_mesh(jax.devices()[:1])
  variables = runs.restore_variables(out, experiment, mesh)
  return towers_of(experiment, variables)


def towers_of(experiment: registry.Experiment, variables: dict) -> OpenTowers:
  """Returns both towers of an experiment with given variables.

  Args:
    experiment: of CLIP, SigLIP or LiT.
    variables: `{"params": ..., "extra": ...}`, as `runs.restore_variables` gives them.
  """
  data, of = experiment.data, _vectors(experiment, variables)
  length = runs.example_shape(data.train).text[-1]
  tokenizer = tokenizer_from(data.files["tokenizer.json"])

  def images(pixels):
    IMAGES.check(pixels)
    return of(np.asarray(pixels), "image")

  def texts(sentences):
    return of(caption_tokens(tokenizer, sentences, length=length), "text")

  scale = float(np.exp(variables["params"]["log_scale"]))
  return OpenTowers(images, texts, scale)


def _vectors(experiment, variables):
  """(inputs, side) -> unit vectors, some rows at a time."""

  @partial(jax.jit, static_argnames="side")
  def encode(variables, inputs, side):
    params, extra = variables["params"], variables["extra"]
    return experiment.method.encode(params, extra, {"input": inputs}, side=side)

  def of(inputs, side):
    blocks = [inputs[i : i + ROWS] for i in range(0, len(inputs), ROWS)]
    return np.concatenate([np.asarray(encode(variables, b, side)) for b in blocks])

  return of


def retrieved(experiment: registry.Experiment, variables: dict) -> dict[str, float]:
  """Recall@1 and @10 of the test split in both directions, in percent.

  Of several captions of an image the first counts; one that several images share is
  one text. Empty without a test split.

  Args:
    experiment: of CLIP, SigLIP or LiT.
    variables: see `towers_of`.
  """
  if experiment.data.test is None:
    return {}
  inputs, of = experiment.data.test.arrays()["input"], _vectors(experiment, variables)
  first = np.asarray(inputs.text).reshape(len(inputs.image), -1, inputs.text.shape[-1])
  texts, ids = np.unique(first[:, 0], axis=0, return_inverse=True)
  sides = of(np.asarray(inputs.image), "image"), of(texts, "text")
  found = evals.retrieval(*sides, ids.ravel(), np.arange(len(texts)), ks=(1, 10))
  return {f"{way}, R@{k}": x for way, each in found.items() for k, x in each.items()}


def image_tower(name: str, run: Run, data: DataSet) -> nn.Module:
  """Returns the image encoder of an experiment.

  Args:
    name: "small", a convolutional net for images of 8 to 64 pixels with 256 features,
      or any of `presets.encoder`.
    run: its `precision` and `remat`.
    data: gives the size of the images.
  """
  size = runs.example_shape(data.train).image[0]
  if name != SMALL:
    return common.encoder(name, run, size=size)
  if run.remat != "none":
    raise InputError("The small convnet has no blocks to compute twice; remat: none.")
  pools = (1, 2, 2, 1) if size < 16 else (2, 2, 2, 1 if size < 48 else 2)
  return models.ConvNet((32, 64, 128, 256), pools, dtype=jnp.dtype(run.precision))


def text_tower(
  data: DataSet, run: Run, settings: TextSettings, *, dim: int
) -> models.TextTower:
  """Returns a text tower for the captions of a data set: causal, read at its end.

  Args:
    data: gives vocabulary and length.
    run: its `precision` and `remat`.
    settings: its size.
    dim: of the projection.
  """
  tokenizer = tokenizer_from(data.files["tokenizer.json"])
  encoder = models.Transformer(
    tokenizer.vocabulary,
    **settings._asdict(),
    length=runs.example_shape(data.train).text[-1],
    causal=True,
    pool=models.last_pool,
    dtype=jnp.dtype(run.precision),
    remat=run.remat,
  )
  return models.TextTower(encoder, dim)


def caption_views(data: DataSet, *, crop: float) -> Callable:
  """Returns the one view of captioned images: a crop of their own size, a caption.

  Args:
    data: gives the size.
    crop: least share of the area.
  """
  size = runs.example_shape(data.train).image[0]
  return many_views(clip_view(size, scale=(crop, 1.0)))


def locked_encoder(
  image_run: str, run: Run, data: DataSet
) -> tuple[methods.Teacher, int]:
  """Opens the image encoder that LiT locks.

  Args:
    image_run: the folder of a finished run; empty locks a small ConvNet as it was
      drawn, which is no more than a floor, and warns.
    run: its seed draws that ConvNet.
    data: the captioned images that it will see.

  Returns:
    The encoder and the width of its features.

  Raises:
    InputError: for a run on other images than these.
  """
  want = runs.example_shape(data.train).image
  if image_run:
    _check_images(image_run, want, data.name)
    teacher = methods.Teacher(*runs.load(image_run))
  else:
    warnings.warn(UNTRAINED, stacklevel=2)
    plain = dataclasses.replace(run, remat="none")  # it has no backward pass
    teacher = _untrained(image_tower(SMALL, plain, data), want, run.seed)
  images = jax.ShapeDtypeStruct((2, *want), jnp.float32)
  made = jax.eval_shape(teacher.encode, teacher.variables, images)
  return teacher, made.shape[-1]


def _untrained(net, shape, seed):
  """An encoder as it was drawn."""
  init = jax.jit(partial(siamese.init, net))
  params, stats = init(jax.random.key(seed), jnp.zeros((2, *shape)))
  under = lambda tree: {"encoder": tree}
  variables = {
    "params": under(params),
    "stats": {collection: under(tree) for collection, tree in stats.items()},
  }
  whole = siamese.encode_alone(net)

  def encode(variables, images, *, patches=False):
    extra = types.SimpleNamespace(stats=variables["stats"])
    return whole(variables["params"], extra, {"input": images}, patches=patches)

  return methods.Teacher(encode, variables)


def _check_images(image_run, want, name):
  experiment = runs.reopen_encoder(image_run)
  if experiment.data.kind is not IMAGES:
    raise InputError(
      f"{image_run} is a run on {experiment.data.kind.name}; LiT locks the encoder of "
      "a run on images."
    )
  had = runs.example_shape(experiment.data.train)
  if had != want:
    raise InputError(
      f"The encoder of {image_run} was trained on images {had}; those of {name} "
      f"are {want}."
    )


def caption_parts(
  run: Run,
  method: Method,
  data: DataSet,
  views: Callable,
  *,
  learning_rate: float,
  weight_decay: float,
  b2: float = 0.98,
) -> Parts:
  """Returns the parts of an experiment on captions: AdamW, warm-up and cosine.

  Args:
    run: its steps.
    method: the method.
    data: the data set.
    views: its views.
    learning_rate: peak of the schedule, after a tenth of the run.
    weight_decay: of weights; biases, norms, scale and offset have none.
    b2: of AdamW; 0.98 in CLIP with a transformer.
  """
  rate = optim.warmup_cosine(learning_rate, steps=run.steps, warmup=run.steps // 10)
  tx = optim.adamw(rate, weight_decay=weight_decay, b2=b2)
  return Parts(method, tx, data, views, scores=retrieved)
