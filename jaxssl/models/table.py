"""Nets of tables: an encoder of rows, and heads that say what the features were."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl.data.tables import Row, row_values
from jaxssl.errors import InputError
from jaxssl.losses.table import RowPrediction
from jaxssl.models.layers import Factory
from jaxssl.models.mlp import MLP


class TableEncoder(nn.Module):
  """Numbers, whether they are missing, and categories -> fully connected layers.

  The encoder of SCARF (arXiv 2106.15147, section 4): 4 layers of 256, each with a
  ReLU. A row has no parts: its one patch is its features.

  Attributes:
    sizes: codes of each categorical column, `Columns.sizes`.
    widths: of the layers.
    embedding: width of a learned vector for each category; None: one-hot.
    norm: a factory of norms before each ReLU, or None, as in the paper.
    axis_name: the pmap axis for batch norm; None outside pmap.
    dtype: compute dtype; parameters and features are float32.
  """

  sizes: tuple[int, ...]
  widths: tuple[int, ...] = (256, 256, 256, 256)
  embedding: int | None = None
  norm: Factory | None = None
  axis_name: str | None = None
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: Row, *, train: bool, keys: jax.Array | None = None):
    """Maps rows [batch, ...] to features [batch, widths[-1]]."""
    if not isinstance(x, Row):
      raise InputError(f"TableEncoder takes a `Row`, not {type(x).__name__}.")
    if x.categorical.shape[1] != len(self.sizes):
      raise InputError(
        f"The rows have {x.categorical.shape[1]} categorical columns; the encoder was "
        f"made for {len(self.sizes)}."
      )
    layers = len(self.widths)
    mlp = MLP(
      self.widths,
      biases=(True,) * layers,
      norms=(self.norm,) * layers,
      axis_name=self.axis_name,
      dtype=self.dtype,
    )
    features = nn.relu(mlp(self._values(x), train=train))
    self.sow("intermediates", "patches", features[:, None])
    return features

  def _values(self, x):
    if self.embedding is None:
      return row_values(x, self.sizes)
    words = [
      nn.Embed(size, self.embedding, name=f"embed{i}")(x.categorical[:, i])
      for i, size in enumerate(self.sizes)
    ]
    empty = Row(x.numeric, x.categorical[:, :0])
    return jnp.concatenate([row_values(empty, ()), *words], axis=1)


class RowDecoder(nn.Module):
  """Features -> numbers and logits of categories.

  Attributes:
    numeric: numeric columns.
    sizes: codes of each categorical column.
    widths: of hidden layers with ReLUs.
  """

  numeric: int
  sizes: tuple[int, ...]
  widths: tuple[int, ...] = ()

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool, keys: jax.Array | None = None):
    """Maps features [batch, dim] to a `RowPrediction`."""
    out = _head(self.widths, self.numeric + sum(self.sizes))(x, train=train)
    return RowPrediction(out[:, : self.numeric], out[:, self.numeric :])


class VimeOutput(NamedTuple):
  """What VIME's two heads say.

  Attributes:
    mask: logits of which features were changed, [batch, features].
    row: the row before it was changed.
  """

  mask: jax.Array
  row: RowPrediction


class Vime(nn.Module):
  """An encoder and VIME's two heads: mask and features (NeurIPS 2020, figure 1).

  Attributes:
    encoder: rows -> features.
    decoder: features -> `RowPrediction`, a `RowDecoder`.
  """

  encoder: nn.Module
  decoder: nn.Module

  @nn.compact
  def __call__(self, x: Row, *, train: bool, keys: jax.Array | None = None):
    """Maps corrupted rows to a `VimeOutput`."""
    features = self.encoder(x, train=train, keys=keys)
    columns = x.numeric.shape[1] + x.categorical.shape[1]
    mask = _head((), columns, name="mask")(features, train=train)
    return VimeOutput(mask, self.decoder(features, train=train, keys=keys))


def _head(widths, out, **options):
  layers = len(widths) + 1
  return MLP((*widths, out), (True,) * layers, (None,) * layers, **options)
