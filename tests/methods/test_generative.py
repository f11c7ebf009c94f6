"""Autoencoders, VAE, GAN and BiGAN against what the papers write, term by term."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl import core, losses, methods, models, optim, registry
from jaxssl.augment import many_views
from jaxssl.errors import InputError
from jaxssl.methods.bigan import output
from jaxssl.ops import linear
from tests import cases, generative_cases

AS_IT_IS = many_views(lambda key, image: image)
MAKE = {name: make for name, make, _ in generative_cases.ROWS}
GAMES = ("gan", "bigan")
PRIOR = models.uniform_prior(4)


@functools.cache
def method(name, norm="layer"):
  return MAKE[name](norm)


@functools.cache
def started(name, norm="layer"):
  """Parameters and state, the parameters moved away from their first symmetry."""
  made = method(name, norm)
  params, extra = jax.jit(made.init)(jax.random.key(0), cases.batch())
  return jax.tree.map(lambda x: x + 0.05, params), extra


def keys():
  return jax.random.split(jax.random.key(7), cases.BATCH)


def loss_of(made, params, extra, batch=None, step=0):
  batch = cases.batch() if batch is None else batch
  outputs, extra = made.forward(params, extra, batch, keys(), jnp.int32(step))
  return made.objective(params, extra, outputs, jnp.int32(step))


class Recorder(nn.Module):
  """An encoder that shows what it saw, as features."""

  @nn.compact
  def __call__(self, x, *, train, keys=None):
    return x.reshape(x.shape[0], -1)


class Grey(nn.Module):
  """A decoder that hands its code on as pixels, times a weight."""

  @nn.compact
  def __call__(self, z, *, train, keys=None):
    scale = self.param("scale", nn.initializers.ones, ())
    return (scale * z).reshape(-1, 8, 8, 1)


def recorded(**options):
  net = models.AutoEncoder(Recorder(), Grey())
  made = methods.denoising(net, AS_IT_IS, **options)
  return made, *made.init(jax.random.key(0), cases.batch())


# Autoencoders.


def test_the_target_of_denoising_is_clean():
  """A net that copies its input pays for what the corruption changed, and no more."""
  made, params, extra = recorded(corruption=lambda key, image: image - 0.25)
  loss, _ = loss_of(made, params, extra)
  np.testing.assert_allclose(loss, 64 * 0.25**2, rtol=1e-5)


def test_every_row_is_corrupted_by_its_own_key():
  noise = lambda key, image: 0.0 * image + jax.random.uniform(key)
  made, params, extra = recorded(corruption=noise)
  pictures = made.show(params, extra, cases.batch(), keys())
  corrupted = pictures["original | corrupted | rebuilt"][:, 1]
  assert len(np.unique(corrupted)) == cases.BATCH


def test_an_autoencoder_that_copies_has_no_loss():
  net = models.AutoEncoder(Recorder(), Grey())
  made = methods.autoencoder(net, AS_IT_IS)
  params, extra = made.init(jax.random.key(0), cases.batch())
  assert float(loss_of(made, params, extra)[0]) == 0.0
  doubled = jax.tree.map(lambda x: 2.0 * x, params)
  loss, _ = loss_of(made, doubled, extra)
  square = jnp.square(cases.batch()["input"]).sum((1, 2, 3))
  np.testing.assert_allclose(loss, square.mean(), rtol=1e-5)


@pytest.mark.parametrize("pixels", [methods.BERNOULLI, methods.gaussian_pixels(0.5)])
def test_pixels_say_what_the_output_means(pixels):
  net = models.AutoEncoder(Recorder(), Grey())
  made = methods.autoencoder(net, AS_IT_IS, pixels=pixels)
  params, extra = made.init(jax.random.key(0), cases.batch())
  images = cases.batch()["input"]
  loss, _ = loss_of(made, params, extra)
  np.testing.assert_allclose(loss, pixels.error(images, images).mean(), rtol=1e-5)
  shown = made.show(params, extra, cases.batch(), keys())["original | rebuilt"]
  np.testing.assert_allclose(shown[:, 1], pixels.image(images), atol=1e-6)


def test_uint8_images_are_rebuilt_as_floats():
  net = models.AutoEncoder(Recorder(), Grey())
  made = methods.autoencoder(net, lambda key, image: (image,))
  batch = {"input": jnp.full((4, 8, 8, 1), 51, jnp.uint8)}
  params, extra = made.init(jax.random.key(0), batch)
  error, _ = made.forward(params, extra, batch, keys()[:4], jnp.int32(0))
  np.testing.assert_allclose(error, 0.0, atol=1e-6)


# The VAE.


def vae(**options):
  encoder = cases.Encoder("layer")
  net = models.VAE(encoder, generative_cases.Decoder("layer"), latent=5)
  made = methods.vae(net, AS_IT_IS, pixels=methods.BERNOULLI, **options)
  return made, *jax.jit(made.init)(jax.random.key(0), cases.batch())


def test_the_loss_is_the_bound_with_sums_over_pixels_and_dimensions():
  made, params, extra = vae(beta=2.0)
  outputs, _ = made.forward(params, extra, cases.batch(), keys(), jnp.int32(0))
  assert outputs.error.shape == (cases.BATCH,)
  assert outputs.kl.shape == (cases.BATCH, 5)
  assert outputs.error.mean() > 64 * 0.6  # a mean over pixels would be below 1
  loss, (_, metrics) = made.objective(params, extra, outputs, jnp.int32(0))
  expected = outputs.error.mean() + 2.0 * outputs.kl.sum(1).mean()
  np.testing.assert_allclose(loss, expected, rtol=1e-5)
  np.testing.assert_allclose(metrics["kl"], outputs.kl.sum(1).mean(), rtol=1e-5)


def test_the_kl_warms_up_with_the_step():
  made, params, extra = vae(beta=3.0, warmup=linear(0.0, 1.0, steps=4))
  outputs, _ = made.forward(params, extra, cases.batch(), keys(), jnp.int32(0))
  values = [made.objective(params, extra, outputs, jnp.int32(s))[0] for s in (0, 2, 9)]
  error, kl = outputs.error.mean(), outputs.kl.sum(1).mean()
  np.testing.assert_allclose(values, error + kl * jnp.array([0, 1.5, 3]), rtol=1e-5)


def test_free_bits_cut_the_gradient_of_dimensions_below_them():
  made, params, extra = vae(free_bits=1e3)
  outputs, _ = made.forward(params, extra, cases.batch(), keys(), jnp.int32(0))
  loss, _ = made.objective(params, extra, outputs, jnp.int32(0))
  np.testing.assert_allclose(loss, outputs.error.mean() + 5e3, rtol=1e-5)
  gradient = jax.grad(
    lambda kl: made.objective(params, extra, outputs._replace(kl=kl), jnp.int32(0))[0]
  )(outputs.kl)
  np.testing.assert_array_equal(gradient, 0.0)


def test_the_features_of_a_vae_are_the_mean():
  made, params, extra = vae()
  encoded = cases.Encoder("layer").apply(
    {"params": params["encoder"]}, cases.batch()["input"], train=False
  )
  expected = encoded @ params["mean"]["kernel"] + params["mean"]["bias"][None]
  got = made.encode(params, extra, cases.batch())
  np.testing.assert_allclose(got, expected, atol=1e-5)


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"beta": -1.0}, "beta is -1.0"),
    ({"beta": float("nan")}, "beta is nan"),
    ({"free_bits": -0.1}, "free bits of -0.1"),
  ],
)
def test_bad_weights(options, message):
  with pytest.raises(InputError, match=message):
    methods.vae(None, AS_IT_IS, pixels=methods.BERNOULLI, **options)


# The games: no gradient crosses.


PLAYERS = {
  "gan": {"critic_loss": ["critic"], "generator_loss": ["generator"]},
  "bigan": {
    "critic_loss": ["critic"],
    "encoder_generator_loss": ["encoder", "generator"],
  },
}
TERMS = [(name, term) for name in GAMES for term in PLAYERS[name]]


@pytest.mark.parametrize(("name", "term"), TERMS)
def test_no_gradient_crosses_between_the_players(name, term):
  made, (params, extra) = method(name), started(name)

  def value(params):
    return loss_of(made, params, extra)[1][1][term]

  gradients = jax.jit(jax.grad(value))(params)
  for player, gradient in gradients.items():
    largest = max(float(jnp.abs(g).max()) for g in jax.tree.leaves(gradient))
    assert (largest > 1e-6) == (player in PLAYERS[name][term]), player


@pytest.mark.parametrize("name", GAMES)
def test_the_loss_is_the_sum_and_its_gradient_each_players_own(name):
  made, (params, extra) = method(name), started(name)

  def term(params, wanted):
    loss, (_, metrics) = loss_of(made, params, extra)
    return metrics[wanted] if wanted else loss

  gradient = jax.jit(jax.grad(term), static_argnums=1)
  whole = gradient(params, None)
  for wanted, players in PLAYERS[name].items():
    own = gradient(params, wanted)
    for player in players:
      jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6),
        whole[player],
        own[player],
      )


@pytest.mark.parametrize("name", GAMES)
def test_a_step_with_an_optimiser_per_player_moves_that_player_alone(name):
  made, still = method(name), optim.sgd(0.0, momentum=0.0, weight_decay=0.0)
  moving = optim.sgd(0.1, momentum=0.0, weight_decay=0.0)
  tx = optim.by_part({"critic": moving}, still)
  state = core.init_state(made, tx, jax.random.key(0), cases.batch())
  after, _ = jax.jit(functools.partial(core.train_step, made, tx))(state, cases.batch())
  moved = jax.tree.map(lambda a, b: float(abs(a - b).max()), state.params, after.params)
  for player, amounts in moved.items():
    assert (max(jax.tree.leaves(amounts)) > 0) == (player == "critic")


@pytest.mark.parametrize(
  ("name", "expected"), [("gan", 3 * np.log(2)), ("bigan", 4 * np.log(2))]
)
def test_a_critic_without_an_opinion(name, expected):
  """The sanity value: 2 ln 2 for the critic, ln 2 for each term of the others."""
  made, (params, extra) = method(name), started(name)
  silent = {**params, "critic": jax.tree.map(jnp.zeros_like, params["critic"])}
  loss, (_, metrics) = loss_of(made, silent, extra)
  np.testing.assert_allclose(loss, expected, rtol=1e-6)
  np.testing.assert_allclose(metrics["critic_loss"], 2 * np.log(2), rtol=1e-6)


def test_bigans_encoder_and_generator_have_flipped_labels():
  made, (params, extra) = method("bigan"), started("bigan")
  outputs, _ = made.forward(params, extra, cases.batch(), keys(), jnp.int32(0))
  np.testing.assert_allclose(outputs.real, outputs.real_flipped, atol=1e-6)
  np.testing.assert_allclose(outputs.fake, outputs.fake_flipped, atol=1e-6)
  _, (_, metrics) = made.objective(params, extra, outputs, jnp.int32(0))
  expected = losses.adversarial_critic(outputs.fake, outputs.real).mean()
  np.testing.assert_allclose(metrics["encoder_generator_loss"], expected, rtol=1e-6)


# Their statistics and features.


@pytest.mark.parametrize("name", GAMES)
def test_every_player_keeps_its_statistics(name):
  made, (params, extra) = method(name, "batch"), started(name, "batch")
  _, after = made.forward(params, extra, cases.batch(), keys(), jnp.int32(0))
  assert set(after.stats) == set(params)
  changed = jax.tree.map(lambda a, b: bool(jnp.any(a != b)), extra.stats, after.stats)
  assert all(all(jax.tree.leaves(changed[player])) for player in params)


class Twice(nn.Module):
  """A critic whose only statistic is a moving mean with a weight of one half."""

  @nn.compact
  def __call__(self, x, *, train, keys=None):
    weight = self.param("weight", nn.initializers.ones, ())
    seen = self.variable("batch_stats", "mean", jnp.zeros, ())
    if train and not self.is_initializing():
      seen.value = 0.5 * seen.value + 0.5 * x.mean()
    return models.Judgement(weight * x.mean((1, 2, 3)), (x,))


class One(nn.Module):
  """A generator of images whose pixels are all near 1."""

  @nn.compact
  def __call__(self, z, *, train, keys=None):
    logit = self.param("logit", nn.initializers.constant(30.0), ())
    return jnp.full((z.shape[0], 8, 8, 1), logit)


def test_statistics_take_the_real_batch_first_and_the_generators_pass_never():
  made = methods.gan(One(), Twice(), AS_IT_IS, prior=PRIOR)
  params, extra = made.init(jax.random.key(0), cases.batch())
  _, after = made.forward(params, extra, cases.batch(), keys(), jnp.int32(0))
  real = float(cases.batch()["input"].mean())
  got = after.stats["critic"]["batch_stats"]["mean"]
  np.testing.assert_allclose(got, 0.25 * real + 0.5, rtol=1e-5)


def test_each_row_draws_its_own_code():
  generator = generative_cases.Decoder("layer")
  made = methods.gan(generator, Twice(), AS_IT_IS, prior=PRIOR)
  params, extra = made.init(jax.random.key(0), cases.batch())
  outputs, _ = made.forward(params, extra, cases.batch(), keys(), jnp.int32(0))
  assert len(np.unique(outputs.fake)) == cases.BATCH


def test_features_of_a_gan_are_its_critics_maps():
  critic = models.ConvCritic((4, 8))
  options = {"views": AS_IT_IS, "prior": PRIOR}
  players = generative_cases.Decoder("layer"), critic
  made = methods.gan(*players, **options)
  params, extra = jax.jit(made.init)(jax.random.key(0), cases.batch())
  assert made.encode(params, extra, cases.batch()).shape == (cases.BATCH, 8)
  patches = made.encode(params, extra, cases.batch(), patches=True)
  assert patches.shape == (cases.BATCH, 4, 8)
  wide = methods.gan(*players, **options, features=models.pyramid)
  features = wide.encode(params, extra, cases.batch())
  assert features.shape == (cases.BATCH, 4 * 4 * 4 + 2 * 2 * 8)


def test_a_critic_without_maps_has_no_features():
  players = generative_cases.Decoder("layer"), Mute()
  made = methods.gan(*players, AS_IT_IS, prior=PRIOR)
  params, extra = made.init(jax.random.key(0), cases.batch())
  with pytest.raises(InputError, match="no maps"):
    made.encode(params, extra, cases.batch())


class Mute(Twice):
  """A critic that shows nothing."""

  @nn.compact
  def __call__(self, x, *, train, keys=None):
    return super().__call__(x, train=train)._replace(maps=())


def test_features_of_bigan_are_before_the_output_or_the_output():
  encoder = models.Inference(cases.Encoder("layer"), latent=4)
  players = encoder, generative_cases.Decoder("layer"), generative_cases.Critic("layer")
  (params, extra), batch = started("bigan"), cases.batch()
  before = methods.bigan(*players, AS_IT_IS, prior=PRIOR)
  after = methods.bigan(*players, AS_IT_IS, prior=PRIOR, features=output)
  features = before.encode(params, extra, batch)
  code = params["encoder"]["code"]
  expected = features @ code["kernel"] + code["bias"][None]
  np.testing.assert_allclose(after.encode(params, extra, batch), expected, atol=1e-5)


# What the report shows.


SHOWN = {
  "autoencoder": {"original | rebuilt": 2},
  "denoising": {"original | corrupted | rebuilt": 3},
  "vae": {"original | rebuilt": 2, "samples": 8},
  "gan": {"samples": 8},
  "bigan": {"original | G(E(x))": 2, "samples": 8},
}


@pytest.mark.parametrize("name", SHOWN)
def test_pictures(name):
  params, extra = started(name)
  pictures = jax.jit(method(name).show)(params, extra, cases.batch(), keys())
  assert set(pictures) == set(SHOWN[name])
  for key, images in pictures.items():
    assert images.shape == (cases.BATCH, SHOWN[name][key], 8, 8, 1)
    assert images.min() >= 0.0 and images.max() <= 1.0
    assert images.dtype == jnp.float32
  if "samples" in pictures:
    samples = np.asarray(pictures["samples"]).reshape(-1, 64)
    assert len(np.unique(samples, axis=0)) == len(samples)


@pytest.mark.parametrize(
  ("settings", "message"),
  [
    ({"noise": "salt_and_peper"}, "Did you mean 'salt_and_pepper'"),
    ({"amount": 1.2}, "from 0 to 1"),
    ({"noise": "gaussian", "amount": -0.1}, "0 or more"),
  ],
)
def test_a_bad_corruption_is_refused_when_the_experiment_is_built(settings, message):
  with pytest.raises(InputError, match=message):
    registry.build("denoising_digits", **settings)


@pytest.mark.parametrize("setting", ["beta", "free_bits"])
def test_a_bad_weight_is_refused_when_the_experiment_is_built(setting):
  with pytest.raises(InputError, match="-1.0"):
    registry.build("vae_digits", **{setting: -1.0})
