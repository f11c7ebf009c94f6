"""Transformers over tokens against transformers' BERT and GPT-2, and what they see."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file

from jaxssl import losses, models
from jaxssl.errors import InputError
from tests import golden
from tests.losses.common import assert_matches
from tests.models.weights import dense, joined, norm

SIZE = {"width": 16, "depth": 2, "heads": 2, "length": 8}


def bert_block(weights, i):
  name = f"bert.encoder.layer.{i}."
  parts = [
    dense(weights, f"{name}attention.self.{x}") for x in ("query", "key", "value")
  ]
  out = dense(weights, f"{name}attention.output.dense")
  return {
    "attention": {"qkv": joined(*parts), "out": out},
    "norm1": norm(weights, f"{name}attention.output.LayerNorm"),
    "dense1": dense(weights, f"{name}intermediate.dense"),
    "dense2": dense(weights, f"{name}output.dense"),
    "norm2": norm(weights, f"{name}output.LayerNorm"),
  }


def bert_params(weights):
  embed, head = "bert.embeddings.", "cls.predictions."
  table = lambda name: {"embedding": weights[f"{embed}{name}_embeddings.weight"]}
  encoder = {
    "token": table("word"),
    "position": table("position"),
    "segment": table("token_type"),
    "norm": norm(weights, f"{embed}LayerNorm"),
    **{f"blocks_{i}": bert_block(weights, i) for i in range(2)},
  }
  return {
    "encoder": encoder,
    "head": {
      "dense": dense(weights, f"{head}transform.dense"),
      "norm": norm(weights, f"{head}transform.LayerNorm"),
      "bias": weights[f"{head}bias"],
    },
    "pooler": dense(weights, "bert.pooler.dense"),
    "pair": dense(weights, "cls.seq_relationship"),
  }


def gpt_block(weights, i):
  name, of = f"transformer.h.{i}.", partial(dense, transposed=False)
  qkv, out = (of(weights, f"{name}attn.{x}") for x in ("c_attn", "c_proj"))
  return {
    "attention": {"qkv": qkv, "out": out},
    "norm1": norm(weights, f"{name}ln_1"),
    "dense1": of(weights, f"{name}mlp.c_fc"),
    "dense2": of(weights, f"{name}mlp.c_proj"),
    "norm2": norm(weights, f"{name}ln_2"),
  }


def gpt_params(weights):
  encoder = {
    "token": {"embedding": weights["transformer.wte.weight"]},
    "position": {"embedding": weights["transformer.wpe.weight"]},
    "norm": norm(weights, "transformer.ln_f"),
    **{f"blocks_{i}": gpt_block(weights, i) for i in range(2)},
  }
  return {"encoder": encoder}


def test_bert_agrees_with_transformers():
  (case,) = golden.load("hf_bert")
  params = bert_params(load_file(golden.FOLDER / "hf_bert.safetensors"))
  encoder = models.Transformer(
    60, 32, 2, 4, length=32, pre_norm=False, segments=2, epsilon=1e-12
  )
  kept = case.inputs["attention_mask"] > 0
  ids = case.inputs["input_ids"].astype(np.int32)
  assert (ids[kept] != 0).all()
  ids = jnp.asarray(np.where(kept, ids, 0))
  segments = jnp.asarray(case.inputs["token_type_ids"].astype(np.int32))
  tokens = models.Tokens(ids, segments)
  hidden = jax.jit(partial(encoder.apply, train=False, method="tokens"))(
    {"params": params["encoder"]}, tokens
  )
  places = jnp.tile(jnp.arange(12, dtype=jnp.int32), (3, 1))
  net = models.BertNet(encoder, models.TokenHead())
  logits, pair = jax.jit(partial(net.apply, train=False))(
    {"params": params}, models.Asked(tokens, places)
  )
  got = {"mlm_logits": logits, "nsp_logits": pair, "last_hidden_state": hidden}
  for name, value in got.items():
    atol, rtol = case.tolerance[name]
    expected, value = case.outputs[name], np.asarray(value)
    if expected.ndim == 3:
      expected, value = expected[kept], value[kept]
    np.testing.assert_allclose(value, expected, atol=atol, rtol=rtol, err_msg=name)


def test_gpt_agrees_with_transformers():
  (case,) = golden.load("hf_gpt2")
  params = gpt_params(load_file(golden.FOLDER / "hf_gpt2.safetensors"))
  encoder = models.Transformer(
    65,
    32,
    2,
    4,
    length=32,
    causal=True,
    padding=None,
    activation=partial(nn.gelu, approximate=True),
  )
  ids = jnp.asarray(case.inputs["input_ids"].astype(np.int32))
  hidden = jax.jit(partial(encoder.apply, train=False, method="tokens"))(
    {"params": params["encoder"]}, ids
  )
  net = models.CausalNet(encoder)
  logits = jax.jit(partial(net.apply, train=False))({"params": params}, ids)
  error, count = losses.causal_language_modelling(logits, ids)
  loss = error.sum() / count.sum()
  got = {"logits": logits, "last_hidden_state": hidden, "loss": loss}
  assert_matches(got, case)


def made(**options):
  net = models.Transformer(11, **{**SIZE, **options})
  return net, net.init(jax.random.key(0), jnp.ones((1, 4), jnp.int32), train=True)


def texts(rows=3, length=6, seed=1):
  return jax.random.randint(jax.random.key(seed), (rows, length), 1, 11, jnp.int32)


def hidden_of(net, variables, ids):
  return net.apply(variables, ids, train=False, method="tokens")


@pytest.mark.slow
@pytest.mark.parametrize("pre_norm", [True, False])
def test_a_causal_one_sees_nothing_after_a_token(pre_norm):
  net, variables = made(causal=True, pre_norm=pre_norm)
  ids = texts()
  other = ids.at[:, 4].set(1 + ids[:, 4] % 10)
  before, after = (hidden_of(net, variables, x) for x in (ids, other))
  np.testing.assert_array_equal(before[:, :4], after[:, :4])
  assert (np.abs(before[:, 4:] - after[:, 4:]).max(axis=(0, 2)) > 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("pool", [models.mean_pool, models.last_pool])
def test_padding_changes_nothing(pool):
  net, variables = made(pool=pool)
  ids = texts()
  padded = jnp.pad(ids, ((0, 0), (0, 2)))
  short, long = (net.apply(variables, x, train=False) for x in (ids, padded))
  np.testing.assert_allclose(short, long, atol=1e-6)


def test_pools():
  hidden = jax.random.normal(jax.random.key(0), (2, 4, 3))
  ids = jnp.asarray([[5, 6, 0, 0], [0, 0, 0, 0]])
  mean = models.mean_pool(hidden, ids)
  np.testing.assert_allclose(mean[0], hidden[0, :2].mean(0), rtol=1e-6)
  np.testing.assert_array_equal(mean[1], 0)
  every = models.mean_pool(hidden, ids, padding=None)
  np.testing.assert_allclose(every, hidden.mean(1), rtol=1e-6)
  np.testing.assert_array_equal(models.last_pool(hidden, ids)[0], hidden[0, 1])
  np.testing.assert_array_equal(
    models.last_pool(hidden, ids, padding=None), hidden[:, 3]
  )
  np.testing.assert_array_equal(models.first_pool(hidden, ids), hidden[:, 0])


def test_tokens_are_sown_and_pooled():
  net, variables = made()
  ids = texts()
  out, seen = net.apply(variables, ids, train=False, mutable=["intermediates"])
  (patches,) = seen["intermediates"]["patches"]
  assert patches.shape == (3, 6, 16)
  np.testing.assert_allclose(out, patches.mean(1), atol=1e-6)


@pytest.mark.slow
def test_a_rows_dropout_is_its_own():
  net, variables = made(dropout=0.5)
  ids, keys = texts(), jax.random.split(jax.random.key(4), 3)
  drop = lambda ids, keys: net.apply(variables, ids, train=True, keys=keys)
  whole = drop(ids, keys)
  np.testing.assert_allclose(whole[1:2], drop(ids[1:2], keys[1:2]), atol=1e-6)
  assert np.abs(whole - net.apply(variables, ids, train=False)).max() > 1e-3


def test_logits_are_products_with_the_embedding():
  net, variables = made()
  hidden = jax.random.normal(jax.random.key(2), (2, 3, 16))
  logits = net.apply(variables, hidden, method="logits")
  table = variables["params"]["token"]["embedding"]
  np.testing.assert_allclose(logits, hidden @ table.T, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("remat", ["dots", "full"])
def test_remat_changes_no_gradient(remat):
  ids = texts()
  grads = []
  for policy in ("none", remat):
    net, variables = made(remat=policy)
    loss = lambda v, net=net: jnp.sum(net.apply(v, ids, train=False) ** 2)
    grads.append(jax.grad(loss)(variables))
  jax.tree.map(partial(np.testing.assert_allclose, atol=1e-5), *grads)


@pytest.mark.slow
def test_half_precision_gives_floats_of_32_bits():
  net, variables = made(dtype=jnp.bfloat16)
  hidden = hidden_of(net, variables, texts())
  assert hidden.dtype == jnp.float32
  assert net.apply(variables, hidden, method="logits").dtype == jnp.float32


def test_the_second_segment_changes_the_features():
  net, _ = made(segments=2)
  ids = texts()
  variables = net.init(jax.random.key(0), ids, train=True)
  same = models.Tokens(ids, jnp.zeros_like(ids))
  out = lambda x: net.apply(variables, x, train=False)
  np.testing.assert_array_equal(out(ids), out(same))
  assert np.abs(out(ids) - out(same._replace(segments=same.segments + 1))).max() > 1e-3


def test_sequences_longer_than_the_model_are_refused():
  net, variables = made()
  with pytest.raises(InputError, match="9 tokens, more than the 8 positions"):
    net.apply(variables, jnp.ones((2, 9), jnp.int32), train=False)


@pytest.mark.parametrize("x", [jnp.ones((2, 4)), jnp.ones(4, jnp.int32)])
def test_what_is_no_token_is_refused(x):
  net, variables = made()
  with pytest.raises(InputError, match="integers"):
    net.apply(variables, x, train=False)


def test_segments_without_an_embedding_are_refused():
  net, variables = made()
  ids = texts()
  with pytest.raises(InputError, match="segments=2"):
    net.apply(variables, models.Tokens(ids, ids), train=False)
