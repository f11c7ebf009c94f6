"""BEiT, MaskFeat, data2vec and the discrete VAE on scikit-learn's digits.

See `digits.py`. There is no class token: no loss would reach it, and the features are
the mean over patches.
"""

from jaxssl import methods, models
from jaxssl.augment import digits_view, many_views
from jaxssl.data import digits
from jaxssl.ops import linear
from jaxssl.presets import digits_parts, digits_vit, digits_vit_parts
from jaxssl.presets.targets import (
  annealed,
  dvae_net,
  fixed_mask,
  hidden_patches,
  tokenizer_of,
)
from jaxssl.registry import Parts, Run, experiment

RUN = Run(steps=1000, batch=128, log_every=50, eval_every=200, checkpoint_every=200)
LONG = Run(steps=4000, batch=128, log_every=100, eval_every=500, checkpoint_every=500)
VIEWS = many_views(digits_view(noise=0.0))  # noise is what no patch tells of another
GRID = (4, 4)  # patches of 2 pixels


def masked_net(out: int) -> models.Siamese:
  """Returns a ViT with a mask token, and one linear layer."""
  encoder = digits_vit(class_token=False, mask_token=True)
  return models.Siamese(encoder, models.linear_head(out=out))


@experiment(
  method="dVAE",
  data="digits",
  reaches="5 labels 27 %, untrained 48",
  cost="3 min on 2 CPU cores",
)
def dvae_digits(
  run: Run = RUN,
  *,
  vocabulary: int = 64,
  width: int = 32,
  kl_weight: float = 1e-3,
  temperature: float = 1 / 16,
  learning_rate: float = 2e-3,
  weight_decay: float = 1e-4,
) -> Parts:
  """A discrete VAE of digits: each of 16 patches is one of 64 codes.

  A finished run is a tokenizer for `beit_digits --tokenizer`. The error is the squared
  one: DALL-E's likelihood has no bound on the many pixels that are always black.

  Args:
    run: Settings of every run.
    vocabulary: Number of codes.
    width: Channels of encoder and decoder at the full resolution.
    kl_weight: Of the divergence from uniform codes.
    temperature: Of the relaxed codes at the end; it falls from 1 by a cosine.
    learning_rate: Peak of AdamW's cosine schedule.
    weight_decay: Of the weights; biases and norms have none.
  """
  options = {"vocabulary": vocabulary, "width": width}
  method = methods.dvae(
    dvae_net(1, numbers=1, groups=2, blocks=1, stem=3, **options),
    VIEWS,
    temperature=annealed(run, until=0.8, end=temperature),
    kl_weight=linear(0.0, kl_weight, steps=max(run.steps // 10, 1)),
  )
  return digits_parts(
    run, method, VIEWS, learning_rate=learning_rate, weight_decay=weight_decay
  )


@experiment(
  method="BEiT",
  data="digits",
  reaches="fine-tuned on 1 / 10 %: 43 / 89 % (untrained 38 / 90)",
  cost="3 min on 2 CPU cores",
)
def beit_digits(
  run: Run = LONG,
  *,
  tokenizer: str = "kmeans",
  vocabulary: int = 64,
  mask: float = 0.4,
  learning_rate: float = 1e-3,
  weight_decay: float = 1e-4,
) -> Parts:
  """BEiT on digits with a ViT: patches of 2 pixels, blocks of them hidden.

  By default the tokens are centroids of the patches' pixels, found as the experiment
  is built: seconds. The paper's are those of a discrete VAE: train `dvae_digits` and
  name its run.

  Args:
    run: Settings of every run.
    tokenizer: Folder of a discrete VAE's run, such as runs/dvae_digits/1, or kmeans.
    vocabulary: Of k-means; a run has its own.
    mask: Share of the patches that is hidden.
    learning_rate: Peak of AdamW's cosine schedule.
    weight_decay: Of the weights; biases and norms have none.
  """
  tokens = tokenizer_of(
    tokenizer, digits().train, size=8, grid=GRID, vocabulary=vocabulary
  )
  method = methods.beit(
    masked_net(tokens.vocabulary),
    VIEWS,
    tokens,
    mask=fixed_mask(GRID, mask),
    masked_patches=hidden_patches(GRID, mask),
  )
  return digits_vit_parts(
    run, method, VIEWS, learning_rate=learning_rate, weight_decay=weight_decay
  )


@experiment(
  method="MaskFeat",
  data="digits",
  reaches="fine-tuned on 1 / 10 %: 50 / 89 % (untrained 38 / 90)",
  cost="3 min on 2 CPU cores",
)
def maskfeat_digits(
  run: Run = LONG,
  *,
  mask: float = 0.4,
  bins: int = 9,
  learning_rate: float = 1e-3,
  weight_decay: float = 1e-4,
) -> Parts:
  """MaskFeat on digits: the histogram of each hidden patch of 2 pixels.

  Args:
    run: Settings of every run.
    mask: Share of the patches that is hidden.
    bins: Directions of a histogram.
    learning_rate: Peak of AdamW's cosine schedule.
    weight_decay: Of the weights; biases and norms have none.
  """
  method = methods.maskfeat(
    masked_net(bins), VIEWS, mask=fixed_mask(GRID, mask), cell=2, bins=bins
  )
  return digits_vit_parts(
    run, method, VIEWS, learning_rate=learning_rate, weight_decay=weight_decay
  )


@experiment(
  method="data2vec",
  data="digits",
  reaches="fine-tuned on 1 / 10 %: 46 / 86 % (untrained 38 / 90)",
  cost="4 min on 2 CPU cores",
)
def data2vec_digits(
  run: Run = LONG,
  *,
  mask: float = 0.6,
  top: int = 2,
  beta: float = 2.0,
  momentum: float = 0.99,
  learning_rate: float = 1e-3,
  weight_decay: float = 1e-4,
) -> Parts:
  """data2vec on digits: the teacher's last 2 of 3 blocks at hidden patches.

  Args:
    run: Settings of every run.
    mask: Share of the patches that is hidden.
    top: Blocks of the teacher whose outputs are averaged.
    beta: Where the loss changes from squared to absolute.
    momentum: Of the teacher at the start; it rises to 1 in a line.
    learning_rate: Peak of AdamW's cosine schedule.
    weight_decay: Of the weights; biases and norms have none.
  """
  net = masked_net(digits_vit().width)
  method = methods.data2vec(
    net,
    VIEWS,
    mask=fixed_mask(GRID, mask),
    momentum=linear(momentum, 1.0, steps=run.steps),
    top=top,
    beta=beta,
  )
  return digits_vit_parts(
    run, method, VIEWS, learning_rate=learning_rate, weight_decay=weight_decay
  )
