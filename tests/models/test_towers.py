"""The two towers of CLIP against transformers' model."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import load_file

from jaxssl import models
from jaxssl.ops import l2_normalize
from tests import golden
from tests.models.weights import dense, joined, norm

NORMS = {"layer_norm1": "norm1", "layer_norm2": "norm2"}
DENSE = {"mlp.fc1": "dense1", "mlp.fc2": "dense2"}


def blocks(weights, tower, *, depth):
  """The blocks of a tower; both have the same names."""
  return {
    f"blocks_{i}": block(weights, f"{tower}_model.encoder.layers.{i}.")
    for i in range(depth)
  }


def block(weights, name):
  parts = [dense(weights, f"{name}self_attn.{x}_proj") for x in "qkv"]
  out = dense(weights, f"{name}self_attn.out_proj")
  return {
    "attention": {"qkv": joined(*parts), "out": out},
    **{ours: norm(weights, name + theirs) for theirs, ours in NORMS.items()},
    **{ours: dense(weights, name + theirs) for theirs, ours in DENSE.items()},
  }


def image_params(weights):
  embed = "vision_model.embeddings."
  kernel = weights[f"{embed}patch_embedding.weight"]
  first, table = np.split(weights[f"{embed}position_embedding.weight"], [1])
  flat = kernel.transpose(2, 3, 1, 0).reshape(-1, kernel.shape[0])
  return {
    "patch_embed": {"dense": {"kernel": flat}},
    "token": weights[f"{embed}class_embedding"][None, None],
    "position": {"class_token": first, "table": table.reshape(4, 4, -1)},
    "norm_first": norm(weights, "vision_model.pre_layrnorm"),
    "norm": norm(weights, "vision_model.post_layernorm"),
    **blocks(weights, "vision", depth=2),
  }


def text_params(weights):
  table = lambda name: weights[f"text_model.embeddings.{name}_embedding.weight"]
  return {
    "token": {"embedding": table("token")},
    "position": {"embedding": table("position")},
    "norm": norm(weights, "text_model.final_layer_norm"),
    **blocks(weights, "text", depth=2),
  }


def two_towers():
  """CLIP's own towers in small: a ViT normalised first, quick GELU, the end token."""
  image = models.ViT(
    48,
    2,
    3,
    patch=8,
    positions=partial(models.LearnedPositions, grid=(4, 4)),
    patch_embed=partial(models.PatchEmbed, use_bias=False),
    first_norm=True,
    mlp=partial(models.Mlp, activation=models.quick_gelu),
  )
  text = models.Transformer(
    40,
    48,
    2,
    3,
    length=16,
    causal=True,
    padding=None,
    pool=partial(models.end_pool, end=39),
    activation=models.quick_gelu,
  )
  return models.TwoTowers(image, models.TextTower(text, 16))


def test_the_towers_agree_with_transformers():
  (case,) = golden.load("hf_clip")
  weights = load_file(golden.FOLDER / "hf_clip.safetensors")
  project = lambda name: {"kernel": weights[f"{name}_projection.weight"].T}
  text = {"encoder": text_params(weights), "projection": project("text")}
  params = {
    "encoder": image_params(weights),
    "projection": project("visual"),
    "text": text,
    "log_scale": weights["logit_scale"],
  }
  call = lambda method, x: jax.jit(
    partial(two_towers().apply, train=False, method=method)
  )({"params": params}, x)
  images = l2_normalize(call("encode_image", case.inputs["images"])[1])
  ids = jnp.asarray(case.inputs["input_ids"].astype(np.int32))
  texts = l2_normalize(call("encode_text", ids))
  got = {
    "image_embeds": images,
    "text_embeds": texts,
    "logits_per_image": np.exp(params["log_scale"]) * images @ texts.T,
  }
  for name, value in got.items():
    atol, rtol = case.tolerance[name]
    np.testing.assert_allclose(
      value, case.outputs[name], atol=atol, rtol=rtol, err_msg=name
    )
