"""Methods of video: what they ask, what leaks, what they show, bad input."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl import losses, methods, models
from jaxssl.errors import InputError
from jaxssl.methods.frame_order import ask_order, ask_tuple, frame_orders
from jaxssl.methods.future_frame import strips
from jaxssl.methods.tcn import neighbours
from tests import video_cases as toys


def whole(key, clip):
  """The clip as it is."""
  del key
  return (clip,)


def numbered(rows=2, frames=8):
  """Clips whose frames are brighter one after the other."""
  time = jnp.arange(frames, dtype=jnp.float32)[None, :, None, None, None]
  return jnp.broadcast_to(time / 10, (rows, frames, 8, 8, 1))


class Fixed(nn.Module):
  """A net that makes what its function makes of the inputs."""

  make: callable
  encoder: nn.Module = toys.ClipEncoder("layer")

  def __call__(self, x, *, train, keys=None):
    """What `make` makes; the encoder is called so that it has parameters."""
    self.encoder(x, train=train)
    return self.make(x)


def outputs_of(method, clips):
  """Forward and objective from the first state."""

  def run(key):
    batch, keys = {"input": clips}, jax.random.split(key, len(clips))
    params, extra = method.init(key, batch)
    outputs, extra = method.forward(params, extra, batch, keys, jnp.int32(0))
    loss, (_, metrics) = method.objective(params, extra, outputs, jnp.int32(0))
    return outputs, loss, metrics

  return jax.jit(run)(jax.random.key(0))


def test_future_frames_are_compared_with_the_last_frames():
  seen = []

  def repeat_last(past):
    seen.append(past.shape)
    return jnp.repeat(past[:, -1:], 2, axis=1)

  net, clips = Fixed(repeat_last), numbered()
  _, loss, metrics = outputs_of(methods.future_frame(net, whole, future=2), clips)
  expected = 64 * (0.1**2 + 0.2**2)
  assert set(seen) == {(2, 6, 8, 8, 1)}
  np.testing.assert_allclose(loss, expected, rtol=1e-4)
  np.testing.assert_allclose(metrics["frame_error"], expected / 2, rtol=1e-4)
  np.testing.assert_allclose(metrics["still_error"], expected / 2, rtol=1e-4)
  sharp = methods.future_frame(
    net, whole, future=2, error=losses.absolute_error, gradient_weight=3.0
  )
  np.testing.assert_allclose(outputs_of(sharp, clips)[1], 64 * 0.3, rtol=1e-4)


def test_pictures_of_a_short_past_have_grey_before_it():
  past, frames = jnp.ones((1, 1, 4, 4, 1)), jnp.zeros((1, 3, 4, 4, 1))
  drawn = strips(past, frames, frames + 2.0)
  assert drawn.shape == (1, 3, 4, 3 * 4 + 2, 1)
  assert float(drawn[0, 0, 0, 0, 0]) == 0.5
  assert float(drawn[0, 0, 0, -1, 0]) == 1.0
  assert float(drawn[0, 2].max()) == 1.0


def test_tuples_in_order_are_monotonic_and_others_are_not():
  clip = numbered()[0]
  ask = lambda key: ask_tuple(key, clip, span=8, positives=0.25, threshold=1e-4)
  asked = jax.jit(jax.vmap(ask))(jax.random.split(jax.random.key(0), 400))
  time = np.asarray(asked.frames[:, :, 0, 0, 0])
  steps = np.sign(np.diff(time, axis=1))
  np.testing.assert_array_equal(steps[:, 0] == steps[:, 1], asked.label == 1)
  assert 0.17 < float(asked.label.mean()) < 0.33
  assert float(asked.counts.min()) == 1.0
  rising = (time[asked.label == 1][:, 0] < time[asked.label == 1][:, 1]).mean()
  assert 0.3 < rising < 0.7  # (b, c, d) and (d, c, b)


def test_what_does_not_move_is_not_asked():
  still = jnp.ones((8, 8, 8, 1))
  key = jax.random.key(0)
  orders = frame_orders(3, reversible=True)

  @jax.jit
  def counts(key):
    in_order = ask_tuple(key, still, span=8, positives=0.5, threshold=1e-4)
    sorting = ask_order(key, still, orders=orders, span=8, threshold=1e-5)
    return in_order.counts, sorting.counts

  assert [float(x) for x in counts(key)] == [0.0, 0.0]
  net = Fixed(lambda x: jnp.zeros((len(x), 2)))
  method = methods.shuffle_and_learn(net, whole, span=8)
  _, loss, metrics = outputs_of(method, jnp.stack([numbered()[0], still]))
  np.testing.assert_allclose(loss, np.log(2), rtol=1e-5)
  assert float(metrics["asked"]) == 0.5


@pytest.mark.parametrize("reversible", [True, False])
def test_the_class_is_the_order_of_the_frames(reversible):
  clip, orders = numbered()[0], frame_orders(4, reversible=reversible)
  assert len(orders) == (12 if reversible else 24)
  ask = lambda key: ask_order(key, clip, orders=orders, span=6, threshold=1e-5)
  asked = jax.jit(jax.vmap(ask))(jax.random.split(jax.random.key(0), 200))
  rank = np.argsort(np.argsort(asked.frames[:, :, 0, 0, 0], axis=1), axis=1)
  expected = orders[np.asarray(asked.label)]
  same = (rank == expected).all(1)
  backwards = (rank == expected[:, ::-1]).all(1)
  if reversible:
    assert (same | backwards).all()
    assert 0.3 < same.mean() < 0.7
  else:
    assert same.all()
  assert len(np.unique(asked.label)) == len(orders)


def test_neighbours_in_time_are_near_and_not_themselves():
  draw = lambda key: neighbours(key, 5, pairs=4, reach=4)
  drawn = np.asarray(jax.jit(jax.vmap(draw))(jax.random.split(jax.random.key(0), 200)))
  apart = np.abs(drawn[:, :4] - drawn[:, 4:])
  assert drawn.min() == 0
  assert drawn.max() == 4
  assert set(apart.ravel().tolist()) == {1, 2, 3, 4}
  with pytest.raises(InputError, match="smaller positive_range"):
    neighbours(jax.random.key(0), 4, pairs=1, reach=4)


def watched():
  """A contrast that keeps the relations it is given."""
  kept = []

  def loss(z, positive, negative):
    jax.debug.callback(lambda *values: kept.append(values), z, positive, negative)
    return jnp.mean(z) * 0.0

  return loss, kept


def test_relations_of_one_camera():
  loss, kept = watched()
  net = Fixed(lambda x: x[..., 0, 0, :])
  ranges = {"positive_range": 2, "negative_range": 4}
  method = methods.tcn(net, whole, pairs=4, **ranges, contrast=loss)
  jax.block_until_ready(outputs_of(method, numbered()))
  jax.effects_barrier()
  z, positive, negative = map(np.asarray, kept[0])
  time, clip = np.rint(10 * z[:, 0]), np.repeat([0, 1], 8)
  apart, same = np.abs(time[:, None] - time), clip[:, None] == clip
  np.testing.assert_array_equal(positive, same & (apart > 0) & (apart <= 2))
  np.testing.assert_array_equal(negative, ~same | (apart > 4))
  assert positive.any(axis=1).all()


def test_relations_of_two_cameras():
  loss, kept = watched()
  net = Fixed(lambda x: x[..., 0, 0, :])
  views = lambda key, clip: (clip, clip + 0.01)
  method = methods.tcn_multi_view(net, views, moments=3, contrast=loss)
  jax.block_until_ready(outputs_of(method, numbered()))
  jax.effects_barrier()
  z, positive, negative = map(np.asarray, kept[0])
  time, clip = np.floor(10 * z[:, 0] + 0.05), np.repeat([0, 1], 6)
  same = (clip[:, None] == clip) & (time[:, None] == time)
  np.testing.assert_array_equal(negative, ~same)
  np.testing.assert_array_equal(positive, same & ~np.eye(12, dtype=bool))
  assert (positive.sum(1) == 1).all()


def test_videomae_of_the_truth_costs_nothing():
  clips = jax.random.uniform(jax.random.key(0), (2, 4, 8, 8, 1))

  class Knows(nn.Module):
    """Predicts what is hidden, by looking."""

    encoder: nn.Module

    def __call__(self, x, *, train, keys=None):
      """The targets."""
      self.encoder(x.image, train=train)
      return losses.cube_targets(x.image, (2, 4, 4), normalize=True)

  encoder = models.VideoViT(width=8, depth=1, heads=1, patch=(2, 4, 4))
  method = methods.videomae(Knows(encoder), whole, ratio=0.75)
  outputs, loss, _ = outputs_of(method, clips)
  np.testing.assert_allclose(loss, 0.0, atol=1e-9)
  np.testing.assert_array_equal(outputs.count, 6)
  batch, keys = {"input": clips}, jax.random.split(jax.random.key(3), 2)
  show = lambda key: method.show(*method.init(key, batch), batch, keys)
  (shown,) = jax.jit(show)(jax.random.key(0)).values()
  assert shown.shape == (2, 3, 4, 8, 8, 1)
  np.testing.assert_allclose(shown[:, 2], clips, atol=1e-5)
  hidden = np.asarray(shown[:, 1] == 0.5).reshape(2, 4, -1)
  assert (hidden == hidden[:, :1]).all()


SHOWN = {
  "future_frame": (2, 3, 8, 17, 1),
  "frame_order": (2, 3, 8, 26, 1),
  "tcn": (2, 2, 8, 8, 1),
  "videomae": (2, 3, 8, 8, 8, 1),
}


@pytest.mark.parametrize("name", SHOWN)
def test_what_is_shown(name):
  method = getattr(toys, f"make_{name}")("layer")
  batch, keys = toys.batch(rows=2), jax.random.split(jax.random.key(0), 2)

  def show(key):
    return method.show(*method.init(key, batch), batch, keys)

  (shape,) = jax.tree.leaves(
    jax.tree.map(lambda x: [x.shape], jax.eval_shape(show, jax.random.key(0))),
    is_leaf=lambda x: isinstance(x, tuple),
  )
  assert shape == SHOWN[name]


def test_options_out_of_range_say_what_to_pass():
  net = Fixed(lambda x: x)
  bad = (
    (methods.future_frame, {"future": 0}, "1 frame or more"),
    (methods.future_frame, {"future": 1, "gradient_weight": -1.0}, "weight of 0"),
    (methods.shuffle_and_learn, {"span": 4}, "5 frames or more"),
    (methods.frame_order, {"frames": 2, "span": 4}, "3 to 6"),
    (methods.frame_order, {"frames": 4, "span": 3}, "as many or more"),
    (methods.tcn_multi_view, {"moments": 0}, "1 or more"),
  )
  for method, options, message in bad:
    with pytest.raises(InputError, match=message):
      method(net, whole, **options)
  with pytest.raises(InputError, match="positive_range <= negative_range"):
    methods.tcn(net, whole, pairs=1, positive_range=3, negative_range=2)
  with pytest.raises(InputError, match="ratio"):
    methods.videomae(models.VideoMAE(models.VideoViT(8, 1, 1), None), whole, ratio=1.0)


def test_clips_that_do_not_fit_are_refused():
  logits = Fixed(lambda x: jnp.zeros((len(x), 5)))
  short = numbered(frames=3)
  refused = (
    (methods.future_frame(logits, whole, future=3), short, "no past"),
    (methods.future_frame(logits, whole, future=1), short, "change the decoder"),
    (methods.frame_order(logits, whole, frames=3, span=4), short, "window of 4"),
    (methods.frame_order(logits, whole, frames=3, span=3), short, "ends in 3"),
    (methods.tcn_multi_view(logits, whole, moments=1), short, "two clips"),
  )
  for method, clips, message in refused:
    with pytest.raises(InputError, match=message):
      outputs_of(method, clips)
