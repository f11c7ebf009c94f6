"""Inpainting on scikit-learn's digits; see `digits.py`."""

import optax

from jaxssl import methods, models, optim
from jaxssl.augment import digits_view, many_views
from jaxssl.data import digits
from jaxssl.presets import digits_parts
from jaxssl.registry import Parts, Run, experiment

RUN = Run(steps=1000, batch=128, log_every=50, eval_every=200, checkpoint_every=200)
VIEWS = many_views(digits_view(noise=0.0))  # noise is what no pixel tells of another
HOLE = 4
FILL = (0.3,)  # the mean of the pixels


def hole_net() -> models.Restorer:
  """Returns the encoder of the experiments on digits, and a decoder of 4 x 4 pixels."""
  encoder = models.ConvNet(widths=(32, 64, 128, 256), pools=(1, 2, 2, 1))
  return models.Restorer(encoder, models.HoleDecoder((64,), channels=1, start=2))


@experiment(
  method="Context encoder",
  data="digits",
  reaches="5 labels 83 %, untrained 75",
  cost="2 min on 2 CPU cores",
)
def inpainting_digits(
  run: Run = RUN,
  *,
  overlap: int = 0,
  learning_rate: float = 2e-3,
  weight_decay: float = 1e-4,
) -> Parts:
  """Context encoder on digits: the middle 4 x 4 of 8 x 8 pixels, without critic.

  Args:
    run: Settings of every run.
    overlap: Width of the ring of the hole that the net sees; 0 or 1.
    learning_rate: Peak of AdamW's cosine schedule.
    weight_decay: Of the weights; biases and norms have none.
  """
  method = methods.inpainting(hole_net(), VIEWS, hole=HOLE, overlap=overlap, fill=FILL)
  return digits_parts(
    run, method, VIEWS, learning_rate=learning_rate, weight_decay=weight_decay
  )


@experiment(
  method="Context encoder (adversarial)",
  data="digits",
  reaches="5 labels 83 %, untrained 69",
  cost="3 min on 2 CPU cores",
)
def inpainting_adversarial_digits(
  run: Run = RUN,
  *,
  overlap: int = 0,
  reconstruction_weight: float = 0.999,
  learning_rate: float = 2e-3,
  critic_learning_rate: float = 2e-4,
) -> Parts:
  """Context encoder on digits with its critic, by the paper's rates.

  Args:
    run: Settings of every run.
    overlap: Width of the ring of the hole that the net sees; 0 or 1.
    reconstruction_weight: Of the squared error; the critic has the rest.
    learning_rate: Of encoder and decoder, the peak of Adam's cosine schedule.
    critic_learning_rate: Of the critic, constant.
  """
  method = methods.inpainting_adversarial(
    hole_net(),
    models.HoleCritic((32, 64)),
    VIEWS,
    hole=HOLE,
    overlap=overlap,
    fill=FILL,
    reconstruction_weight=reconstruction_weight,
  )
  rate = optim.warmup_cosine(learning_rate, steps=run.steps)
  critic = optax.adam(critic_learning_rate, b1=0.5)
  tx = optim.by_part({"critic": critic}, optax.adam(rate, b1=0.5))
  return Parts(method, tx, digits(), VIEWS)
