"""Non-contrastive methods on ImageNet-1k; protocol as in `imagenet_contrastive`."""

import optax

from jaxssl import methods, models, optim
from jaxssl.augment import (
  byol_views,
  dino_views,
  moco_view,
  multi_crop,
  simclr_view,
  two_views,
  vicregl_views,
)
from jaxssl.ops import cosine_ema
from jaxssl.presets import encoder as find_encoder
from jaxssl.presets import scaled_cosine, share, vit
from jaxssl.presets.imagenet import COST, imagenet_data, imagenet_run, on_v5e
from jaxssl.registry import Parts, Run, experiment

DATA = "imagenet2012 (tfds)"


@experiment(
  method="BYOL",
  data=DATA,
  reaches="published: linear 74.4 % (official checkpoint), not measured here",
  cost=COST,
  slices=on_v5e(accumulate=4),
)
def byol_imagenet(
  run: Run = imagenet_run(1000, batch=4096),
  *,
  data: str = "tfds:imagenet2012",
  data_dir: str = "",
  encoder: str = "resnet50",
  size: int = 224,
  hidden: int = 4096,
  projection: int = 256,
  momentum: float = 0.996,
  learning_rate: float = 0.2,
  weight_decay: float = 1.5e-6,
) -> Parts:
  """BYOL, ResNet-50, 1000 epochs: 74.4 % (official checkpoint).

  LARS, 10 epochs of warm-up, cosine to 0. The other official settings (rate, decay,
  momentum): 40 epochs 0.45, 1e-6, 0.97; 100: 0.45, 1e-6, 0.99; 300: 0.3, 1e-6, 0.99.
  The last scales of blocks start at 0 as in the released code, not as in the paper.

  Protocol: a linear probe; one seed. Cost: see `jaxssl plan`.

  Args:
    run: Settings of every run.
    data: The data set: tfds:NAME, a folder of images, or an .npz.
    data_dir: Where tensorflow-datasets keeps its data; empty for its own default.
    encoder: Name of a convolutional encoder.
    size: Side of the views in pixels.
    hidden: Width of the hidden layers of projector and predictor.
    projection: Width of the projection.
    momentum: Of the target at the start; it rises to 1 by a cosine.
    learning_rate: Peak for 256 rows; scaled linearly.
    weight_decay: Of the weights; biases and norms have none.
  """
  views = two_views(*byol_views(size))
  net = models.Siamese(
    find_encoder(encoder, run, size=size),
    models.byol_projector(hidden=hidden, out=projection),
    models.byol_predictor(hidden=hidden, out=projection),
  )
  schedule = cosine_ema(momentum, steps=run.steps)
  method = methods.byol(net, views, momentum=schedule)
  rate = scaled_cosine(run, learning_rate, warmup=10, epochs=1000)
  tx = optim.lars(rate, weight_decay=weight_decay)
  return Parts(method, tx, imagenet_data(data, data_dir), views)


@experiment(
  method="SimSiam",
  data=DATA,
  reaches="published: linear 68.1 % (official), not measured here",
  cost=COST,
  slices=on_v5e(),
)
def simsiam_imagenet(
  run: Run = imagenet_run(100, batch=512),
  *,
  data: str = "tfds:imagenet2012",
  data_dir: str = "",
  encoder: str = "resnet50",
  size: int = 224,
  hidden: int = 2048,
  bottleneck: int = 512,
  projection: int = 2048,
  learning_rate: float = 0.05,
  weight_decay: float = 1e-4,
) -> Parts:
  """SimSiam, ResNet-50, 100 epochs: 68.1 % (official); 68.3 % with 256 rows.

  SGD with a cosine per step (official: per epoch) and no warm-up; the predictor's
  rate stays constant.

  Protocol: a linear probe; one seed. Cost: see `jaxssl plan`.

  Args:
    run: Settings of every run.
    data: The data set: tfds:NAME, a folder of images, or an .npz.
    data_dir: Where tensorflow-datasets keeps its data; empty for its own default.
    encoder: Name of a convolutional encoder.
    size: Side of the views in pixels.
    hidden: Width of the projector's hidden layers.
    bottleneck: Width of the predictor's hidden layer.
    projection: Width of the projection.
    learning_rate: Peak for 256 rows; scaled linearly.
    weight_decay: Of all parameters.
  """
  views = two_views(moco_view(size))
  net = models.Siamese(
    find_encoder(encoder, run, size=size),
    models.simsiam_projector(hidden=hidden, out=projection),
    models.simsiam_predictor(hidden=bottleneck, out=projection),
  )
  peak = optim.linear_scaling(learning_rate, run.batch)
  falling = optim.warmup_cosine(peak, steps=run.steps)
  predictor = optim.sgd(peak, momentum=0.9, weight_decay=weight_decay)
  rest = optim.sgd(falling, momentum=0.9, weight_decay=weight_decay)
  tx = optim.by_part({"predictor": predictor}, rest)
  method = methods.simsiam(net, views)
  return Parts(method, tx, imagenet_data(data, data_dir), views)


