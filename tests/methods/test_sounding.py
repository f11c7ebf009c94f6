"""Alignment and cross-modal prediction: their losses from parts, what they show."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl import augment, losses, methods
from jaxssl.errors import InputError
from jaxssl.methods.alignment import accuracy
from jaxssl.models import Sounded
from tests import sounding_cases


def started(method):
  batch = sounding_cases.batch()
  params, extra = method.init(jax.random.key(0), batch)
  keys = jax.random.split(jax.random.key(1), 16)
  outputs, extra = method.forward(params, extra, batch, keys, jnp.int32(0))
  return batch, params, extra, keys, outputs


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_alignment_weighs_easy_and_hard_negatives(share):
  net = sounding_cases.net("layer", None)
  views = augment.window_views(frames=2, shifted=2)
  method = methods.alignment(net, views, hard=lambda step: share, margin=0.7)
  _, params, extra, _, out = started(method)
  loss, (_, metrics) = method.objective(params, extra, out, jnp.int32(0))
  compare = lambda y, same: losses.contrastive_margin(
    out.video, y, jnp.full(16, same), margin=0.7
  ).mean()
  easy = compare(out.audio[jnp.arange(-1, 15), 0], False)
  hard = (compare(out.audio[:, 1], False) + compare(out.audio[:, 2], False)) / 2
  expected = (compare(out.audio[:, 0], True) + (1 - share) * easy + share * hard) / 2
  np.testing.assert_allclose(loss, expected, rtol=1e-5)
  assert 0.0 <= float(metrics["pretext_accuracy"]) <= 1.0


def test_accuracy_is_of_the_own_sound_nearer():
  video = jnp.array([[0.0], [1.0]])
  audio = jnp.array([[[0.1], [0.2], [0.0]], [[1.0], [3.0], [2.0]]])
  apart = lambda v, a: jnp.abs(v[:, None] - a)[..., 0]
  assert float(accuracy(Sounded(video, audio), apart)) == pytest.approx(0.75)


@pytest.mark.slow
def test_info_nce_is_its_loss():
  method = sounding_cases.make_alignment_info_nce("layer")
  _, params, extra, _, out = started(method)
  loss, _ = method.objective(params, extra, out, jnp.int32(0))
  expected = losses.alignment_nce(out.video, out.audio, temperature=0.5).mean()
  np.testing.assert_allclose(loss, expected, rtol=1e-6)


def test_alignment_needs_shifted_sounds():
  net, views = sounding_cases.net("layer", None), augment.window_views(frames=2)
  with pytest.raises(InputError, match="needs shifted sounds"):
    started(methods.alignment_info_nce(net, views))


@pytest.mark.slow
def test_features_are_of_clip_and_sound():
  method = sounding_cases.make_alignment("layer")
  batch, params, extra, *_ = started(method)
  features = method.encode(params, extra, batch)
  silent = batch["input"]._replace(wave=jnp.zeros_like(batch["input"].wave))
  other = method.encode(params, extra, {"input": silent})
  np.testing.assert_allclose(features[:, :16], other[:, :16], atol=1e-6)
  assert float(jnp.abs(features[:, 16:] - other[:, 16:]).max()) > 0.01
  patches = method.encode(params, extra, batch, patches=True)
  assert patches.shape == (16, sounding_cases.FRAMES, 32)


@pytest.mark.slow
def test_cross_modal_shows_spectra_and_looks_at_no_sound():
  method = sounding_cases.make_cross_modal("layer")
  batch, params, extra, keys, errors = started(method)
  assert errors.shape == (16,)
  (shown,) = method.show(params, extra, batch, keys).values()
  assert shown.shape == (16, 2, 24, 2, 1)
  assert float(shown.min()) >= 0.0 and float(shown.max()) <= 1.0
  silent = batch["input"]._replace(wave=jnp.zeros_like(batch["input"].wave))
  encode = lambda inputs: method.encode(params, extra, {"input": inputs})
  np.testing.assert_array_equal(encode(batch["input"]), encode(silent))
