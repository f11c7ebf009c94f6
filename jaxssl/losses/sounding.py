"""Losses of a clip and its sound: are they of the same time?"""

import chex
import jax
import jax.numpy as jnp

from jaxssl.errors import InputError
from jaxssl.losses._checks import check_paired, check_positive
from jaxssl.ops.numerics import l2_normalize


def contrastive_margin(
  x: jax.Array, y: jax.Array, same: jax.Array, *, margin: float
) -> jax.Array:
  """Squared distance of what belongs together; what doesn't is pushed apart.

  Korbar et al. 2018, arXiv:1807.00230, equation 1 (Hadsell et al. 2006):
  `same * d^2 + (1 - same) * max(margin - d, 0)^2` with the Euclidean distance d.

  Args:
    x: [batch, dim].
    y: [batch, dim].
    same: bool [batch], whether row i of both belongs together.
    margin: distance from which others are left alone, above 0; 0.99 in the paper.

  Returns:
    One value per row, [batch].

  Raises:
    InputError: on other shapes, or a margin of 0 or less.
  """
  check_paired(x=x, y=y)
  chex.assert_shape(same, x.shape[:1], exception_type=InputError)
  check_positive(margin=margin)
  square = jnp.sum(jnp.square(x.astype(jnp.float32) - y.astype(jnp.float32)), axis=1)
  distance = jnp.sqrt(jnp.maximum(square, 1e-12))  # 0 has no gradient
  apart = jnp.square(jnp.maximum(margin - distance, 0.0))
  return jnp.where(same, square, apart)


def alignment_nce(
  video: jax.Array, audio: jax.Array, *, temperature: float
) -> jax.Array:
  """InfoNCE between clips and sounds, with sounds of other times as more negatives.

  Each clip finds its own sound among all sounds of the batch and its own shifted ones;
  each sound finds its clip among all clips. By cosine, in float32.

  Args:
    video: [batch, dim].
    audio: [batch, 1 + shifted, dim]; the first is the clip's own sound.
    temperature: divides the cosines, above 0.

  Returns:
    The mean of both directions, one value per row, [batch].

  Raises:
    InputError: on other shapes, or a temperature of 0 or less.
  """
  chex.assert_rank([video, audio], [2, 3], exception_type=InputError)
  check_paired(video=video, audio=audio[:, 0])
  check_positive(temperature=temperature)
  video = l2_normalize(video.astype(jnp.float32))
  audio = l2_normalize(audio.astype(jnp.float32))
  all_pairs = jnp.matmul(video, audio[:, 0].T, precision="highest") / temperature
  own = jnp.einsum("bd,bsd->bs", video, audio, precision="highest") / temperature
  hearing = jax.nn.logsumexp(jnp.concatenate([all_pairs, own[:, 1:]], axis=1), axis=1)
  seeing = jax.nn.logsumexp(all_pairs, axis=0)
  return (hearing + seeing) / 2 - own[:, 0]