@experiment(
  method="Barlow Twins",
  data=DATA,
  reaches="published: linear 73.5 % (official), not measured here",
  cost=COST,
  slices=on_v5e(),
)
def barlow_twins_imagenet(
  run: Run = imagenet_run(1000, batch=2048),
  *,
  data: str = "tfds:imagenet2012",
  data_dir: str = "",
  encoder: str = "resnet50",
  size: int = 224,
  hidden: int = 8192,
  projection: int = 8192,
  off_diagonal_weight: float = 0.0051,
  learning_rate: float = 0.2,
  bias_learning_rate: float = 0.0048 / 32,
  weight_decay: float = 1e-6,
) -> Parts:
  """Barlow Twins, ResNet-50, 1000 epochs: 73.5 % (official).

  LARS, 10 epochs of warm-up, cosine to a thousandth. The official rate of biases and
  norms is 0.0048 for gradients that are smaller than the true ones by the number of
  devices, 32 (unverified): here it is a 32nd of that.

  Protocol: a linear probe; one seed. Cost: see `jaxssl plan`.

  Args:
    run: Settings of every run.
    data: The data set: tfds:NAME, a folder of images, or an .npz.
    data_dir: Where tensorflow-datasets keeps its data; empty for its own default.
    encoder: Name of a convolutional encoder.
    size: Side of the views in pixels.
    hidden: Width of the projector's two hidden layers.
    projection: Width of the projection.
    off_diagonal_weight: Of the redundancy term.
    learning_rate: Of weights, peak for 256 rows; scaled linearly.
    bias_learning_rate: Of biases and norms, the same.
    weight_decay: Of the weights; biases and norms have none.
  """
  views = two_views(*byol_views(size))
  projector = models.barlow_twins_projector(widths=(hidden, hidden, projection))
  net = models.Siamese(find_encoder(encoder, run, size=size), projector)
  method = methods.barlow_twins(net, views, off_diagonal_weight=off_diagonal_weight)
  weights, rest = (
    scaled_cosine(run, rate, warmup=10, epochs=1000, end=0.001)
    for rate in (learning_rate, bias_learning_rate)
  )
  tx = optim.by_shape(
    optim.lars(weights, weight_decay=weight_decay),
    optim.lars(rest, weight_decay=weight_decay),
  )
  return Parts(method, tx, imagenet_data(data, data_dir), views)


@experiment(
  method="VICReg",
  data=DATA,
  reaches="published: linear 73.2 % (official), not measured here",
  cost=COST,
  slices=on_v5e(),
)
def vicreg_imagenet(
  run: Run = imagenet_run(1000, batch=2048),
  *,
  data: str = "tfds:imagenet2012",
  data_dir: str = "",
  encoder: str = "resnet50",
  size: int = 224,
  hidden: int = 8192,
  projection: int = 8192,
  invariance_weight: float = 25.0,
  variance_weight: float = 25.0,
  covariance_weight: float = 1.0,
  learning_rate: float = 0.2,
  weight_decay: float = 1e-6,
) -> Parts:
  """VICReg, ResNet-50, 1000 epochs: 73.2 % (official).

  LARS, 10 epochs of warm-up, cosine to a thousandth. For 100 epochs the official rate
  is 0.3, with 512 rows.

  Protocol: a linear probe; one seed. Cost: see `jaxssl plan`.

  Args:
    run: Settings of every run.
    data: The data set: tfds:NAME, a folder of images, or an .npz.
    data_dir: Where tensorflow-datasets keeps its data; empty for its own default.
    encoder: Name of a convolutional encoder.
    size: Side of the views in pixels.
    hidden: Width of the expander's two hidden layers.
    projection: Width of the projection.
    invariance_weight: Of the distance between the views.
    variance_weight: Of the hinge on the standard deviations.
    covariance_weight: Of the covariances.
    learning_rate: Peak for 256 rows; scaled linearly.
    weight_decay: Of the weights; biases and norms have none.
  """
  views = two_views(*byol_views(size))
  expander = models.vicreg_expander(widths=(hidden, hidden, projection))
  method = methods.vicreg(
    models.Siamese(find_encoder(encoder, run, size=size), expander),
    views,
    invariance_weight=invariance_weight,
    variance_weight=variance_weight,
    covariance_weight=covariance_weight,
  )
  rate = scaled_cosine(run, learning_rate, warmup=10, epochs=1000, end=0.001)
  tx = optim.lars(rate, weight_decay=weight_decay)
  return Parts(method, tx, imagenet_data(data, data_dir), views)


