"""Writes log_mel.npz and log_mel.json: spectra by torch.stft, mel bands by a slow loop.

Made with torch 2.13.0 for CPU in float64, numpy 2.4.6, Python 3.11. The tests read the
two files only. To make them again, in an environment with these packages:

    python tests/golden/make_log_mel.py

The waves are drawn by numpy (`default_rng`, the seed is in each note). The mel bands
are the formulas of the HTK book (section 5.6) and of Slaney's Auditory Toolbox (1998),
written down band by band and frequency by frequency.
"""

import json
import math
import pathlib

import numpy as np
import torch

FOLDER = pathlib.Path(__file__).parent
CASES = (
  {"rate": 16000, "length": 400, "hop": 160, "fft": 1024, "bands": 64, "low": 60.0}
  | {"high": 7800.0, "scale": "htk", "power": 1, "equal_area": False, "floor": 1e-5},
  {"rate": 8000, "length": 256, "hop": 80, "fft": 256, "bands": 20, "low": 0.0}
  | {"high": 4000.0, "scale": "slaney", "power": 2, "equal_area": True, "floor": 1e-8},
)


def wave_of(seed):
  """A sweep and noise, the last fifth silent, float32 [2400]."""
  rng = np.random.default_rng(seed)
  time = np.arange(2400) / 2400
  wave = 0.5 * np.sin(2 * np.pi * (20 + 300 * time) * time)
  wave += 0.05 * rng.standard_normal(2400)
  wave[1920:] = 0.0
  return wave.astype(np.float32)


def magnitudes(wave, case):
  """|torch.stft|, [frames, fft // 2 + 1]; torch centres short windows in the frame."""
  around = case["fft"] - case["length"]
  padded = np.pad(wave.astype(np.float64), (around // 2, around - around // 2))
  window = torch.hann_window(case["length"], periodic=True, dtype=torch.float64)
  found = torch.stft(
    torch.from_numpy(padded),
    n_fft=case["fft"],
    hop_length=case["hop"],
    win_length=case["length"],
    window=window,
    center=False,
    return_complex=True,
  )
  return found.abs().numpy().T


def to_mel(hertz, scale):
  """Hertz to mels."""
  if scale == "htk":
    return 1127.0 * math.log(1.0 + hertz / 700.0)
  if hertz < 1000.0:
    return 3.0 * hertz / 200.0
  return 15.0 + 27.0 * math.log(hertz / 1000.0) / math.log(6.4)


def to_hertz(mel, scale):
  """Mels to hertz."""
  if scale == "htk":
    return 700.0 * (math.exp(mel / 1127.0) - 1.0)
  if mel < 15.0:
    return 200.0 * mel / 3.0
  return 1000.0 * 6.4 ** ((mel - 15.0) / 27.0)


def bank(case):
  """The triangles, [fft // 2 + 1, bands]."""
  first, last = (to_mel(case[end], case["scale"]) for end in ("low", "high"))
  step = (last - first) / (case["bands"] + 1)
  found = np.zeros((case["fft"] // 2 + 1, case["bands"]))
  for band in range(case["bands"]):
    corners = [to_hertz(first + (band + i) * step, case["scale"]) for i in range(3)]
    for k in range(case["fft"] // 2 + 1):
      hertz = k * case["rate"] / case["fft"]
      if corners[0] < hertz <= corners[1]:
        found[k, band] = (hertz - corners[0]) / (corners[1] - corners[0])
      elif corners[1] < hertz < corners[2]:
        found[k, band] = (corners[2] - hertz) / (corners[2] - corners[1])
    if case["equal_area"]:
      found[:, band] *= 2.0 / (corners[2] - corners[0])
  return found


def main():
  """Writes the two files."""
  arrays, described = {}, []
  for i, case in enumerate(CASES):
    wave = wave_of(i)
    magnitude, mel = magnitudes(wave, case), bank(case)
    logs = np.log(np.maximum(magnitude ** case["power"] @ mel, case["floor"]))
    values = {"wave": wave, "magnitude": magnitude, "bank": mel, "log_mel": logs}
    arrays |= {f"case{i}/{n}": np.asarray(v, np.float32) for n, v in values.items()}
    outputs = {
      "magnitude": {"atol": 2e-5, "rtol": 1e-5},
      "bank": {"atol": 1e-6, "rtol": 1e-5},
      "log_mel": {"atol": 2e-4, "rtol": 1e-5},
    }
    note = f"default_rng({i}); float64 inside, stored as float32"
    described.append(
      {"options": case, "inputs": ["wave"], "outputs": outputs, "note": note}
      | {"reference": "torch 2.13.0: torch.stft"}
    )
  np.savez_compressed(FOLDER / "log_mel.npz", **arrays)
  text = json.dumps({"kind": "function", "cases": described}, indent=1)
  (FOLDER / "log_mel.json").write_text(text + "\n")


if __name__ == "__main__":
  main()
