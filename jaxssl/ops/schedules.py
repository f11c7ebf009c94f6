"""Schedules of a method's own constants: pure functions of one integer step."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxssl.errors import InputError

Schedule = Callable[[jax.Array], jax.Array]


def cosine_ema(base: float, *, steps: int) -> Schedule:
  """BYOL's target momentum: `1 - (1 - base) * (cos(pi * step / steps) + 1) / 2`.

  Grill et al., arXiv 2006.07733, section 3.2: from `base` to 1 over the run.

  Args:
    base: the momentum at step 0, in [0, 1].
    steps: the steps of the run.

  Returns:
    step (int32 []) -> momentum (float32 []).

  Raises:
    InputError: if `base` is outside [0, 1] or `steps` is not positive.
  """
  if not 0 <= base <= 1 or steps < 1:
    raise InputError(
      f"cosine_ema needs base in [0, 1] and steps >= 1, not {base} and {steps}."
    )

  def momentum(step):
    return 1.0 - (1.0 - base) * _fall(_progress(step, steps))

  return momentum


def linear(start: float, end: float, *, steps: int) -> Schedule:
  """A line from `start` at step 0 to `end` at `steps`, constant after.

  I-JEPA's target momentum (arXiv 2301.08243) is `linear(0.996, 1.0, steps=...)`.

  Args:
    start: the value at step 0.
    end: the value from `steps` on.
    steps: the length of the line.

  Returns:
    step (int32 []) -> value (float32 []).

  Raises:
    InputError: if `steps` is not positive.
  """
  if steps < 1:
    raise InputError(f"linear needs steps >= 1, not {steps}.")
  return lambda step: start + (end - start) * _progress(step, steps)


def cosine(
  start: float, end: float, *, steps: int, warmup: int = 0, warmup_from: float = 0.0
) -> Schedule:
  """Half a cosine from `start` to `end`, after DINO's warm-up.

  Caron et al., arXiv 2104.14294, `cosine_scheduler` of the official code; SwAV's is
  the same. The warm-up has both ends in it: `warmup_from` at step 0, `start` at step
  `warmup - 1` and again at step `warmup`. `optim.warmup_cosine` is that of SimCLR,
  BYOL, MoCo v3 and MAE, which reaches its peak at step `warmup` only.

  Args:
    start: the value that the cosine starts from.
    end: the value from `steps` on; the run's last step is one before it.
    steps: all steps, warm-up included.
    warmup: steps of the warm-up.
    warmup_from: the value at step 0 if there is a warm-up.

  Returns:
    step (int32 []) -> value (float32 []).

  Raises:
    InputError: if the warm-up is not shorter than the run.
  """
  if not 0 <= warmup < steps:
    raise InputError(
      f"A warm-up of {warmup} steps does not fit a run of {steps}; it must be "
      "from 0 to one less than the steps."
    )

  def value(step):
    rise = warmup_from + (start - warmup_from) * _progress(step, max(warmup - 1, 1))
    left = _fall(_progress(step - warmup, steps - warmup))
    return jnp.where(step < warmup, rise, start * left + end * (1.0 - left))

  return value


def per_epoch(schedule: Schedule, *, steps_per_epoch: int) -> Schedule:
  """Reads `schedule` at the first step of the epoch: a staircase.

  DINO's teacher temperature, 0.04 to 0.07 over its first 30 epochs, is
  `per_epoch(linear(0.04, 0.07, steps=29 * n), steps_per_epoch=n)`.

  Args:
    schedule: step -> value.
    steps_per_epoch: steps of an epoch.

  Returns:
    step (int32 []) -> value (float32 []).

  Raises:
    InputError: if `steps_per_epoch` is not positive.
  """
  if steps_per_epoch < 1:
    raise InputError(f"per_epoch needs steps_per_epoch >= 1, not {steps_per_epoch}.")
  return lambda step: schedule(step // steps_per_epoch * steps_per_epoch)


def _progress(step, steps):
  """How much of `steps` is done, float32 in [0, 1]."""
  return jnp.clip(jnp.asarray(step, jnp.float32) / steps, 0.0, 1.0)


def _fall(progress):
  """Half a cosine from 1 at progress 0 to 0 at progress 1."""
  return (jnp.cos(jnp.pi * progress) + 1.0) / 2.0
