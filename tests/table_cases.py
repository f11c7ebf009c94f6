"""Toy forms of the methods that learn from rows of tables."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxssl import augment, models
from jaxssl.data.tables import Row
from jaxssl.methods.scarf import scarf
from jaxssl.methods.table_denoising import table_denoising
from jaxssl.methods.vime import vime

NORMS = {"batch": models.BatchNorm, "layer": models.LayerNorm}
SIZES = (4, 5)
NUMERIC = 6


@functools.cache
def batch(seed: int = 5, rows: int = 16) -> dict:
  """Rows whose columns tell of each other; some values are missing."""
  keys = jax.random.split(jax.random.key(seed), 4)
  hidden = jax.random.normal(keys[0], (rows, 2))
  mix = jax.random.normal(jax.random.key(0), (2, NUMERIC))
  numeric = hidden @ mix + 0.1 * jax.random.normal(keys[1], (rows, NUMERIC))
  missing = jax.random.bernoulli(keys[2], 0.1, numeric.shape)
  words = jnp.stack([hidden[:, i] > 0.0 for i in range(2)], axis=1)
  categorical = 1 + words.astype(jnp.int32)
  index = jnp.arange(rows, dtype=jnp.int32)
  row = Row(jnp.where(missing, jnp.nan, numeric), categorical)
  return {"input": row, "index": index, "label": index % 4}


@functools.cache
def marginals() -> Row:
  """Training rows to draw from."""
  return Row(*(np.asarray(x) for x in batch(6, 32)["input"]))


def encoder(norm: str, axis_name: str | None = None) -> models.TableEncoder:
  """A small encoder of 32 features."""
  return models.TableEncoder(SIZES, (32,), norm=NORMS[norm], axis_name=axis_name)


def keep(key, row):
  """The row as it is, as the only view."""
  del key
  return (row,)


def make_scarf(norm: str = "batch", axis_name: str | None = None):
  """SCARF with a head of two layers."""
  head = models.moco_head(hidden=32, out=12)
  net = models.Siamese(encoder(norm, axis_name), head)
  return scarf(net, augment.scarf_views(marginals()))


def corruption(key, row):
  """A third of the cells from other rows."""
  return augment.corrupt_cells(key, row, marginals=marginals(), share=0.3)


def make_vime(norm: str = "batch", axis_name: str | None = None):
  """VIME by the official weight."""
  decoder = models.RowDecoder(NUMERIC, SIZES)
  return vime(
    models.Vime(encoder(norm, axis_name), decoder), keep, corruption=corruption
  )


def make_denoising(norm: str = "batch", axis_name: str | None = None):
  """Denoising with a linear decoder."""
  decoder = models.RowDecoder(NUMERIC, SIZES)
  net = models.AutoEncoder(encoder(norm, axis_name), decoder)
  return table_denoising(net, keep, corruption=corruption)


def _nothing(state):
  del state
  return ()


ROWS = (
  ("scarf", make_scarf, _nothing, batch),
  ("vime", make_vime, _nothing, batch),
  ("table_denoising", make_denoising, _nothing, batch),
)
