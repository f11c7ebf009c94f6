"""jaxssl: self-supervised learning in JAX, every family of methods under one step.

Start with `jaxssl.core`; losses are in `jaxssl.losses`, methods in `jaxssl.methods`.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
  from jaxssl.registry import Parts, Run, build, experiment
  from jaxssl.runs import load
  from jaxssl.train import fit

__version__ = "0.1.0"

_HOMES = {
  "build": "jaxssl.registry",
  "experiment": "jaxssl.registry",
  "Parts": "jaxssl.registry",
  "Run": "jaxssl.registry",
  "load": "jaxssl.runs",
  "fit": "jaxssl.train",
}
_MODULES = "augment core data evals losses methods models ops optim registry train"
__all__ = ["Parts", "Run", "build", "experiment", "fit", "load"]


def __getattr__(name):
  if name in _HOMES:
    return getattr(importlib.import_module(_HOMES[name]), name)
  if name in _MODULES.split():
    return importlib.import_module(f"jaxssl.{name}")
  raise AttributeError(f"module 'jaxssl' has no attribute '{name}'")
