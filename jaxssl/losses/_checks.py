"""What every loss checks of its arguments before it computes anything."""

import chex
import jax
import numpy as np

from jaxssl.errors import InputError


def check_matrices(**arrays: jax.Array) -> None:
  """Raises InputError unless every named array is [batch, dim]."""
  for name, array in arrays.items():
    chex.assert_rank(
      array,
      2,
      custom_message=f"Pass `{name}` as [batch, dim], one row per example",
      exception_type=InputError,
    )


def check_paired(**arrays: jax.Array) -> None:
  """Raises InputError unless the named arrays are [batch, dim], all of one shape."""
  check_matrices(**arrays)
  chex.assert_equal_shape(
    list(arrays.values()),
    custom_message=f"Pass {_listed(arrays)} with the same [batch, dim]: row i of each "
    "belongs to the same example",
    exception_type=InputError,
  )


def check_rows(least: int, why: str, **arrays: jax.Array) -> None:
  """Raises InputError unless every named array has `least` rows or more."""
  for name, array in arrays.items():
    if array.shape[0] < least:
      raise InputError(
        f"`{name}` has {array.shape[0]} row(s); pass at least {least}: {why}."
      )


def check_positive(**options: float | jax.Array) -> None:
  """Raises InputError unless every named option is above 0 (traced values pass)."""
  for name, value in options.items():
    if isinstance(value, int | float | np.number) and not value > 0:
      raise InputError(f"`{name}` is {value}; pass a number above 0.")


def check_block_size(block_size: int | None) -> None:
  """Raises InputError unless `block_size` is None or a positive int."""
  if block_size is None:
    return
  whole = isinstance(block_size, int | np.integer) and not isinstance(block_size, bool)
  if not whole or block_size < 1:
    raise InputError(
      f"`block_size` is {block_size!r}; pass the number of columns per block as a "
      "positive int, or None for all columns at once."
    )


def _listed(names):
  return " and ".join(f"`{name}`" for name in names)
