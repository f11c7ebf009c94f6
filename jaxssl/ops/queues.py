"""A first-in-first-out queue of unit vectors as two arrays: rows and a pointer."""

import jax
import jax.numpy as jnp

from jaxssl.errors import InputError
from jaxssl.ops.numerics import l2_normalize


def check_queue_size(size: int) -> None:
  """Raises InputError for a queue without rows."""
  if size < 1:
    raise InputError(f"A queue needs at least one row, not {size}.")


def random_queue(key: jax.Array, *, size: int, dim: int) -> tuple[jax.Array, jax.Array]:
  """Returns `queue` [size, dim] of random unit vectors and `pointer`, int32 0."""
  check_queue_size(size)
  return l2_normalize(jax.random.normal(key, (size, dim))), jnp.zeros((), jnp.int32)


def enqueue(
  queue: jax.Array, pointer: jax.Array, rows: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Overwrites the oldest rows of a queue.

  Args:
    queue: [size, dim].
    pointer: int32 [], where the next rows go.
    rows: [batch, dim].

  Returns:
    The new queue and pointer.

  Raises:
    InputError: if the batch does not divide the queue (a slice written past the
      end would be moved in silence).
  """
  size, batch = queue.shape[0], rows.shape[0]
  if size % batch:
    raise InputError(
      f"A batch of {batch} does not divide a queue of {size}; make the queue a "
      f"multiple of the batch, such as {max(size // batch, 1) * batch}."
    )
  start = (pointer, jnp.zeros_like(pointer))
  queue = jax.lax.dynamic_update_slice(queue, rows.astype(queue.dtype), start)
  return queue, (pointer + batch) % size