@experiment(
  method="VICRegL",
  data=DATA,
  reaches="published: linear 70.4 % (official), not measured here",
  cost="official: 32 GPUs; not measured here",
  slices=on_v5e(accumulate=2),
)
def vicregl_imagenet(
  run: Run = imagenet_run(300, batch=2048),
  *,
  data: str = "tfds:imagenet2012",
  data_dir: str = "",
  encoder: str = "resnet50",
  size: int = 224,
  grid: int = 7,
  hidden: int = 8192,
  projection: int = 8192,
  local_width: int = 512,
  global_weight: float = 0.75,
  matches: int = 20,
  learning_rate: float = 0.2,
  weight_decay: float = 1e-6,
) -> Parts:
  """VICRegL, ResNet-50, 300 epochs: 70.4 % (official); 71.2 with a weight of 0.9.

  LARS, 10 epochs of warm-up, cosine to a thousandth; both views are global.

  Protocol: a linear probe; one seed. Cost (official): 32 GPUs.

  Args:
    run: Settings of every run.
    data: The data set: tfds:NAME, a folder of images, or an .npz.
    data_dir: Where tensorflow-datasets keeps its data; empty for its own default.
    encoder: Name of a convolutional encoder.
    size: Side of the views in pixels.
    grid: Side of the encoder's last map: size / 32 for a ResNet on 224 pixels.
    hidden: Width of the expander's two hidden layers.
    projection: Width of the projection.
    local_width: Width of the three layers of the expander of patches.
    global_weight: Share of the loss of whole images.
    matches: Pairs of patches that are compared.
    learning_rate: Peak for 256 rows; scaled linearly.
    weight_decay: Of the weights; biases and norms have none.
  """
  located = two_views(*vicregl_views(size, grid=grid))

  def images(key, example):
    return tuple(view.image for view in located(key, example))

  expander = models.vicreg_expander(widths=(hidden, hidden, projection))
  method = methods.vicregl(
    models.Siamese(find_encoder(encoder, run, size=size), expander),
    models.vicreg_expander(widths=(local_width,) * 3),
    located,
    global_weight=global_weight,
    matches=matches,
  )
  rate = scaled_cosine(run, learning_rate, warmup=10, epochs=300, end=0.001)
  tx = optim.lars(rate, weight_decay=weight_decay)
  return Parts(method, tx, imagenet_data(data, data_dir), images)


@experiment(
  method="W-MSE",
  data=DATA,
  reaches="no published number for this recipe, not measured here",
  cost=COST,
  slices=on_v5e(),
)
def w_mse_imagenet(
  run: Run = imagenet_run(100, batch=512),
  *,
  data: str = "tfds:imagenet2012",
  data_dir: str = "",
  encoder: str = "resnet50",
  size: int = 224,
  hidden: int = 1024,
  projection: int = 128,
  sub_batch: int = 256,
  learning_rate: float = 2e-3,
  weight_decay: float = 1e-6,
) -> Parts:
  """W-MSE of two views, ResNet-50, 100 epochs: no published number for this recipe.

  The official code has no command for ImageNet; the constants are those of its
  command for Tiny ImageNet. Adam, the decay in the gradient, 10 epochs of warm-up
  and a cosine (official: two drops near the end), SimCLR's augmentation.

  Protocol: a linear probe; one seed. Cost: see `jaxssl plan`.

  Args:
    run: Settings of every run.
    data: The data set: tfds:NAME, a folder of images, or an .npz.
    data_dir: Where tensorflow-datasets keeps its data; empty for its own default.
    encoder: Name of a convolutional encoder.
    size: Side of the views in pixels.
    hidden: Width of the projector's hidden layer.
    projection: Width of the projection.
    sub_batch: Rows whitened together, at least twice `projection`.
    learning_rate: Peak of the schedule, whatever the batch.
    weight_decay: Of all parameters.
  """
  views = two_views(simclr_view(size))
  head = models.swav_head(hidden=hidden, out=projection)
  net = models.Siamese(find_encoder(encoder, run, size=size), head)
  method = methods.w_mse(net, views, sub_batch=sub_batch)
  warmup = share(run, 10, of=100)
  rate = optim.warmup_cosine(learning_rate, steps=run.steps, warmup=warmup)
  tx = optax.chain(optax.add_decayed_weights(weight_decay), optax.adam(rate))
  return Parts(method, tx, imagenet_data(data, data_dir), views)


