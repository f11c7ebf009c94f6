"""Nets over waves: wav2vec 2.0 against transformers', padding, who hears what."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file

from jaxssl import losses, models
from jaxssl.errors import InputError
from jaxssl.models.wave import PositionConv
from tests import golden

GOLDEN = golden.load("hf_wav2vec2")[0]
OPTIONS = GOLDEN.options
HEADS = {"q": "q_proj", "k": "k_proj", "v": "v_proj"}


def net():
  """Our net of the golden case."""
  local = models.WaveEncoder(
    *(tuple(OPTIONS[f"conv_{n}"]) for n in ("dim", "kernel", "stride"))
  )
  context = models.FrameTransformer(
    OPTIONS["hidden"],
    depth=OPTIONS["layers"],
    heads=OPTIONS["heads"],
    kernel=OPTIONS["position_kernel"],
    groups=OPTIONS["position_groups"],
    mlp_ratio=OPTIONS["intermediate"] // OPTIONS["hidden"],
  )
  quantizer = models.ProductQuantizer(
    OPTIONS["groups"], codes=OPTIONS["codes_per_group"], width=OPTIONS["code_dim"]
  )
  encoder = models.SpeechEncoder(local, context)
  return models.Wav2Vec2(encoder, quantizer, out=OPTIONS["projection"])


def layer(weights, name):
  """A linear layer or a norm, from the names and layouts of torch."""
  weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
  return {"scale" if weight.ndim == 1 else "kernel": weight.T, "bias": bias}


def block(weights, name):
  """Parameters of one block; three projections there are one here."""
  parts = [layer(weights, f"{name}.attention.{n}") for n in HEADS.values()]
  joined = {n: np.concatenate([p[n] for p in parts], axis=-1) for n in parts[0]}
  return {
    "attention": {"qkv": joined, "out": layer(weights, f"{name}.attention.out_proj")},
    "norm1": layer(weights, f"{name}.layer_norm"),
    "dense1": layer(weights, f"{name}.feed_forward.intermediate_dense"),
    "dense2": layer(weights, f"{name}.feed_forward.output_dense"),
    "norm2": layer(weights, f"{name}.final_layer_norm"),
  }


def converted():
  """Parameters of our net from transformers' weights."""
  weights = load_file(golden.FOLDER / OPTIONS["weights"])
  convs, encoder = "wav2vec2.feature_extractor.conv_layers.", "wav2vec2.encoder."
  position = f"{encoder}pos_conv_embed.conv."
  local = {
    f"conv{i}": {"kernel": weights[f"{convs}{i}.conv.weight"].T}
    for i in range(len(OPTIONS["conv_dim"]))
  }
  original = f"{position}parametrizations.weight.original"
  context = {
    "position": {
      "direction": weights[f"{original}1"].T,
      "scale": weights[f"{original}0"].ravel(),
      "bias": weights[f"{position}bias"],
    },
    "norm": layer(weights, f"{encoder}layer_norm"),
    **{
      f"blocks_{i}": block(weights, f"{encoder}layers.{i}")
      for i in range(OPTIONS["layers"])
    },
  }
  book = weights["quantizer.codevectors"].reshape(
    OPTIONS["groups"], OPTIONS["codes_per_group"], -1
  )
  return {
    "encoder": {
      "local": {**local, "norm0": layer(weights, f"{convs}0.layer_norm")},
      "context": context,
      "norm": layer(weights, "wav2vec2.feature_projection.layer_norm"),
      "inward": layer(weights, "wav2vec2.feature_projection.projection"),
      "mask_vector": weights["wav2vec2.masked_spec_embed"],
    },
    "quantizer": {"Dense_0": layer(weights, "quantizer.weight_proj"), "book": book},
    "project_context": layer(weights, "project_hid"),
    "project_codes": layer(weights, "project_q"),
  }


def test_wav2vec2_is_transformers():
  made, x = net(), GOLDEN.inputs
  waves = models.MaskedWave(jnp.asarray(x["waveform"]), jnp.asarray(x["mask"]))
  variables = {"params": converted()}

  @jax.jit
  def run(variables, waves):
    guess = made.apply(variables, waves, temperature=1.0, train=False)
    look = lambda net: net.encoder.look(waves, train=False).context
    conv = lambda net: net.encoder.local(waves.wave, train=False)
    context, frames = (nn.apply(f, made)(variables) for f in (look, conv))
    return guess, context, frames

  guess, context, frames = run(variables, waves)
  first = np.arange(len(x["mask"]))[:, None, None] * x["mask"].shape[1]
  places = np.where(x["mask"][..., None], x["negative_indices"] - first, 0)
  rows = losses.wav2vec2_contrastive(
    guess.predicted,
    guess.quantised,
    places.astype(np.int32),
    temperature=OPTIONS["temperature"],
  )
  codes = jax.nn.one_hot(jnp.argmax(guess.logits, axis=-1), guess.logits.shape[-1])
  usage = jnp.sum(jnp.where(x["mask"][..., None, None], codes, 0.0), axis=1)
  got = {
    "conv_features": frames,
    "last_hidden_state": context,
    "projected_states": guess.predicted,
    "projected_quantized_states": guess.quantised,
    "contrastive_loss": jnp.sum(jnp.where(x["mask"], rows, 0.0)),
    "diversity_loss": losses.wav2vec2_diversity(usage) * float(x["mask"].sum()),
  }
  for name, value in got.items():
    atol, rtol = GOLDEN.tolerance[name]
    expected = GOLDEN.outputs[name]
    np.testing.assert_allclose(value, expected, atol=atol, rtol=rtol, err_msg=name)


