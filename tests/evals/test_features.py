import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl.errors import InputError
from jaxssl.evals import check_labelled, extract


class Images:
  """A source of 11 images, image i filled with i; `reads` counts the rows read."""

  def __init__(self):
    self.reads = 0

  def __len__(self):
    return 11

  def __getitem__(self, indices):
    self.reads += len(indices)
    filled = np.broadcast_to(indices[:, None, None, None], (len(indices), 2, 2, 1))
    return {"input": filled.astype(np.uint8), "label": (indices % 3).astype(np.int64)}


def pooled(x):
  return x.astype(jnp.float32).mean((1, 2))


@pytest.mark.parametrize("batch", [1, 4, 11, 512])
def test_rows_come_out_in_order_whatever_the_batch(batch):
  source = Images()
  features, labels = extract(jax.jit(pooled), source, batch=batch)
  np.testing.assert_array_equal(features, np.arange(11, dtype=np.float32)[:, None])
  np.testing.assert_array_equal(labels, np.arange(11) % 3)
  assert features.dtype == np.float32 and labels.dtype == np.int32
  assert source.reads == 11


def test_the_encoder_is_traced_once():
  shapes = []

  @jax.jit
  def encode(x):
    shapes.append(x.shape)
    return pooled(x)

  extract(encode, Images(), batch=4)
  assert shapes == [(4, 2, 2, 1)]


def test_arrays_and_dicts_of_arrays_are_sources_too():
  x = np.arange(12, dtype=np.float32).reshape(6, 2)
  encode = jax.jit(lambda x: 2 * x)
  features, labels = extract(encode, x, batch=4)
  np.testing.assert_array_equal(features, 2 * x)
  assert labels is None
  features, labels = extract(encode, {"input": x, "label": np.arange(6)}, batch=4)
  np.testing.assert_array_equal(features, 2 * x)
  np.testing.assert_array_equal(labels, np.arange(6))


def test_inputs_may_be_trees_and_features_half_precision():
  x = {"a": np.ones((5, 2), np.float32), "b": np.arange(5, dtype=np.float32)}
  encode = jax.jit(lambda x: (x["a"] + x["b"][:, None]).astype(jnp.bfloat16))
  features, _ = extract(encode, {"input": x}, batch=3)
  assert features.dtype == np.float32
  np.testing.assert_array_equal(features[:, 0], np.arange(1, 6))


def test_what_cannot_be_encoded_is_refused():
  with pytest.raises(InputError, match="batch, dim"):
    extract(jax.jit(lambda x: x[:, 0]), np.ones((3, 4), np.float32))
  with pytest.raises(InputError, match="empty"):
    extract(jax.jit(lambda x: x), np.ones((0, 4), np.float32))
  with pytest.raises(InputError, match="needs 'input'"):
    extract(jax.jit(lambda x: x), {"image": np.ones((3, 4), np.float32)})


@pytest.mark.parametrize(
  "features, labels, message",
  [
    (np.ones((3, 2)), np.zeros(4, int), "labels \\[n\\]"),
    (np.ones(3), np.zeros(3, int), "features must be"),
    (np.ones((0, 2)), np.zeros(0, int), "no labelled examples"),
    (np.full((3, 2), np.nan), np.zeros(3, int), "NaN"),
    (np.ones((3, 2)), np.array([0, 1, 2]), "0 to 1; they run from 0 to 2"),
    (np.ones((3, 2)), np.array([0, 1, -1]), "run from -1"),
  ],
)
def test_labelled_features_are_checked(features, labels, message):
  with pytest.raises(InputError, match=message):
    check_labelled(features, labels, classes=2)
