"""The crops of BEiT, data2vec and MaskFeat; and one crop in two sizes."""

import jax
import jax.numpy as jnp

from jaxssl.augment.image import Size, bicubic
from jaxssl.augment.random_image import random_flip
from jaxssl.augment.steps import check_size, crop, jitter
from jaxssl.augment.views import View, Views, compose, many_views


def beit_view(size: Size) -> View:
  """BEiT: colours, flip, bicubic crop (arXiv 2106.08254, and the official code).

  data2vec's for images is the same (arXiv 2202.03555, whose code is made of BEiT's).

  Args:
    size: rows and columns of the view, or one number.
  """
  return compose(
    jitter(0.4, 0.4, 0.4, 0.0, probability=1.0),
    random_flip,
    crop(size, scale=(0.08, 1.0), resampling=bicubic),
  )


data2vec_view = beit_view


def maskfeat_view(size: Size) -> View:
  """MaskFeat: crop of half or more, and flip (the official code of 2112.09133).

  Args:
    size: rows and columns of the view, or one number.
  """
  return compose(crop(size, scale=(0.5, 1.0), resampling=bicubic), random_flip)


def in_two_sizes(view: View, size: Size) -> Views:
  """One view of an example, and the same smaller: BEiT's for net and tokenizer.

  The official code resizes the crop itself twice, the second time by a Lanczos filter;
  here the second is a Lanczos-resized copy of the first.

  Args:
    view: (key, example) -> view.
    size: rows and columns of the second, or one number.

  Returns:
    views(key, example) -> (view, the same in the other size).
  """
  rows, columns = check_size(size)
  only = many_views(view)

  def views(key: jax.Array, example: jax.Array) -> tuple[jax.Array, jax.Array]:
    (image,) = only(key, example)
    shape = (rows, columns, image.shape[-1])
    return image, jnp.clip(jax.image.resize(image, shape, "lanczos3"), 0.0, 1.0)

  return views
