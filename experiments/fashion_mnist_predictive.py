"""Predictive pretexts on Fashion-MNIST: 60,000 grey images of 28x28 pixels.

Protocol: linear probe on frozen pooled features of whole images, all labels, last
step, as `simclr_fashion_mnist`.
"""

import flax.linen as nn

from jaxssl import methods, models, optim
from jaxssl.augment import gray_view, many_views
from jaxssl.core import Method
from jaxssl.data import open_data
from jaxssl.ops import permutation_set
from jaxssl.presets.predictive import check_tiles
from jaxssl.registry import Parts, Run, experiment

RUN = Run(steps=700, batch=256, log_every=50, eval_every=350, checkpoint_every=350)
DATA = "fashion_mnist (tfds)"
REACHES = "not measured yet (raw pixels: linear probe 84.3 %)"
COST = "tens of minutes on 2 CPU cores"
SCALE = (0.5, 1.0)  # of the crops: an image's parts must still be there


def encoder() -> nn.Module:
  """Returns a ConvNet for images and tiles of 8 pixels or more."""
  return models.ConvNet(widths=(32, 64, 128, 512), pools=(2, 2, 2, 1))


def parts(
  run: Run,
  method: Method,
  views,
  *,
  data: str,
  data_dir: str,
  learning_rate: float,
  weight_decay: float,
) -> Parts:
  """Returns the parts of an experiment: AdamW with a cosine schedule."""
  rate = optim.warmup_cosine(learning_rate, steps=run.steps)
  tx = optim.adamw(rate, weight_decay=weight_decay)
  return Parts(method, tx, open_data(data, data_dir=data_dir or None), views)


@experiment(method="Rotation", data=DATA, reaches=REACHES, cost=COST)
def rotation_fashion_mnist(
  run: Run = RUN,
  *,
  data: str = "tfds:fashion_mnist",
  data_dir: str = "",
  learning_rate: float = 2e-3,
  weight_decay: float = 1e-4,
) -> Parts:
  """Rotation on Fashion-MNIST: all four turns of each image.

  Args:
    run: Settings of every run.
    data: The data set, or an .npz of 28x28 grey images in its place.
    data_dir: Where tensorflow-datasets keeps its data; empty for its own default.
    learning_rate: Peak of AdamW's cosine schedule.
    weight_decay: Of the weights; biases and norms have none.
  """
  views = many_views(gray_view(28, scale=SCALE))
  method = methods.rotation(encoder(), models.linear_head(out=4), views)
  return parts(
    run,
    method,
    views,
    data=data,
    data_dir=data_dir,
    learning_rate=learning_rate,
    weight_decay=weight_decay,
  )


@experiment(
  method="Context",
  data=DATA,
  reaches="1,000 steps of 128: linear 88.4 %, untrained 87.5",
  cost=COST,
)
def context_fashion_mnist(
  run: Run = RUN,
  *,
  data: str = "tfds:fashion_mnist",
  data_dir: str = "",
  size: int = 36,
  tile: int = 8,
  gap: int = 3,
  smallest: int = 2,
  hidden: int = 256,
  projection: int = 128,
  learning_rate: float = 2e-3,
  weight_decay: float = 1e-4,
) -> Parts:
  """Relative places of patches on Fashion-MNIST: 9 patches and 16 pairs an image.

  Args:
    run: Settings of every run.
    data: The data set, or an .npz of 28x28 grey images in its place.
    data_dir: Where tensorflow-datasets keeps its data; empty for its own default.
    size: Side of the view in pixels, of which 3 x 3 cells are made.
    tile: Side of a patch in pixels.
    gap: Least number of pixels between two patches.
    smallest: Least side to which a third of the patches is scaled down and up again.
    hidden: Width of the head's hidden layer.
    projection: Width of what is joined of a patch.
    learning_rate: Peak of AdamW's cosine schedule.
    weight_decay: Of the weights; biases and norms have none.
  """
  views = many_views(gray_view(size, scale=SCALE))
  check_tiles((size, size, 1), grid=(3, 3), tile=tile, gap=gap)
  method = methods.context(
    models.Standardized(encoder()),
    models.tile_projector(out=projection),
    models.moco_head(hidden=hidden, out=8),
    views,
    tile=tile,
    gap=gap,
    smallest=smallest,
  )
  return parts(
    run,
    method,
    views,
    data=data,
    data_dir=data_dir,
    learning_rate=learning_rate,
    weight_decay=weight_decay,
  )


