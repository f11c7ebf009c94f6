"""What the experiments of BEiT, MaskFeat, data2vec and the discrete VAE share."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxssl import models, ops, optim, registry, runs
from jaxssl.augment import block_mask
from jaxssl.data import Source
from jaxssl.errors import InputError
from jaxssl.methods import Tokenizer, kmeans_tokenizer
from jaxssl.presets.common import BLANK, open_run, share
from jaxssl.registry import Run

KMEANS = "kmeans"
IMAGES = 2048  # of which patches are clustered


def fixed_mask(grid: tuple[int, int], ratio: float) -> Callable:
  """Returns BEiT's mask: blocks that hide a fixed share of every image.

  Args:
    grid: rows and columns of patches.
    ratio: share that is hidden, 75 / 196 in BEiT.

  Returns:
    key -> bool [patches].

  Raises:
    InputError: if the share isn't between 0 and 1, or hides no patch or all of them.
  """
  patches = grid[0] * grid[1]
  if not 0.0 < ratio < 1.0 or not 1 <= hidden_patches(grid, ratio) < patches:
    raise InputError(
      f"A mask of {ratio} of {grid[0]} x {grid[1]} patches; pass a share between 0 and "
      "1 that hides at least one patch and leaves one."
    )
  return partial(block_mask, grid=grid, ratio=(ratio, ratio), probability=1.0)


def hidden_patches(grid: tuple[int, int], ratio: float) -> int:
  """Returns the most patches that `fixed_mask` hides."""
  return round(ratio * grid[0] * grid[1])


def dvae_net(
  channels: int,
  *,
  numbers: int,
  vocabulary: int,
  width: int,
  groups: int,
  blocks: int,
  stem: int,
) -> models.DiscreteVAE:
  """Returns the net of a discrete VAE whose patches are 2^(groups - 1) pixels wide.

  Args:
    channels: of the images.
    numbers: that the decoder makes for each pixel and channel.
    vocabulary: number of codes.
    width: channels at the images' resolution.
    groups: of residual blocks.
    blocks: of a group.
    stem: side of the first kernel.
  """
  options = {"width": width, "groups": groups, "blocks": blocks}
  return models.DiscreteVAE(
    models.CodeEncoder(stem=stem, **options),
    models.CodeDecoder(channels * numbers, **options),
    vocabulary,
    code_width=width // 2,
  )


def annealed(run: Run, *, until: float, start: float = 1.0, end: float = 1 / 16):
  """Returns DALL-E's temperature: half a cosine from `start` to `end`, then constant.

  Args:
    run: its steps.
    until: share of the run in which it falls.
    start: temperature of the first step.
    end: temperature of the last.
  """
  return ops.cosine(start, end, steps=max(int(until * run.steps), 1))


def beit_adamw(
  run: Run, peak: float, *, weight_decay: float, warmup: float, epochs: float
) -> optax.GradientTransformation:
  """AdamW of BEiT and data2vec: warm-up, cosine to 1e-5, global norm clipped at 3.

  Args:
    run: its steps.
    peak: the learning rate, whatever the batch.
    weight_decay: of the weights; biases, norms, positions and class token have none.
    warmup: epochs of the warm-up, out of `epochs`.
    epochs: of the whole run.
  """
  warm = share(run, warmup, of=epochs)
  rate = ops.cosine(peak, 1e-5, steps=run.steps, warmup=warm)
  adamw = optim.adamw(rate, weight_decay=weight_decay, mask=optim.but_positions)
  return optax.chain(optax.clip_by_global_norm(3.0), adamw)


def tokenizer_of(
  tokenizer: str, source: Source, *, size: int, grid: tuple[int, int], vocabulary: int
) -> Tokenizer:
  """Returns the tokenizer that a setting names.

  Args:
    tokenizer: the folder of a finished run of a discrete VAE, or "kmeans".
    source: the training data, for k-means and for the images' channels.
    size: side of the tokenizer's images in pixels.
    grid: rows and columns of patches.
    vocabulary: of k-means; a run has its own.

  Returns:
    The tokenizer.

  Raises:
    InputError: if there is no such run, it is of another method, or its patches don't
      make the grid.
  """
  if tokenizer == KMEANS:
    patch = size // grid[0]
    images = resized(source[np.arange(min(IMAGES, len(source)))]["input"], size)
    key = jax.random.key(0)
    return kmeans_tokenizer(key, images, patch=patch, vocabulary=vocabulary)
  if not tokenizer:
    raise InputError(
      "BEiT needs --tokenizer: the folder of a finished run of a discrete VAE (such as "
      f"runs/dvae_digits/1), or '{KMEANS}' for centroids of pixels in its place."
    )
  found = saved_tokenizer(tokenizer)
  channels = runs.example_shape(source)[-1]
  check_grid(found, (1, size, size, channels), grid, tokenizer)
  return found


def saved_tokenizer(out: str) -> Tokenizer:
  """Opens a finished run of a discrete VAE as a tokenizer.

  Args:
    out: the run's folder; see `open_run`.

  Returns:
    The tokenizer, with pictures.

  Raises:
    InputError: if `out` is no run with a checkpoint, or one of another method.
  """
  blank = out.startswith(BLANK)
  name = out.removeprefix(BLANK) if blank else runs.read_config(out)["experiment"]
  if (made := registry.find(name).method) != "dVAE":
    raise InputError(
      f"{out} is a run of {made}; a tokenizer is a run of a discrete VAE, such as "
      "`jaxssl train dvae_digits` makes."
    )
  experiment, variables = open_run(out)
  variables = jax.device_get(variables)
  scores = partial(experiment.method.encode, patches=True)

  def encode(variables, images):
    found = scores(variables["params"], variables["extra"], {"input": images})
    return jnp.argmax(found, axis=-1).astype(jnp.int32)

  def decode(variables, tokens):
    return experiment.method.decode(variables["params"], variables["extra"], tokens)

  batch = {"input": runs.example_batch(experiment, 1)["input"]}
  made = jax.eval_shape(scores, variables["params"], variables["extra"], batch)
  return Tokenizer(encode, variables, made.shape[-1], decode)


def check_grid(
  tokenizer: Tokenizer, shape: tuple[int, ...], grid: tuple[int, int], name: str
) -> None:
  """Raises `InputError` unless a tokenizer makes one token for each patch of a grid.

  Args:
    tokenizer: the tokenizer.
    shape: of the images that it sees.
    grid: rows and columns of patches.
    name: of the tokenizer, for the message.
  """
  images = jax.ShapeDtypeStruct(shape, jnp.float32)
  try:
    made = jax.eval_shape(tokenizer.encode, tokenizer.variables, images).shape[1]
  except (TypeError, ValueError) as error:
    raise InputError(f"{name} cannot read images {list(shape[1:])}: {error}") from error
  if made != grid[0] * grid[1]:
    raise InputError(
      f"{name} makes {made} tokens of images of {shape[1]} pixels, and the net has "
      f"{grid[0]} x {grid[1]} patches; there must be one token for each patch."
    )


def resized(images: np.ndarray, size: int) -> jax.Array:
  """Returns images as floats in [0, 1] of `size` x `size` pixels."""
  floats = ops.to_float(jnp.asarray(images))
  shape = (len(images), size, size, images.shape[-1])
  return floats if floats.shape == shape else jax.image.resize(floats, shape, "linear")
