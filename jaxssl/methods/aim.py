"""AIM: tell the next patch from those before it, in raster order."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl.core import Method
from jaxssl.losses import masked_squared_error, patch_targets
from jaxssl.methods.pixels import grid_of, pictures, pixel_method
from jaxssl.models.masked import Prefixed, check_patches_alone


def aim(net: nn.Module, views: Callable, *, normalize: bool = True) -> Method:
  """AIM (El-Nouby et al., arXiv 2401.08541, section 3), as iGPT on patches.

  Of each image a prefix, its length uniform from 1 to patches - 1, sees itself in both
  directions; every later patch sees itself and those before it. Patch j is predicted
  from what patch j - 1 knows, and the loss is the mean squared error over the patches
  after the prefix, over the batch.

  With a `causal` encoder the prefix is the first patch alone, so that every patch sees
  itself and those before it and all others are predicted, as in iGPT (Chen et al.,
  ICML 2020), which predicts colours, not patches; `encode` is causal then too.

  Args:
    net: `models.AIM`.
    views: (key, example) -> inputs, of which the first is used.
    normalize: whether the pixels to predict are standardised patch by patch.

  Returns:
    The method; `encode` is the mean over patches, which all see each other unless the
    encoder is causal.

  Raises:
    InputError: if the encoder has a class token or registers; when the images come,
      if the patches don't fill them or there is only one.
  """
  check_patches_alone(net.encoder, "AIM")
  patch, causal = net.encoder.patch, net.encoder.causal

  def hide(key, image):
    rows, columns = grid_of(image, patch)
    longest = 2 if causal else rows * columns  # and one more
    return Prefixed(image, jax.random.randint(key, (), 1, longest))

  def compare(prediction, asked):
    target = patch_targets(asked.image, patch, normalize=normalize)[:, 1:]
    return masked_squared_error(prediction, target, after_prefix(asked, target))

  def draw(prediction, asked):
    mask = jnp.pad(after_prefix(asked, prediction), ((0, 0), (1, 0)))
    parts = asked.image, jnp.pad(prediction, ((0, 0), (1, 0), (0, 0))), mask
    drawn = pictures(*parts, patch=patch, scaled=normalize)
    return {"original | prefix | each patch from those before it": drawn}

  return pixel_method(net, views, hide=hide, compare=compare, draw=draw)


def after_prefix(asked: Prefixed, later: jax.Array) -> jax.Array:
  """Which patches are asked for, bool [batch, patches - 1]: the first never is."""
  place = 1 + jnp.arange(later.shape[1], dtype=asked.prefix.dtype)
  return place[None] >= asked.prefix[:, None]
