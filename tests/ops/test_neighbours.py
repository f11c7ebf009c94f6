"""Nearest neighbours against a loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl import ops
from jaxssl.errors import InputError


def loop_neighbours(queries, support):
  cosine = lambda a, b: a @ b / np.linalg.norm(a) / np.linalg.norm(b)
  return [int(np.argmax([cosine(q, s) for s in support])) for q in queries]


@pytest.fixture
def data():
  rng = np.random.default_rng(0)
  support = rng.normal(size=(10, 4)) * rng.uniform(0.1, 10, size=(10, 1))
  return jnp.asarray(rng.normal(size=(6, 4)), jnp.float32), jnp.asarray(
    support, jnp.float32
  )


@pytest.mark.parametrize("block_size", [None, 1, 3, 5, 10, 99])
def test_it_is_the_largest_cosine(data, block_size):
  got = ops.nearest_neighbours(*data, block_size=block_size)
  assert got.dtype == jnp.int32
  np.testing.assert_array_equal(got, loop_neighbours(*map(np.asarray, data)))


@pytest.mark.parametrize("block_size", [None, 2, 3])
def test_of_equal_rows_the_first_wins(block_size):
  support = jnp.ones((5, 2)).at[0].set(-1.0)
  got = ops.nearest_neighbours(jnp.ones((1, 2)), support, block_size=block_size)
  assert got.tolist() == [1]


def test_a_query_finds_itself_under_jit(data):
  find = jax.jit(lambda x: ops.nearest_neighbours(3.0 * x, x, block_size=4))
  np.testing.assert_array_equal(find(data[1]), np.arange(10))


@pytest.mark.parametrize(
  ("queries", "support", "block_size"),
  [
    ((2, 3), (4, 5), None),
    ((3,), (4, 3), None),
    ((2, 3), (0, 3), None),
    ((2, 3), (4, 3), 0),
  ],
)
def test_it_refuses(queries, support, block_size):
  with pytest.raises(InputError, match="nearest_neighbours"):
    ops.nearest_neighbours(
      jnp.zeros(queries), jnp.zeros(support), block_size=block_size
    )