@experiment(
  method="Jigsaw",
  data=DATA,
  reaches="1,000 steps of 128: linear 87.9 %, untrained 87.5",
  cost=COST,
)
def jigsaw_fashion_mnist(
  run: Run = RUN,
  *,
  data: str = "tfds:fashion_mnist",
  data_dir: str = "",
  permutations: int = 100,
  permutation_seed: int = 0,
  size: int = 36,
  tile: int = 8,
  gap: int = 1,
  hidden: int = 512,
  projection: int = 128,
  learning_rate: float = 2e-3,
  weight_decay: float = 1e-4,
) -> Parts:
  """Jigsaw on Fashion-MNIST: 3 x 3 tiles and 100 permutations.

  Args:
    run: Settings of every run.
    data: The data set, or an .npz of 28x28 grey images in its place.
    data_dir: Where tensorflow-datasets keeps its data; empty for its own default.
    permutations: Number of permutations: the classes.
    permutation_seed: Draws the first of them.
    size: Side of the view in pixels, of which 3 x 3 cells are made.
    tile: Side of a tile in pixels.
    gap: Least number of pixels between two tiles.
    hidden: Width of the head's hidden layer.
    projection: Width of what is joined of a tile.
    learning_rate: Peak of AdamW's cosine schedule.
    weight_decay: Of the weights; biases and norms have none.
  """
  views = many_views(gray_view(size, scale=SCALE))
  check_tiles((size, size, 1), grid=(3, 3), tile=tile, gap=gap)
  method = methods.jigsaw(
    models.Standardized(encoder()),
    models.tile_projector(out=projection),
    models.moco_head(hidden=hidden, out=permutations),
    views,
    permutations=permutation_set(9, count=permutations, seed=permutation_seed),
    tile=tile,
    gap=gap,
  )
  return parts(
    run,
    method,
    views,
    data=data,
    data_dir=data_dir,
    learning_rate=learning_rate,
    weight_decay=weight_decay,
  )


@experiment(
  method="Patch order",
  data=DATA,
  reaches="1,000 steps of 128: linear 88.7 %, untrained 87.5",
  cost=COST,
)
def patch_order_fashion_mnist(
  run: Run = RUN,
  *,
  data: str = "tfds:fashion_mnist",
  data_dir: str = "",
  size: int = 32,
  tile: int = 12,
  gap: int = 2,
  hidden: int = 256,
  projection: int = 128,
  learning_rate: float = 2e-3,
  weight_decay: float = 1e-4,
) -> Parts:
  """Patch order on Fashion-MNIST: 2 x 2 tiles in 24 orders.

  Args:
    run: Settings of every run.
    data: The data set, or an .npz of 28x28 grey images in its place.
    data_dir: Where tensorflow-datasets keeps its data; empty for its own default.
    size: Side of the view in pixels, of which 2 x 2 cells are made.
    tile: Side of a tile in pixels.
    gap: Least number of pixels between two tiles.
    hidden: Width of the head's hidden layer.
    projection: Width of what is joined of a tile.
    learning_rate: Peak of AdamW's cosine schedule.
    weight_decay: Of the weights; biases and norms have none.
  """
  views = many_views(gray_view(size, scale=SCALE))
  check_tiles((size, size, 1), grid=(2, 2), tile=tile, gap=gap)
  method = methods.patch_order(
    models.Standardized(encoder()),
    models.tile_projector(out=projection),
    models.moco_head(hidden=hidden, out=24),
    views,
    tile=tile,
    gap=gap,
  )
  return parts(
    run,
    method,
    views,
    data=data,
    data_dir=data_dir,
    learning_rate=learning_rate,
    weight_decay=weight_decay,
  )