LOCAL = partial(models.WaveEncoder, (4, 8), kernels=(4, 4), strides=(4, 2))
CONTEXT = partial(models.FrameTransformer, 8, depth=1, heads=2, kernel=4, groups=2)


def test_frames_are_as_many_as_said():
  for padding in (None, (1, 2)):
    encoder = LOCAL(padding=padding)
    shapes = jax.eval_shape(
      lambda e=encoder: e.init_with_output(
        jax.random.key(0), jnp.zeros((2, 61)), train=True
      )[0]
    )
    assert shapes.shape == (2, encoder.frames(61), 8)
  assert models.WaveEncoder().frames(16_000) == 49  # as in the paper's code


def test_padding_changes_no_feature():
  """Zeros at the end are not attended to, and don't count in the mean."""
  local = LOCAL(first_norm=None, kernels=(4, 2))  # frames that don't overlap
  encoder = models.SpeechEncoder(local, CONTEXT())
  wave = jax.random.uniform(jax.random.key(1), (2, 64), minval=-1.0)
  longer = jnp.pad(wave, ((0, 0), (0, 64)))
  run = jax.jit(partial(encoder.apply, train=False))
  params = jax.jit(partial(encoder.init, train=False))(jax.random.key(0), wave)
  short, long = (run(params, x) for x in (wave, longer))
  changed = longer.at[0, -1].set(0.1)  # what is no padding counts
  np.testing.assert_allclose(short, long, atol=1e-5)
  assert np.abs(run(params, changed)[0] - long[0]).max() > 1e-3


def test_own_frames_are_those_before_the_zeros_at_the_end():
  wave = jnp.ones((3, 80)).at[1, 41:].set(0.0).at[2].set(0.0).at[0, :40].set(0.0)
  own = models.own_frames(wave, 8)
  np.testing.assert_array_equal(own.sum(axis=1), [8, 5, 1])
  frames = jnp.arange(24.0).reshape(3, 8, 1)
  np.testing.assert_allclose(models.mean_of_own(frames, own)[1], [10.0])


def test_the_context_of_cpc_sees_no_frame_ahead():
  context = models.Recurrent(8, nn.GRUCell)
  encoder = models.CPCEncoder(LOCAL(first_norm=models.LayerNorm), context)
  wave = jax.random.uniform(jax.random.key(1), (1, 84), minval=-1.0)
  params = jax.jit(partial(encoder.init, train=True))(jax.random.key(0), wave)
  run = jax.jit(partial(encoder.apply, train=False, method="look"))
  seen, later = (run(params, x).context for x in (wave, wave.at[0, 44:].set(0.5)))
  same = np.abs(seen - later).max(axis=(0, 2)) < 1e-6
  assert same[:4].all() and not same[6:].any()


def test_transformer_predictions_see_no_frame_ahead():
  heads = models.StepTransformers(2, width=4, heads=2)
  x = jax.random.normal(jax.random.key(1), (1, 6, 8))
  params = jax.jit(partial(heads.init, train=False))(jax.random.key(0), x)
  run = jax.jit(partial(heads.apply, train=False))
  a, b = run(params, x), run(params, x.at[0, 3:].set(0.0))
  assert a.shape == (1, 6, 2, 4)
  np.testing.assert_allclose(a[:, :3], b[:, :3], atol=1e-6)
  assert np.abs(a[:, 3:] - b[:, 3:]).max() > 1e-3


@pytest.mark.slow
def test_the_gradient_to_the_convolutions_is_slowed_down():
  wave = jax.random.uniform(jax.random.key(1), (1, 64), minval=-1.0)

  def gradient(slowdown):
    encoder = models.SpeechEncoder(LOCAL(), CONTEXT(), slowdown=slowdown)
    params = jax.jit(partial(encoder.init, train=False))(jax.random.key(0), wave)
    loss = lambda p: jnp.sum(jnp.sin(encoder.apply(p, wave, train=False)))
    return jax.jit(jax.grad(loss))(params)["params"]

  whole, tenth = gradient(1.0), gradient(0.1)
  for name, factor in (("local", 0.1), ("inward", 1.0)):
    a, b = (jax.tree.leaves(tree[name])[0] for tree in (whole, tenth))
    np.testing.assert_allclose(b, factor * a, rtol=1e-3, atol=1e-7)


def test_bad_waves_and_nets_are_refused():
  run = lambda encoder, x: jax.eval_shape(
    lambda: encoder.init(jax.random.key(0), x, train=False)
  )
  with pytest.raises(InputError, match="too short for one frame"):
    run(LOCAL(), jnp.zeros((2, 7)))
  with pytest.raises(InputError, match=r"floats \[batch, samples\]"):
    run(LOCAL(), jnp.zeros((2, 80), jnp.int16))
  with pytest.raises(InputError, match="2, 3, 2, 2"):
    run(LOCAL(kernels=(4, 4, 4)), jnp.zeros((2, 80)))
  masked = models.MaskedWave(jnp.zeros((2, 80)), jnp.zeros((2, 3), bool))
  with pytest.raises(InputError, match="one entry per frame"):
    run(models.SpeechEncoder(LOCAL(), CONTEXT()), masked)


@pytest.mark.parametrize("groups", [3, 0, -1])
def test_groups_that_do_not_divide_are_refused(groups):
  x = jnp.zeros((1, 2, 8))
  with pytest.raises(InputError, match="share a width"):
    quantizer = models.ProductQuantizer(groups, codes=4, width=8)
    quantizer.init(jax.random.key(0), x, temperature=1.0, train=False)
  with pytest.raises(InputError, match=f"8 channels do not split into {groups} groups"):
    PositionConv(groups=groups).init(jax.random.key(0), x)
