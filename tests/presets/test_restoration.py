"""What the experiments with colorization and inpainting share."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl import registry
from jaxssl.data import ArraySource, digits
from jaxssl.errors import InputError
from jaxssl.presets import restoration


def colored(rows=1200):
  """A source of random colours."""
  images = np.random.default_rng(0).integers(0, 255, (rows, 2, 2, 3), np.uint8)
  return ArraySource({"input": images})


def test_weights_are_those_of_a_sample_over_the_whole_source():
  weights = restoration.color_weights(colored(), gamma=0.5, alpha=1.0)
  again = restoration.color_weights(colored(), gamma=0.5, alpha=1.0)
  np.testing.assert_array_equal(weights, again)
  assert weights.shape == (313,) and weights.min() < 1 < weights.max()
  reddish = colored()
  reddish.data["input"][600:] = [255, 0, 0]  # in the second half alone
  skewed = restoration.color_weights(reddish, gamma=0.5, alpha=1.0)
  assert skewed.min() < 0.1 * weights.min()


def test_grey_data_are_refused_when_the_experiment_is_built():
  with pytest.raises(InputError, match="Grey images"):
    restoration.color_weights(digits().train, gamma=0.5, alpha=1.0)
  with pytest.raises(InputError, match="Grey images"):
    registry.build("colorization_cifar10", data="digits", size=8)


@pytest.mark.parametrize("name", ["colorization", "colorization_regression"])
def test_grey_images_in_three_channels_are_refused_too(name, tmp_path):
  grey = np.random.default_rng(0).integers(0, 255, (40, 64, 64, 1), np.uint8)
  np.savez(tmp_path / "grey.npz", x=grey.repeat(3, axis=-1))
  data = str(tmp_path / "grey.npz")
  options = {"batch": 8, "encoder": "convnet", "data": data}
  with pytest.raises(InputError, match="None of 40 images has a pixel whose a or b"):
    registry.build(f"{name}_imagenette", **options)
  np.savez(tmp_path / "grey.npz", x=grey)
  with pytest.raises(InputError, match="Grey images have no colour"):
    registry.build(f"{name}_imagenette", **options)


def test_fixed_crops_are_pieces_of_the_image():
  image = jnp.asarray(np.random.default_rng(0).random((16, 16, 3), np.float32))
  views = restoration.fixed_crops(8, share=0.5)
  for seed in range(3):
    (crop,) = views(jax.random.key(seed), image)
    pieces = [
      image[i : i + 8, j : j + 8][:, ::flip]
      for i in range(9)
      for j in range(9)
      for flip in (1, -1)
    ]
    assert min(float(jnp.abs(crop - p).max()) for p in pieces) < 1e-5


@pytest.mark.parametrize("size", [16, 32, 128])
def test_context_nets_make_half_of_the_image(size):
  net = restoration.context_net(size, width=4, bottleneck=8)
  critic = restoration.hole_critic(size // 2, width=4)
  images = jnp.zeros((2, size, size, 3))
  key = jax.random.key(0)
  made = jax.eval_shape(lambda: net.init_with_output(key, images, train=True)[0])
  assert made.shape == (2, size // 2, size // 2, 3)
  hole = jnp.zeros(made.shape)
  logits = jax.eval_shape(lambda: critic.init_with_output(key, hole, train=True)[0])
  assert logits.shape == (2,)


def test_the_paper_has_widths_of_64_to_512():
  net = restoration.context_net(128, width=64, bottleneck=4000)
  assert net.encoder.widths == (64, 64, 128, 256, 512)
  assert net.decoder.widths == (512, 256, 128, 64)
  assert restoration.hole_critic(64, width=64).widths == (64, 128, 256, 512)


@pytest.mark.parametrize("size", [0, 8, 48, 100])
def test_other_sizes_are_refused(size):
  with pytest.raises(InputError, match="needs 16, 32"):
    restoration.context_net(size, width=4, bottleneck=8)
