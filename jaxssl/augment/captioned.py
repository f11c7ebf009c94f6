"""Views of captioned images: the image is augmented, one of the captions is drawn."""

import jax
import jax.numpy as jnp

from jaxssl.augment.image import Size, bicubic
from jaxssl.augment.random_image import Range
from jaxssl.augment.steps import crop
from jaxssl.augment.views import View, compose
from jaxssl.data.captions import Captioned


def captioned_view(image: View) -> View:
  """A view of a captioned image: one of its image, and any of its captions first.

  Args:
    image: (key, image) -> view of it.

  Returns:
    (key, captioned example) -> the same with other pixels, and the captions turned
    until the one that was drawn is the first.
  """

  def view(key: jax.Array, example: Captioned) -> Captioned:
    key_image, key_text = jax.random.split(key)
    drawn = jax.random.randint(key_text, (), 0, len(example.text))
    text = jnp.roll(example.text, -drawn, axis=0)
    return Captioned(image(key_image, example.image), text)

  return view


def clip_view(size: Size, *, scale: Range = (0.9, 1.0)) -> View:
  """CLIP: a random crop and nothing else, and a caption (arXiv 2103.00020, section 2).

  No mirror images, and no other colours: captions speak of both.

  Args:
    size: rows and columns of the view, or one number.
    scale: (low, high) share of the area that is cropped; open_clip's by default.
  """
  return captioned_view(compose(crop(size, scale=scale, resampling=bicubic)))
