"""Optimisers and schedules as the papers use them: thin over optax."""

from typing import Any

import jax
import optax

from jaxssl.errors import InputError

PyTree = Any


def warmup_cosine(peak: float, *, steps: int, warmup: int = 0) -> optax.Schedule:
  """Linear from 0 to `peak` in `warmup` steps, then cosine to 0 at `steps`.

  Args:
    peak: the highest value.
    steps: all steps, warm-up included.
    warmup: steps of the warm-up; 0 starts at the peak.

  Returns:
    step -> value.

  Raises:
    InputError: if the warm-up is not shorter than the run.
  """
  if not 0 <= warmup < steps:
    raise InputError(
      f"A warm-up of {warmup} steps does not fit a run of {steps}; it must be "
      "from 0 to one less than the steps."
    )
  cosine = optax.cosine_decay_schedule(peak, steps - warmup)
  if not warmup:
    return cosine
  rise = optax.linear_schedule(0.0, peak, warmup)
  return optax.join_schedules([rise, cosine], [warmup])


def weights_only(params: PyTree) -> PyTree:
  """A mask for `optax`: True for weights, False for biases and norm parameters."""
  return jax.tree.map(lambda x: x.ndim > 1, params)


def adamw(
  rate: optax.ScalarOrSchedule, *, weight_decay: float
) -> optax.GradientTransformation:
  """AdamW whose decay leaves out biases and norm parameters (DINO, MAE, I-JEPA)."""
  return optax.adamw(rate, weight_decay=weight_decay, mask=weights_only)


def sgd(
  rate: optax.ScalarOrSchedule, *, momentum: float, weight_decay: float
) -> optax.GradientTransformation:
  """SGD as torch has it: decay of all parameters is added to the gradient first.

  MoCo and SimSiam use it (weight decay 1e-4, nothing excluded).
  """
  decay = optax.add_decayed_weights(weight_decay)
  return optax.chain(decay, optax.sgd(rate, momentum=momentum))


def by_part(parts: dict[str, optax.GradientTransformation], rest) -> Any:
  """Optimises named top-level parts of the parameters on their own.

  `by_part({"predictor": sgd(0.05, ...)}, sgd(schedule, ...))` keeps the learning rate
  of SimSiam's predictor constant.

  Args:
    parts: name of a top-level entry of the parameters -> its optimiser.
    rest: the optimiser of all other parameters.

  Returns:
    The optimiser.
  """

  def labels(params):
    return {name: name if name in parts else "rest" for name in params}

  return optax.partition({**parts, "rest": rest}, labels)