@experiment(
  method="TiCo",
  data=DATA,
  reaches="no published number confirmed, not measured here",
  cost=COST,
  slices=on_v5e(accumulate=2),
)
def tico_imagenet(
  run: Run = imagenet_run(1000, batch=4096),
  *,
  data: str = "tfds:imagenet2012",
  data_dir: str = "",
  encoder: str = "resnet50",
  size: int = 224,
  hidden: int = 4096,
  projection: int = 256,
  momentum: float = 0.99,
  beta: float = 0.9,
  rho: float = 20.0,
  learning_rate: float = 0.2,
  weight_decay: float = 1.5e-6,
) -> Parts:
  """TiCo, ResNet-50: we could confirm neither number nor recipe of the paper.

  The constants of the loss, momentum, rate and decay are those of lightly's benchmark,
  which publishes no number; epochs and batch are BYOL's. LARS, 10 epochs of warm-up,
  cosine to 0.

  Protocol: a linear probe; one seed. Cost: see `jaxssl plan`.

  Args:
    run: Settings of every run.
    data: The data set: tfds:NAME, a folder of images, or an .npz.
    data_dir: Where tensorflow-datasets keeps its data; empty for its own default.
    encoder: Name of a convolutional encoder.
    size: Side of the views in pixels.
    hidden: Width of the projector's hidden layer.
    projection: Width of the projection.
    momentum: Of the target at the start; it rises to 1 by a cosine.
    beta: How much of the covariance a step keeps.
    rho: Weight of the covariance contrast.
    learning_rate: Peak for 256 rows; scaled linearly.
    weight_decay: Of the weights; biases and norms have none.
  """
  views = two_views(*byol_views(size))
  head = models.byol_projector(hidden=hidden, out=projection)
  net = models.Siamese(find_encoder(encoder, run, size=size), head)
  schedule = cosine_ema(momentum, steps=run.steps)
  method = methods.tico(net, views, momentum=schedule, beta=beta, rho=rho)
  rate = scaled_cosine(run, learning_rate, warmup=10, epochs=1000)
  tx = optim.lars(rate, weight_decay=weight_decay)
  return Parts(method, tx, imagenet_data(data, data_dir), views)


@experiment(
  method="LeJEPA",
  data=DATA,
  reaches="no published number confirmed, not measured here",
  cost=COST,
  slices=on_v5e(mesh="data=4,fsdp=4", accumulate=4),
)
def lejepa_imagenet(
  run: Run = imagenet_run(100, batch=512),
  *,
  data: str = "tfds:imagenet2012",
  data_dir: str = "",
  encoder: str = "vit_large",
  size: int = 224,
  local_size: int = 96,
  local_count: int = 6,
  hidden: int = 2048,
  projection: int = 64,
  weight: float = 0.05,
  slices: int = 1024,
  learning_rate: float = 5e-4,
  weight_decay: float = 0.05,
) -> Parts:
  """LeJEPA, ViT-L/16, 100 epochs: no number on ImageNet itself confirmed.

  Views, AdamW and schedule (cosine to a thousandth) as in the official README, where
  local views have 98 pixels, in patches of 14. It tells neither batch nor warm-up nor
  projector: 512, 10 epochs and three layers are ours.

  Protocol: a linear probe; one seed. Cost: see `jaxssl plan`.

  Args:
    run: Settings of every run.
    data: The data set: tfds:NAME, a folder of images, or an .npz.
    data_dir: Where tensorflow-datasets keeps its data; empty for its own default.
    encoder: Name of a vision transformer.
    size: Side of the two global views in pixels.
    local_size: Side of the local views.
    local_count: Number of local views.
    hidden: Width of the projector's two hidden layers.
    projection: Width of the projection.
    weight: Of SIGReg, the test against a Gaussian.
    slices: Random directions of a step.
    learning_rate: Peak of the schedule, whatever the batch.
    weight_decay: Of the weights; biases and norms have none.
  """
  wide, _, local = dino_views(
    size,
    local_size,
    scale=(0.3, 1.0),
    local_scale=(0.05, 0.3),
    blur_probability=(0.5,) * 3,
    solarize_probability=(0.2,) * 3,
  )
  views = multi_crop(wide, wide, local, local_count=local_count)
  head = models.vicreg_expander(widths=(hidden, hidden, projection))
  net = models.Siamese(vit(encoder, run, size=size), head)
  method = methods.lejepa(net, views, weight=weight, slices=slices)
  rate = optim.warmup_cosine(
    learning_rate,
    steps=run.steps,
    warmup=share(run, 10, of=100),
    end=learning_rate / 1000,
  )
  tx = optim.adamw(rate, weight_decay=weight_decay)
  return Parts(method, tx, imagenet_data(data, data_dir), views)
