"""A denoising autoencoder on Imagenette at 64 pixels.

The images are brought to the size of the views when they are read, so that features
are of the scale that the encoder was trained on.
"""

from jaxssl import methods, models
from jaxssl.augment import corruption, crop_view, many_views
from jaxssl.data import open_data
from jaxssl.errors import InputError
from jaxssl.presets.imagenette import (
  COST,
  DATA,
  RUN,
  adamw_parts,
  backbone,
  patch_side,
)
from jaxssl.registry import Parts, Run, experiment


@experiment(
  method="denoising autoencoder",
  data="imagenette",
  reaches="not measured yet",
  cost=COST,
)
def denoising_imagenette(
  run: Run = RUN,
  *,
  data: str = DATA,
  data_dir: str = "",
  encoder: str = "resnet18",
  size: int = 64,
  noise: str = "masking",
  amount: float = 0.5,
  width: int = 64,
  learning_rate: float = 1e-3,
  weight_decay: float = 0.05,
) -> Parts:
  """A denoising autoencoder on Imagenette with a convolutional decoder.

  The decoder starts from the encoder's map, of 8 x 8 positions for 64 pixels.

  Args:
    run: Settings of every run.
    data: The data set, an .npz, or a folder of images.
    data_dir: Where tensorflow-datasets keeps its data; empty for its own default.
    encoder: Name of a convolutional encoder, such as resnet18 or convnet.
    size: Side of the crops in pixels.
    noise: Of the input: gaussian, masking or salt_and_pepper.
    amount: Deviation of Gaussian noise, or share of the pixels.
    width: Channels of the decoder at full size; twice as many at each half.
    learning_rate: Of 256 rows, the peak of AdamW's cosine.
    weight_decay: Of the weights; biases and norms have none.
  """
  views = many_views(crop_view(size, scale=(0.2, 1.0)))
  net = backbone(encoder, run, size)
  decoder = models.MapDecoder((size, size, 3), _widths(net, size, width))
  method = methods.denoising(
    models.Restorer(net, decoder),
    views,
    corruption=corruption(noise, amount=amount),
  )
  return adamw_parts(
    run,
    method,
    open_data(data, size=size, data_dir=data_dir or None),
    views,
    learning_rate=learning_rate,
    weight_decay=weight_decay,
    last_weight_decay=weight_decay,
    warmup=10.0,
  )


def _widths(net, size, width):
  """Channels of the decoder's blocks, one per doubling of the encoder's map."""
  side = patch_side(net, size)
  doublings = (size // side).bit_length() - 1
  if not doublings or side * 2**doublings != size:
    raise InputError(
      f"A map of {side} x {side} can't be doubled to {size} pixels; choose a size that "
      "is the map's side times a power of 2."
    )
  return tuple(width * 2**i for i in reversed(range(doublings)))
