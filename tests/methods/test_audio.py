"""COLA, Audio-MAE and Mockingjay: their losses, features and pictures."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl import augment, losses, models, ops
from jaxssl.errors import InputError
from jaxssl.methods import cola, cola_cosine, masked_spectrogram, mockingjay
from jaxssl.methods.masked_spectrogram import _mask_of
from tests import audio_cases

KEYS = jax.random.split(jax.random.key(3), 16)
BATCH = audio_cases.batch()


def started(method):
  return jax.jit(method.init)(jax.random.key(0), BATCH)


def loss_of(method, params, extra):
  def run(params, extra):
    outputs, after = method.forward(params, extra, BATCH, KEYS, 0)
    loss, (_, metrics) = method.objective(params, after, outputs, 0)
    return outputs, loss, metrics

  return jax.jit(run)(params, extra)


def test_cola_is_the_cross_entropy_of_bilinear_scores():
  method = audio_cases.make_cola("layer")
  params, extra = started(method)
  (anchor, positive), loss, _ = loss_of(method, params, extra)
  kernel = params["predictor"]["dense"]["kernel"]
  scores = anchor[1] @ kernel @ positive[1].T
  expected = -np.diag(jax.nn.log_softmax(scores, axis=1)).mean()
  assert float(loss) == pytest.approx(float(expected), rel=1e-4)


def test_cola_cosine_is_info_nce():
  method = audio_cases.make_cola_cosine("layer")
  params, extra = started(method)
  (anchor, positive), loss, _ = loss_of(method, params, extra)
  rows = losses.info_nce(anchor, positive, temperature=0.2)
  assert float(loss) == pytest.approx(float(rows.mean()), rel=1e-5)


def test_colas_features_do_not_hear_loudness():
  method = audio_cases.make_cola("layer")
  params, extra = started(method)
  quiet = {"input": 0.1 * BATCH["input"]}
  encode = jax.jit(method.encode)
  found = [encode(params, extra, {"input": b["input"]}) for b in (BATCH, quiet)]
  np.testing.assert_allclose(*found, rtol=1e-3, atol=1e-4)


def test_cola_needs_a_similarity():
  encoder = models.Spectral(models.ConvNet((4,), (2,)), audio_cases.FRONT)
  with pytest.raises(InputError, match=r"models\.Bilinear"):
    cola(models.Siamese(encoder, models.ColaHead(4)), augment.cola_views(samples=200))


def test_masked_spectrogram_starts_at_the_loss_of_nothing():
  """A standardised patch of n values has mean square (n - 1) / n."""
  method = audio_cases.make_masked_spectrogram()
  params, extra = started(method)
  out = params["decoder"]["out"]
  params["decoder"]["out"] = jax.tree.map(jnp.zeros_like, out)
  _, loss, metrics = loss_of(method, params, extra)
  assert 0.6 < loss < 15 / 16 + 1e-3  # silent patches have none
  assert float(metrics["target_patches"]) == 4.0


def test_pictures_of_masked_spectrograms():
  method = audio_cases.make_masked_spectrogram()
  params, extra = started(method)
  (shown,) = jax.jit(method.show)(params, extra, BATCH, KEYS).values()
  assert shown.shape == (16, 3, 8, 16, 1)
  image = ops.as_pictures(audio_cases.FRONT_FILLED(BATCH["input"]))
  np.testing.assert_allclose(shown[:, 0], image, atol=1e-5)
  hidden = np.asarray(shown[:, 1] == 0.5).mean()
  assert 0.45 < hidden < 0.6


def test_mockingjay_is_the_absolute_error_of_masked_frames():
  method = audio_cases.make_mockingjay()
  params, extra = started(method)
  head = params["head"]["dense2"]
  params["head"]["dense2"] = jax.tree.map(jnp.zeros_like, head)
  outputs, loss, _ = loss_of(method, params, extra)
  images = audio_cases.FRONT(BATCH["input"])[..., 0]
  assert float(outputs.count.max()) == float(outputs.count.min()) == 6.0
  sizes = np.abs(images).mean((1, 2))
  assert sizes.min() * 0.5 < loss < sizes.max() * 2.0


def test_mockingjay_shows_what_was_altered():
  method = audio_cases.make_mockingjay()
  params, extra = started(method)
  (shown,) = jax.jit(method.show)(params, extra, BATCH, KEYS).values()
  assert shown.shape == (16, 3, 8, 15, 1)
  altered = (np.asarray(shown[:, 0] != shown[:, 1])).any(axis=(1, 3)).sum(axis=1)
  assert set(altered) <= {*range(7)} and (altered >= 5).sum() >= 10


@pytest.mark.parametrize("name", ["cola", "masked_spectrogram", "mockingjay"])
def test_frames_of_waves(name):
  method = getattr(audio_cases, f"make_{name}")("layer")
  params, extra = started(method)
  encode = jax.jit(method.encode, static_argnames="patches")
  frames = encode(params, extra, BATCH, patches=True)
  assert frames.ndim == 3 and frames.shape[::2] == (16, 32)


HALF = BATCH["input"].at[:, 135:].set(0.0)  # 8 of 15 frames, 2 of 4 rows of patches
NETS = {
  "masked_spectrogram": (audio_cases.make_masked_spectrogram, 4, 8),
  "mockingjay": (audio_cases.make_mockingjay, 8, 15),
}


@pytest.mark.parametrize("name", NETS)
def test_features_are_means_over_what_was_recorded(name):
  make, half, whole = NETS[name]
  method = make()
  params, extra = started(method)
  encode = jax.jit(method.encode, static_argnames="patches")
  for wave, own in ((HALF, half), (BATCH["input"], whole)):
    batch = {"input": wave}
    parts = encode(params, extra, batch, patches=True)
    assert parts.shape[1] == whole
    mean = parts[:, :own].mean(axis=1)
    np.testing.assert_allclose(encode(params, extra, batch), mean, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
  ("name", "count"), [("masked_spectrogram", 2), ("mockingjay", 3)]
)
def test_padding_is_not_asked_for(name, count):
  """The count is a share of what was recorded; silence alone has a finite loss."""
  method = NETS[name][0]()
  params, extra = started(method)

  @jax.jit
  def run(wave):
    outputs, _ = method.forward(params, extra, {"input": wave}, KEYS, 0)
    return outputs.count, method.objective(params, extra, outputs, 0)[0]

  found, loss = run(HALF)
  np.testing.assert_array_equal(found, count)
  assert np.isfinite(loss) and np.isfinite(run(jnp.zeros_like(HALF))[1])


@pytest.mark.parametrize("ratio", [0.5, 0.8])
def test_masks_of_whole_recordings_are_random_masks(ratio):
  plain = lambda key: augment.random_mask(key, grid=(4, 2), ratio=ratio)
  own = lambda key, there: _mask_of(key, jnp.arange(8) < there, ratio=ratio)
  whole = jax.vmap(own, (0, None))(KEYS, 8)
  np.testing.assert_array_equal(whole, jax.vmap(plain)(KEYS))
  for there in range(8):
    mask = np.asarray(jax.vmap(own, (0, None))(KEYS, there))
    assert (mask.sum(1) == whole[0].sum()).all()  # the encoder's tokens are as many
    masked = max(0, min(there - 1, int(np.ceil(ratio * there))))
    np.testing.assert_array_equal(mask[:, :there].sum(1), masked)


def test_bad_shares():
  net = models.FrameTeller(models.FrameEncoder(8, 1, 2), models.FrameHead(8))
  with pytest.raises(InputError, match="share"):
    mockingjay(net, audio_cases.keep, audio_cases.FRONT, share=1.0)
  encoder = models.ViT(width=8, depth=1, heads=2, patch=4)
  mae = models.MAE(encoder, models.MAEDecoder(8, 1, 2))
  with pytest.raises(InputError, match="ratio"):
    masked_spectrogram(mae, audio_cases.keep, audio_cases.FRONT, ratio=0.0)


def test_spectrograms_must_split_into_patches():
  encoder = models.ViT(width=8, depth=1, heads=2, patch=4)
  mae = models.MAE(encoder, models.MAEDecoder(8, 1, 2))
  method = masked_spectrogram(mae, audio_cases.keep, audio_cases.FRONT)
  with pytest.raises(InputError, match="do not split into patches"):
    method.init(jax.random.key(0), BATCH)


def test_cosine_takes_a_temperature():
  encoder = models.Spectral(models.ConvNet((4,), (2,)), audio_cases.FRONT)
  net = models.Siamese(encoder, models.ColaHead(4))
  method = cola_cosine(net, augment.cola_views(samples=200), temperature=0.0)
  params, extra = started(method)
  with pytest.raises(InputError, match="temperature"):
    loss_of(method, params, extra)
