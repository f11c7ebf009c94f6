"""Losses of methods on waveforms: CPC, wav2vec 2.0 and HuBERT, one value a frame."""

import chex
import jax
import jax.numpy as jnp
import optax

from jaxssl.errors import InputError
from jaxssl.losses._checks import check_positive
from jaxssl.ops.numerics import l2_normalize

Temperature = float | jax.Array


def cpc_audio(
  prediction: jax.Array, positive: jax.Array, negatives: jax.Array
) -> jax.Array:
  """InfoNCE of CPC for audio, on given logits' parts; see `cpc_audio_logits`.

  Van den Oord et al., arXiv 1807.03748, eq. 4. The official code sums the means over
  frames of all steps.

  Args:
    prediction: of the frames 1 ... steps ahead, [batch, frames, steps, dim].
    positive: the frames that are there, the same shape.
    negatives: [batch, frames, negatives, dim], the same ones for all steps.

  Returns:
    float32 [batch, frames, steps].
  """
  return _first_of(cpc_audio_logits(prediction, positive, negatives))


def cpc_audio_logits(
  prediction: jax.Array, positive: jax.Array, negatives: jax.Array
) -> jax.Array:
  """Scores of CPC for audio: the mean over channels of the product, positive first.

  Args:
    prediction: as in `cpc_audio`.
    positive: as in `cpc_audio`.
    negatives: as in `cpc_audio`.

  Returns:
    float32 [batch, frames, steps, 1 + negatives].
  """
  _check_rank(4, prediction=prediction, positive=positive, negatives=negatives)
  chex.assert_equal_shape([prediction, positive], exception_type=InputError)
  parts = (x.astype(jnp.float32) for x in (prediction, positive, negatives))
  prediction, positive, negatives = parts
  own = jnp.sum(prediction * positive, axis=-1, keepdims=True)
  others = jnp.einsum("btkd,btnd->btkn", prediction, negatives)
  return jnp.concatenate([own, others], axis=-1) / prediction.shape[-1]


def wav2vec2_contrastive(
  predicted: jax.Array,
  quantised: jax.Array,
  negatives: jax.Array,
  *,
  temperature: Temperature,
) -> jax.Array:
  """Contrastive loss of wav2vec 2.0: which code belongs in a masked frame.

  Baevski et al., arXiv 2006.11477, eq. 3. The paper's loss is the mean over masked
  frames, which are also those that negatives come from.

  Args:
    predicted: [batch, frames, dim], from the context.
    quantised: [batch, frames, dim], projected codes.
    negatives: int [batch, frames, count], for each frame the places of others of the
      same example.
    temperature: divides the cosines, above 0.

  Returns:
    float32 [batch, frames].
  """
  return _first_of(
    wav2vec2_logits(predicted, quantised, negatives, temperature=temperature)
  )


def wav2vec2_logits(
  predicted: jax.Array,
  quantised: jax.Array,
  negatives: jax.Array,
  *,
  temperature: Temperature,
) -> jax.Array:
  """Scores of `wav2vec2_contrastive`, the positive first.

  A negative that is the very code of the positive is -inf.

  Args:
    predicted: as there.
    quantised: as there.
    negatives: as there.
    temperature: as there.

  Returns:
    float32 [batch, frames, 1 + count].
  """
  _check_rank(3, predicted=predicted, quantised=quantised, negatives=negatives)
  chex.assert_equal_shape([predicted, quantised], exception_type=InputError)
  check_positive(temperature=temperature)
  query = l2_normalize(predicted.astype(jnp.float32))
  key = l2_normalize(quantised.astype(jnp.float32))
  cosines = jnp.einsum("bid,bjd->bij", query, key) / temperature
  same = jnp.all(quantised[:, :, None] == quantised[:, None, :], axis=-1)
  others = jnp.take_along_axis(jnp.where(same, -jnp.inf, cosines), negatives, axis=2)
  own = jnp.diagonal(cosines, axis1=1, axis2=2)[..., None]
  return jnp.concatenate([own, others], axis=-1)


def code_usage(logits: jax.Array, mask: jax.Array) -> jax.Array:
  """How much each code is used: the plain softmax, summed over masked frames.

  Args:
    logits: [batch, frames, groups, codes], without noise and temperature.
    mask: [batch, frames], 1 (or True) where a frame counts.

  Returns:
    float32 [batch, groups, codes]; what `wav2vec2_diversity` takes.
  """
  _check_rank(4, logits=logits)
  _check_rank(2, mask=mask)
  shares = jax.nn.softmax(logits.astype(jnp.float32))
  return jnp.einsum("btgv,bt->bgv", shares, mask.astype(jnp.float32))


def wav2vec2_diversity(usage: jax.Array) -> jax.Array:
  """Diversity loss of wav2vec 2.0: the share of the codes that is not used.

  Baevski et al., arXiv 2006.11477, eq. 4, in the form of the official code:
  `(groups * codes - perplexity) / (groups * codes)`. All rows meet in it.

  Args:
    usage: [batch, groups, codes] of `code_usage`.

  Returns:
    A scalar, 0 if all codes are used alike.
  """
  total = usage.shape[-1] * usage.shape[-2]
  return (total - code_perplexity(usage)) / total


def code_perplexity(usage: jax.Array) -> jax.Array:
  """Codes in use: exp of the entropy, summed over the groups.

  Args:
    usage: [batch, groups, codes], counts or sums of probabilities, not all 0.

  Returns:
    A scalar, `groups` to `groups * codes`.
  """
  _check_rank(3, usage=usage)
  usage = jnp.sum(usage.astype(jnp.float32), axis=0)
  share = usage / jnp.maximum(jnp.sum(usage, axis=-1, keepdims=True), 1e-12)
  entropy = -jnp.sum(share * jnp.log(share + 1e-7), axis=-1)
  return jnp.sum(jnp.exp(entropy))


def hubert(
  prediction: jax.Array,
  codes: jax.Array,
  labels: jax.Array,
  *,
  temperature: Temperature,
) -> jax.Array:
  """Cross-entropy of the cluster of each frame, by cosine with the clusters' codes.

  Hsu et al., arXiv 2106.07447, eq. 3; the paper's loss is the mean over masked frames.

  Args:
    prediction: [batch, frames, dim].
    codes: learned, [clusters, dim].
    labels: int [batch, frames].
    temperature: divides the cosines, above 0; 0.1 in the paper.

  Returns:
    float32 [batch, frames].
  """
  logits = hubert_logits(prediction, codes, temperature=temperature)
  return optax.softmax_cross_entropy_with_integer_labels(logits, labels)


def hubert_logits(
  prediction: jax.Array, codes: jax.Array, *, temperature: Temperature
) -> jax.Array:
  """Scores of `hubert`: [batch, frames, dim] and [clusters, dim] -> [..., clusters]."""
  _check_rank(3, prediction=prediction)
  _check_rank(2, codes=codes)
  check_positive(temperature=temperature)
  query = l2_normalize(prediction.astype(jnp.float32))
  key = l2_normalize(codes.astype(jnp.float32))
  return jnp.einsum("btd,cd->btc", query, key) / temperature


def _first_of(logits):
  labels = jnp.zeros(logits.shape[:-1], jnp.int32)
  return optax.softmax_cross_entropy_with_integer_labels(logits, labels)


def _check_rank(rank, **arrays):
  for name, array in arrays.items():
    chex.assert_rank(
      array,
      rank,
      custom_message=f"Pass `{name}` with {rank} axes, rows first",
      exception_type=InputError,
    )
