"""CIE L*a*b* of sRGB colours, for the white point D65: lightness apart from colour."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxssl.errors import InputError

# Rows X, Y, Z; columns linear red, green, blue (sRGB primaries, IEC 61966-2-1).
TO_XYZ = np.array(
  [
    [0.4124564, 0.3575761, 0.1804375],
    [0.2126729, 0.7151522, 0.0721750],
    [0.0193339, 0.1191920, 0.9503041],
  ]
)
WHITE = TO_XYZ.sum(axis=1)  # of (1, 1, 1): grey has a = b = 0
TO_UNIT = (TO_XYZ / WHITE[:, None]).astype(np.float32)
FROM_UNIT = np.linalg.inv(TO_XYZ / WHITE[:, None]).astype(np.float32)
KNEE = 6 / 29  # below it the cube root becomes a line


def srgb_to_lab(rgb: jax.Array) -> jax.Array:
  """Turns sRGB colours into L*a*b* (CIE 15, white D65, 2 degrees).

  Args:
    rgb: [..., 3] in [0, 1], gamma-encoded as images are.

  Returns:
    float32 [..., 3]: lightness 0..100, then a (green to red) and b (blue to yellow),
    which sRGB keeps within -86.2..98.3 and -107.9..94.5.

  Raises:
    InputError: if the last axis isn't 3 channels.
  """
  _check(rgb)
  rgb = rgb.astype(jnp.float32)
  curve = ((jnp.maximum(rgb, 0.04045) + 0.055) / 1.055) ** 2.4
  linear = jnp.where(rgb <= 0.04045, rgb / 12.92, curve)
  unit = jnp.einsum("...c,xc->...x", linear, TO_UNIT, precision="highest")
  root = jnp.cbrt(jnp.maximum(unit, KNEE**3))
  f = jnp.where(unit > KNEE**3, root, unit / (3 * KNEE**2) + 4 / 29)
  x, y, z = f[..., 0], f[..., 1], f[..., 2]
  return jnp.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def lab_to_srgb(lab: jax.Array) -> jax.Array:
  """Turns L*a*b* into sRGB; what no screen can show is clipped channel by channel.

  Args:
    lab: [..., 3]: lightness 0..100, a, b.

  Returns:
    float32 [..., 3] in [0, 1].

  Raises:
    InputError: if the last axis isn't 3 channels.
  """
  _check(lab)
  lab = lab.astype(jnp.float32)
  y = (lab[..., 0] + 16) / 116
  f = jnp.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], axis=-1)
  unit = jnp.where(f > KNEE, f**3, 3 * KNEE**2 * (f - 4 / 29))
  linear = jnp.einsum("...x,cx->...c", unit, FROM_UNIT, precision="highest")
  curve = 1.055 * jnp.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055
  srgb = jnp.where(linear <= 0.0031308, 12.92 * linear, curve)
  return jnp.clip(srgb, 0.0, 1.0)


def lightness(image: jax.Array) -> jax.Array:
  """The lightness of colour or grey images.

  Args:
    image: [..., 1] or [..., 3] in [0, 1]; one channel is the grey of all three.

  Returns:
    float32 [..., 1], 0..100.
  """
  rgb = jnp.broadcast_to(image, (*image.shape[:-1], 3))
  return srgb_to_lab(rgb)[..., :1]


def _check(colors):
  if colors.shape[-1] != 3:
    raise InputError(
      f"Colours have 3 channels; got shape {colors.shape}. Grey images have no colour."
    )
