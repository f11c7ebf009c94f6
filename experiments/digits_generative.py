"""Autoencoders and adversarial methods on scikit-learn's digits; see `digits.py`."""

import optax

from jaxssl import methods, models, optim
from jaxssl.augment import as_it_is, corruption, digits_view, many_views
from jaxssl.data import digits
from jaxssl.ops import linear
from jaxssl.presets import digits_parts, share
from jaxssl.registry import Parts, Run, experiment

EVERY = {"log_every": 50, "eval_every": 200, "checkpoint_every": 200}
RUN = Run(steps=1000, batch=128, **EVERY)
SHAPE = (8, 8, 1)
WARPED = many_views(digits_view(noise=0.0))
AS_THEY_ARE = many_views(as_it_is)
COST = "not measured yet"


def _convnet():
  return models.ConvNet(widths=(32, 64, 128, 256), pools=(1, 2, 2, 1))


def _autoencoder():
  return models.AutoEncoder(_convnet(), models.ConvDecoder(SHAPE, (128, 64)))


def _adam(run, rate):
  """Adam with DCGAN's momentum of 0.5, by a cosine to 0."""
  return optax.adam(optim.warmup_cosine(rate, steps=run.steps), b1=0.5)


@experiment(
  method="autoencoder", data="digits", reaches="5 labels 87 %, untrained 75", cost=COST
)
def autoencoder_digits(
  run: Run = RUN, *, learning_rate: float = 2e-3, weight_decay: float = 1e-4
) -> Parts:
  """An autoencoder on digits: a ConvNet, its 256 features, and back to 8x8 pixels.

  Args:
    run: Settings of every run.
    learning_rate: Peak of AdamW's cosine schedule.
    weight_decay: Of the weights; biases and norms have none.
  """
  method = methods.autoencoder(_autoencoder(), WARPED)
  return digits_parts(
    run, method, WARPED, learning_rate=learning_rate, weight_decay=weight_decay
  )


@experiment(
  method="denoising autoencoder",
  data="digits",
  reaches="fine-tuned on 1 / 10 %: 64 / 96 % (untrained 58 / 97)",
  cost=COST,
)
def denoising_digits(
  run: Run = RUN,
  *,
  noise: str = "masking",
  amount: float = 0.5,
  learning_rate: float = 2e-3,
  weight_decay: float = 1e-4,
) -> Parts:
  """A denoising autoencoder on digits.

  Args:
    run: Settings of every run.
    noise: Of the input: gaussian, masking or salt_and_pepper.
    amount: Deviation of Gaussian noise, or share of the pixels.
    learning_rate: Peak of AdamW's cosine schedule.
    weight_decay: Of the weights; biases and norms have none.
  """
  corrupt = corruption(noise, amount=amount)
  method = methods.denoising(_autoencoder(), WARPED, corruption=corrupt)
  return digits_parts(
    run, method, WARPED, learning_rate=learning_rate, weight_decay=weight_decay
  )


@experiment(
  method="VAE", data="digits", reaches="5 labels 70 %, untrained 59", cost=COST
)
def vae_digits(
  run: Run = RUN,
  *,
  latent: int = 16,
  beta: float = 1.0,
  free_bits: float = 0.0,
  warmup: float = 0.1,
  learning_rate: float = 2e-3,
  weight_decay: float = 1e-4,
) -> Parts:
  """A VAE on digits, with Bernoulli pixels.

  Args:
    run: Settings of every run.
    latent: Dimensions of the code, which is the feature.
    beta: Weight of the KL; 1 is the bound on the likelihood.
    free_bits: Nats that each dimension's KL has for free.
    warmup: Share of the run in which the KL's weight rises from 0.
    learning_rate: Peak of AdamW's cosine schedule.
    weight_decay: Of the weights; biases and norms have none.
  """
  net = models.VAE(_convnet(), models.ConvDecoder(SHAPE, (128, 64)), latent)
  method = methods.vae(
    net,
    WARPED,
    pixels=methods.BERNOULLI,
    beta=beta,
    free_bits=free_bits,
    warmup=linear(0.0, 1.0, steps=max(share(run, warmup, of=1), 1)),
  )
  return digits_parts(
    run, method, WARPED, learning_rate=learning_rate, weight_decay=weight_decay
  )


@experiment(
  method="GAN", data="digits", reaches="5 labels 79 %, untrained 79", cost=COST
)
def gan_digits(
  run: Run = RUN,
  *,
  latent: int = 16,
  learning_rate: float = 1e-3,
  critic_learning_rate: float = 5e-4,
) -> Parts:
  """A small DCGAN on digits; the features are those of its critic.

  Args:
    run: Settings of every run.
    latent: Dimensions of the code.
    learning_rate: Of the generator, at the start of Adam's cosine schedule.
    critic_learning_rate: Of the critic.
  """
  method = methods.gan(
    models.Generator(SHAPE, (128, 64)),
    models.ConvCritic((64, 128)),
    AS_THEY_ARE,
    prior=models.uniform_prior(latent),
  )
  critic = {"critic": _adam(run, critic_learning_rate)}
  tx = optim.by_part(critic, _adam(run, learning_rate))
  return Parts(method, tx, digits(), AS_THEY_ARE)


@experiment(
  method="BiGAN", data="digits", reaches="5 labels 74 %, untrained 84", cost=COST
)
def bigan_digits(
  run: Run = Run(steps=10_000, batch=128, **EVERY),
  *,
  latent: int = 16,
  width: int = 256,
  learning_rate: float = 5e-4,
  critic_learning_rate: float = 5e-4,
) -> Parts:
  """BiGAN on digits with the paper's fully connected nets, narrower.

  Args:
    run: Settings of every run.
    latent: Dimensions of the code.
    width: Of the hidden layers, and of the features.
    learning_rate: Of encoder and generator, at the start of Adam's cosine schedule.
    critic_learning_rate: Of the critic.
  """
  players = models.mlp_bigan(SHAPE, width=width, latent=latent)
  method = methods.bigan(*players, AS_THEY_ARE, prior=models.uniform_prior(latent))
  critic = {"critic": _adam(run, critic_learning_rate)}
  tx = optim.by_part(critic, _adam(run, learning_rate))
  return Parts(method, tx, digits(), AS_THEY_ARE)
