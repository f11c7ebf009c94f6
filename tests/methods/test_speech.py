"""CPC, wav2vec 2.0 and HuBERT: what only they have beside the contracts."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl import core, methods, models
from jaxssl.errors import InputError
from jaxssl.methods.cpc_audio import draw_frames
from jaxssl.methods.hubert import nearest_frames
from tests import cases, speech_cases

BATCH = speech_cases.batch()


def first_state(method, batch=BATCH):
  init = partial(core.init_state, method, cases.optimiser())
  return jax.jit(init)(jax.random.key(0), batch)


@pytest.fixture(scope="module")
def hubert():
  method = speech_cases.make_hubert()
  return method, first_state(method)


def batches():
  """The data set of the toy HuBERT in order, two batches of 16."""
  for seed in (5, 6):
    yield speech_cases.batch(seed), np.ones(16, bool)


def describe(state):
  return jax.tree.map(lambda x: (x.shape, x.dtype), state)


@pytest.mark.slow
def test_hubert_clusters_sounds_first_and_features_later(hubert):
  method, state = hubert
  first = method.refresh(state, batches(), jax.random.key(1))
  assert describe(first) == describe(state)
  assert int(first.extra.round) == 1
  assert not np.array_equal(first.params["codes"], state.params["codes"])
  waves = np.concatenate([batch["input"] for batch, _ in batches()])
  pieces = nearest_frames(speech_cases.pieces(waves), speech_cases.FRAMES)
  assert_clusters_are_tight(pieces, first.extra.labels)
  between = first._replace(step=first.step + 3)  # an epoch that clusters nothing
  assert method.refresh(between, batches(), jax.random.key(2)) is between
  later = first._replace(step=first.step + 4)
  second = method.refresh(later, batches(), jax.random.key(2))
  assert describe(second) == describe(state) and int(second.extra.round) == 2
  assert not np.array_equal(second.extra.labels, first.extra.labels)
  frames = method.encode(
    state.params, state.extra, {"input": jnp.asarray(waves)}, patches=True
  )
  assert_clusters_are_tight(frames, second.extra.labels)


def assert_clusters_are_tight(frames, labels):
  """Labels explain more of the frames than shuffled ones do."""
  rows = np.asarray(frames).reshape(-1, frames.shape[-1])
  labels = np.asarray(labels).ravel()
  shuffled = np.random.default_rng(0).permutation(labels)
  spread = lambda y: sum(
    np.square(rows[y == c] - rows[y == c].mean(0)).sum() for c in set(y)
  )
  assert spread(labels) < 0.8 * spread(shuffled)


def test_hubert_gives_padding_no_cluster_of_its_own(hubert):
  method, state = hubert
  quiet = [
    ({**b, "input": b["input"].at[:, 64:].set(0.0)}, mask) for b, mask in batches()
  ]
  made = method.refresh(state, iter(quiet), jax.random.key(1))
  labels = np.asarray(made.extra.labels)
  assert (labels[:, 8:] == 0).all()
  assert len(set(labels[:, :8].ravel())) == 4


def test_nearest_frames_are_in_the_middle():
  x = jnp.arange(12.0).reshape(1, 12, 1)
  np.testing.assert_array_equal(nearest_frames(x, 4)[0, :, 0], [1, 4, 7, 10])
  np.testing.assert_array_equal(nearest_frames(x, 12)[0, :, 0], x[0, :, 0])


def test_cpc_negatives_are_of_any_row_and_of_no_frame_at_the_same_time():
  drawn = draw_frames(jax.random.key(0), (4, 6), frames=5, count=400)
  row, time = map(np.asarray, drawn)
  assert row.shape == time.shape == (4, 5, 400)
  assert set(time.ravel()) == set(range(6))
  assert (time != np.arange(5)[None, :, None]).all()
  np.testing.assert_allclose(np.bincount(row.ravel()) / row.size, 0.25, atol=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["wav2vec2", "hubert", "cpc_audio"])
def test_padded_frames_are_not_asked_for(name):
  """The loss of half a recording counts half the frames, and stays finite for none."""
  method = getattr(speech_cases, f"make_{name}")("layer")
  state = first_state(method)

  @jax.jit
  def outputs(wave):
    keys = core.row_keys(state, 16)
    batch = {**BATCH, "input": wave}
    made, _ = method.forward(state.params, state.extra, batch, keys, state.step)
    loss, _ = method.objective(state.params, state.extra, made, state.step)
    return made, loss

  whole, _ = outputs(BATCH["input"])
  half, loss = outputs(BATCH["input"].at[:, 64:].set(0.0))
  count = (lambda made: made.own) if name == "cpc_audio" else (lambda made: made.count)
  share = np.sum(count(half)) / np.sum(count(whole))
  assert 0.3 < share < 0.7 and np.isfinite(loss)
  assert np.isfinite(outputs(jnp.zeros_like(BATCH["input"]))[1])


def test_no_negative_of_cpc_is_padded():
  """What padded frames hold changes neither the loss nor its gradient."""
  method = speech_cases.make_cpc_audio("layer")
  state = first_state(method)

  @jax.jit
  def loss_of(params, wave, garbage):
    keys, batch = core.row_keys(state, 16), {**BATCH, "input": wave}
    made, _ = method.forward(params, state.extra, batch, keys, state.step)
    frames = jnp.where(made.own[..., None], made.frames, garbage)
    made = made._replace(frames=frames)
    return method.objective(params, state.extra, made, state.step)[0]

  half = BATCH["input"].at[:, 64:].set(0.0)
  for wave in (half, jnp.zeros_like(half)):
    quiet, loud = (jax.value_and_grad(loss_of)(state.params, wave, x) for x in (0, 9))
    jax.tree.map(np.testing.assert_array_equal, quiet, loud)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(quiet))


def test_wav2vec2_draws_codes_by_a_temperature_of_the_step():
  asked = []

  def temperature(step):
    asked.append(step)
    return 1.0

  net = models.Wav2Vec2(
    speech_cases.encoder(), models.ProductQuantizer(2, codes=4, width=8), out=8
  )
  method = methods.wav2vec2(
    net,
    speech_cases.whole,
    mask=speech_cases.SPANS,
    gumbel_temperature=temperature,
    negatives=5,
  )
  init = partial(core.init_state, method, cases.optimiser())
  state = jax.eval_shape(init, jax.random.key(0), BATCH)
  step = partial(core.train_step, method, cases.optimiser())
  _, metrics = jax.eval_shape(step, state, BATCH)
  assert len(asked) == 1 and asked[0].dtype == jnp.int32
  assert {"code_perplexity", "softmax_perplexity", "accuracy"} <= set(metrics)


def test_settings_that_cannot_be_are_refused():
  net, options = speech_cases.hubert_net(), {"mask": speech_cases.SPANS}
  make = partial(methods.hubert, net, acoustic=speech_cases.pieces, **options)
  with pytest.raises(InputError, match="rising steps"):
    make(examples=32, clusters=4, again=(5, 3))
  with pytest.raises(InputError, match="clusters"):
    jax.eval_shape(make(examples=1, clusters=100).init, jax.random.key(0), BATCH)
  for layers in (0, 3):
    with pytest.raises(InputError, match=f"layers is {layers}; .* 1 to 2"):
      make(examples=32, clusters=4, layers=layers)
  short = {**BATCH, "input": BATCH["input"][:, :24]}
  with pytest.raises(InputError, match="too few to predict 3 ahead"):
    first_state(speech_cases.make_cpc_audio("layer"), short)
  encoder = models.CPCEncoder(speech_cases.local(), models.Recurrent(32))
  wide = models.StepPredictions(3, 17)
  with pytest.raises(InputError, match="width=16"):
    first_state(methods.cpc_audio(encoder, wide, speech_cases.whole))
  with pytest.raises(InputError, match="negatives=0"):
    methods.cpc_audio(encoder, wide, speech_cases.whole, negatives=0)
  none = models.StepPredictions(0, 16)
  with pytest.raises(InputError, match="steps=0"):
    methods.cpc_audio(encoder, none, speech_cases.whole)
  with pytest.raises(InputError, match="one entry per frame"):
    first_state(speech_cases.make_wav2vec2(), short)
