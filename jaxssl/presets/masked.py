"""What the experiments with MAE, SimMIM and AIM share: nets, checks, optimisers."""

from functools import partial

import jax
import optax

from jaxssl import models, ops, optim
from jaxssl.augment import random_mask
from jaxssl.methods.mae import kept_patches
from jaxssl.models.masked import xavier_init
from jaxssl.presets.common import scaled_cosine, share, vit
from jaxssl.registry import Run


def mae_vit(name: str, run: Run, *, size: int, **options) -> models.ViT:
  """Returns a ViT as MAE builds it (arXiv 2111.06377 and the official code).

  Sine positions, and Xavier-uniform kernels everywhere.

  Args:
    name: one of `presets.VITS`.
    run: its `precision` and `remat`.
    size: side of the views in pixels.
    **options: of the `ViT`.

  Returns:
    The encoder.
  """
  patch_embed = partial(models.PatchEmbed, kernel_init=xavier_init)
  return vit(
    name, run, size=size, patch_embed=patch_embed, kernel_init=xavier_init, **options
  )


def mae_decoder(
  net: models.ViT, *, size: int, width: int = 0, depth: int = 0, heads: int = 0
) -> models.MAEDecoder:
  """Returns the paper's decoder for ViT-B and wider nets, a light one for others.

  The paper's costs more than a ViT-S does (arXiv 2111.06377, table 1).

  Args:
    net: the encoder.
    size: side of the views in pixels.
    width: channels, in place of the decoder's own; 0 keeps them.
    depth: blocks, likewise.
    heads: of each attention, likewise.

  Returns:
    The decoder.
  """
  wide = net.width >= models.ViTBase().width
  made = models.MAEDecoder() if wide else models.light_decoder(net, (size, size, 3))
  given = {"width": width, "depth": depth, "heads": heads}
  return made.clone(**{name: value for name, value in given.items() if value})


def check_mask(
  shape: tuple[int, ...], patch: int, *, ratio: float, unit: int = 1
) -> None:
  """Checks that a mask fits the views before anything is traced.

  Args:
    shape: height, width and channels of the views.
    patch: side of a patch in pixels.
    ratio: share of the squares that is masked.
    unit: side of a square in patches.

  Raises:
    InputError: if patches don't fill the views, squares don't fill the patches, or the
      ratio is no share or leaves none.
  """
  rows, columns = ops.patch_grid((1, *shape), patch)
  draw = partial(random_mask, grid=(rows, columns), ratio=ratio, unit=unit)
  jax.eval_shape(draw, jax.random.key(0))
  kept_patches((rows // unit) * (columns // unit), ratio)


def mae_adamw(
  run: Run, rate: float, *, weight_decay: float, warmup: float, epochs: float
) -> optax.GradientTransformation:
  """AdamW with betas of 0.9 and 0.95, warm-up and cosine to 0: MAE and AIM.

  Args:
    run: its steps and batch.
    rate: peak of 256 rows; scaled linearly.
    weight_decay: of the weights; biases and norms have none.
    warmup: epochs of the warm-up, out of `epochs`.
    epochs: of the whole run.

  Returns:
    The optimiser.
  """
  schedule = scaled_cosine(run, rate, warmup=warmup, epochs=epochs)
  return optim.adamw(schedule, weight_decay=weight_decay, b2=0.95)


def simmim_adamw(
  run: Run, rate: float, *, weight_decay: float, warmup: float, drop: float, epochs: int
) -> optax.GradientTransformation:
  """AdamW of SimMIM with a ViT: constant, then a tenth; gradients clipped at 5.

  Args:
    run: its steps and batch.
    rate: of 512 rows; scaled linearly.
    weight_decay: of the weights; biases and norms have none.
    warmup: epochs of the warm-up, out of `epochs`; it starts at a 200th.
    drop: epoch from which on the rate is a tenth.
    epochs: of the whole run.

  Returns:
    The optimiser.
  """
  peak = optim.linear_scaling(rate, run.batch) / 2.0
  warm, fall = (share(run, epoch, of=epochs) for epoch in (warmup, drop))
  rise = optax.linear_schedule(peak / 200.0, peak, max(warm, 1))
  stairs = optax.piecewise_constant_schedule(peak, {fall - warm: 0.1})
  schedule = optax.join_schedules([rise, stairs], [warm])
  adamw = optim.adamw(schedule, weight_decay=weight_decay)
  return optax.chain(optax.clip_by_global_norm(5.0), adamw)
