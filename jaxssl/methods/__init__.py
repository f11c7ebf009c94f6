"""Self-supervised methods, one file each; nets and views come in as arguments."""

from jaxssl.methods.barlow_twins import barlow_twins
from jaxssl.methods.byol import byol
from jaxssl.methods.moco import moco_v2
from jaxssl.methods.simclr import simclr
from jaxssl.methods.simsiam import simsiam
from jaxssl.methods.vicreg import vicreg

__all__ = ["barlow_twins", "byol", "moco_v2", "simclr", "simsiam", "vicreg"]
