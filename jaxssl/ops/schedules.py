"""Schedules of a method's own constants: pure functions of one integer step."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxssl.errors import InputError


def cosine_ema(base: float, *, steps: int) -> Callable[[jax.Array], jax.Array]:
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
    progress = jnp.minimum(step.astype(jnp.float32) / steps, 1.0)
    return 1.0 - (1.0 - base) * (jnp.cos(jnp.pi * progress) + 1.0) / 2.0

  return momentum
