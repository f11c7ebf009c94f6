"""SCARF, VIME and denoising of rows: their losses from parts, what they show."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxssl import augment, core, losses, methods, models
from jaxssl.data import Row
from jaxssl.errors import InputError
from tests import table_cases


def started(method):
  batch = table_cases.batch()
  params, extra = method.init(jax.random.key(0), batch)
  keys = jax.random.split(jax.random.key(1), 16)
  return batch, params, extra, keys


def loss_of(method):
  batch, params, extra, keys = started(method)
  outputs, extra = method.forward(params, extra, batch, keys, jnp.int32(0))
  loss, (_, metrics) = method.objective(params, extra, outputs, jnp.int32(0))
  return outputs, loss, metrics


@pytest.mark.slow
def test_scarf_is_simclr_at_a_temperature_of_one():
  method = table_cases.make_scarf("layer")
  (clean, corrupted), loss, _ = loss_of(method)
  expected = losses.nt_xent(clean, corrupted, temperature=1.0).mean()
  np.testing.assert_allclose(loss, expected, rtol=1e-6)
  features = method.encode(*started(method)[1:3], table_cases.batch())
  assert features.shape == (16, 32) and bool(jnp.isfinite(features).all())


def test_vime_weighs_its_two_losses():
  net = models.Vime(table_cases.encoder("layer"), models.RowDecoder(6, (4, 5)))
  options = {"corruption": table_cases.corruption}
  method = methods.vime(net, table_cases.keep, alpha=3.0, **options)
  errors, loss, metrics = loss_of(method)
  mean = errors.error.sum() / errors.count.sum()
  np.testing.assert_allclose(loss, errors.mask.mean() + 3.0 * mean, rtol=1e-6)
  assert 0.0 <= float(metrics["mask_accuracy"]) <= 1.0
  with pytest.raises(InputError, match="alpha"):
    methods.vime(net, table_cases.keep, alpha=-1.0, **options)


def test_vime_counts_missing_values_as_nothing():
  errors, _, _ = loss_of(table_cases.make_vime("layer"))
  rows = table_cases.batch()["input"]
  there = (~jnp.isnan(rows.numeric)).sum(1) + (rows.categorical > 0).sum(1)
  assert errors.count.tolist() == there.tolist()
  assert float(there.sum()) < 16 * 8


@pytest.mark.parametrize("make", [table_cases.make_vime, table_cases.make_denoising])
def test_shows_rows_of_the_same_kind(make):
  method = make("layer")
  batch, params, extra, keys = started(method)
  (shown,) = method.show(params, extra, batch, keys).values()
  assert isinstance(shown, Row)
  assert shown.numeric.shape == (16, 3, 6) and shown.categorical.shape == (16, 3, 2)
  np.testing.assert_array_equal(shown.numeric[:, 0], batch["input"].numeric)
  assert bool(jnp.isfinite(shown.numeric[:, 2]).all())


@pytest.mark.slow
def test_deepcluster_takes_rows():
  draw = lambda key, row: (table_cases.corruption(key, row),)
  net = models.Siamese(table_cases.encoder("layer"), models.moco_head(out=8))
  method = methods.deepcluster(net, draw, examples=16, clusters=4, components=4)
  batch = table_cases.batch()
  state = core.init_state(method, optax.sgd(0.1), jax.random.key(0), batch)
  state = method.refresh(state, [(batch, 16)], jax.random.key(2))
  _, metrics = core.train_step(method, optax.sgd(0.1), state, batch)
  assert np.isfinite(float(metrics["loss"]))
  assert len(np.unique(state.extra.labels)) == 4


def test_embedded_categories_and_bad_rows():
  encoder = models.TableEncoder((4, 5), (8,), embedding=3)
  rows = table_cases.batch()["input"]
  params = encoder.init(jax.random.key(0), rows, train=True)
  assert params["params"]["embed1"]["embedding"].shape == (5, 3)
  assert encoder.apply(params, rows, train=False).shape == (16, 8)
  with pytest.raises(InputError, match="2 categorical columns"):
    models.TableEncoder((4,)).init(jax.random.key(0), rows, train=True)
  with pytest.raises(InputError, match="takes a `Row`"):
    encoder.init(jax.random.key(0), jnp.zeros((2, 3)), train=True)


@pytest.mark.slow
def test_a_table_without_words_trains():
  """Leaves of no columns go through the merged views."""
  rows = Row(table_cases.batch()["input"].numeric, jnp.zeros((16, 0), jnp.int32))
  marginals = jax.tree.map(np.asarray, rows)
  net = models.Siamese(models.TableEncoder((), (8,)), models.moco_head(out=4))
  method = methods.scarf(net, augment.scarf_views(marginals))
  tx = optax.sgd(0.1)
  state = core.init_state(method, tx, jax.random.key(0), {"input": rows})
  _, metrics = core.train_step(method, tx, state, {"input": rows})
  assert np.isfinite(float(metrics["loss"]))
