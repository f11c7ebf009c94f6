"""Heads: where the papers put biases and norms, counted and run."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl import models
from jaxssl.errors import InputError
from jaxssl.models.layers import torch_linear_init
from tests.models import nets

# make, features in, layers as (width, parameters of Dense, parameters of the norm)
PLACEMENT = {
  "simclr": (models.simclr_head, 2048, [(2048, "k", "sb"), (128, "k", "s")]),
  "simclr_v2": (
    partial(models.simclr_head, layers=3),
    2048,
    [(2048, "k", "sb"), (2048, "k", "sb"), (128, "k", "s")],
  ),
  "moco": (models.moco_head, 2048, [(2048, "kb", None), (128, "kb", None)]),
  "byol": (models.byol_projector, 2048, [(4096, "kb", "sb"), (256, "k", None)]),
  "byol_predictor": (
    models.byol_predictor,
    256,
    [(4096, "kb", "sb"), (256, "k", None)],
  ),
  "simsiam": (
    models.simsiam_projector,
    2048,
    [(2048, "k", "sb"), (2048, "k", "sb"), (2048, "k", "")],
  ),
  "simsiam_cifar": (
    partial(models.simsiam_projector, layers=2),
    512,
    [(512, "k", "sb"), (2048, "k", "")],
  ),
  "simsiam_predictor": (
    models.simsiam_predictor,
    2048,
    [(512, "k", "sb"), (2048, "kb", None)],
  ),
  "barlow_twins": (
    models.barlow_twins_projector,
    2048,
    [(8192, "k", "sb"), (8192, "k", "sb"), (8192, "k", None)],
  ),
  "vicreg": (
    models.vicreg_expander,
    2048,
    [(8192, "kb", "sb"), (8192, "kb", "sb"), (8192, "k", None)],
  ),
}
WITH_NORM = (
  models.simclr_head,
  models.byol_projector,
  models.byol_predictor,
  models.simsiam_projector,
  models.simsiam_predictor,
  partial(models.barlow_twins_projector, widths=(6, 5)),
  partial(models.vicreg_expander, widths=(6, 5)),
)
SHORT = {"kernel": "k", "bias": "b", "scale": "s"}


def letters(params):
  return "".join(sorted((SHORT[name] for name in params), key="ksb".index))


@pytest.mark.parametrize("name", PLACEMENT)
def test_widths_biases_and_norms_are_the_published_ones(name):
  make, dim, expected = PLACEMENT[name]
  found = nets.shapes(make(), (2, dim))
  norms = found.get("batch_stats", {})
  for i, (width, dense, norm) in enumerate(expected):
    layer = found["params"][f"dense{i}"]
    assert layer["kernel"].shape == (dim, width)
    assert letters(layer) == dense
    assert (f"norm{i}" in norms) == (norm is not None)
    assert letters(found["params"].get(f"norm{i}", ())) == (norm or "")
    dim = width
  assert f"dense{len(expected)}" not in found["params"]


def test_heads_apply_what_they_say():
  net, x = models.byol_projector(hidden=5, out=3), nets.images((6, 4))
  values = nets.variables(net, x.shape)
  params = jax.tree.map(np.asarray, values["params"])
  hidden = np.asarray(x) @ params["dense0"]["kernel"] + params["dense0"]["bias"]
  hidden = (hidden - hidden.mean(0)) / np.sqrt(hidden.var(0) + 1e-5)
  hidden = hidden * params["norm0"]["scale"] + params["norm0"]["bias"]
  expected = np.maximum(hidden, 0) @ params["dense1"]["kernel"]
  got, _ = nets.train(net, values, x)
  np.testing.assert_allclose(got, expected, atol=1e-5)


def test_last_norm_without_activation():
  x = nets.images((64, 8))
  net = models.simsiam_projector(out=4)
  z, _ = nets.train(net, nets.variables(net, x.shape), x)
  np.testing.assert_allclose(z.mean(0), np.zeros(4), atol=1e-5)
  np.testing.assert_allclose(z.std(0), np.ones(4), atol=1e-2)


@pytest.mark.parametrize("make", WITH_NORM)
def test_layer_norm_makes_rows_independent(make):
  net, x = make(norm=models.LayerNorm), nets.images((4, 6))
  values = nets.variables(net, x.shape)
  assert set(values) == {"params"}
  whole, _ = nets.train(net, values, x)
  part, _ = nets.train(net, values, x[1:3])
  np.testing.assert_allclose(part, whole[1:3], atol=1e-5)


@pytest.mark.parametrize("make", WITH_NORM)
def test_axis_name_and_dtype_reach_the_layers(make):
  net = make(axis_name="data", dtype=jnp.bfloat16)
  values = nets.variables(net, (4, 6))
  assert {leaf.dtype for leaf in jax.tree.leaves(values)} == {jnp.dtype("float32")}
  with pytest.raises(NameError, match="data"):  # no such axis outside pmap
    nets.train(net, values, nets.images((4, 6)))
  call = partial(net.apply, train=True, mutable=["batch_stats"])
  mapped = jax.vmap(call, axis_name="data", in_axes=(None, 0))
  out, _ = jax.eval_shape(mapped, values, nets.images((1, 4, 6)))
  assert out.dtype == jnp.float32


def test_simclr_kernels_start_small():
  params = nets.initial(models.simclr_head(), (2, 256))["params"]
  np.testing.assert_allclose(jnp.std(params["dense0"]["kernel"]), 0.01, rtol=0.05)


def test_other_kernels_start_as_torch_linear_layers_do():
  assert models.vicreg_expander().kernel_init is torch_linear_init
  assert models.simsiam_projector().kernel_init is torch_linear_init


@pytest.mark.parametrize("make", [models.simclr_head, models.simsiam_projector])
def test_a_head_has_a_layer(make):
  with pytest.raises(InputError, match="at least 1 layer; got 0"):
    make(layers=0)


def test_an_mlp_needs_a_bias_and_a_norm_per_width():
  net = models.MLP(widths=(3, 3), biases=(True,), norms=(None, None))
  with pytest.raises(InputError, match=r"one width, bias and norm .* \(2, 1, 2\)"):
    nets.shapes(net, (2, 3))


def test_an_mlp_works_on_the_last_axis():
  net = models.moco_head(hidden=5, out=3)
  x = nets.images((2, 7, 4))
  values = nets.variables(net, x.shape)
  got = nets.evaluate(net, values, x)
  flat = nets.evaluate(net, values, x.reshape(14, 4))
  np.testing.assert_allclose(got.reshape(14, 3), flat, atol=1e-6)
