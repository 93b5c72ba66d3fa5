"""Images that PyTorch can differentiate: ``simulate`` as a function, ``Simulator`` as a module.

>>> import torch
>>> from nanobragg_numba import parameters_from_command_line
>>> from nanobragg_numba.autograd import simulate
>>> line = "-cell 100 100 100 90 90 90 -default_F 100 -N 5 -lambda 6.2 -distance 100 -detpixels 16"
>>> phi = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
>>> simulate(parameters_from_command_line(line), phi_deg=phi).sum().backward()
>>> bool(phi.grad.isfinite())
True
"""

if __name__ != "nanobragg_numba.autograd":
    raise ImportError("install the project first (pip install .): this folder is imported as nanobragg_numba.autograd")

from .overrides import OVERRIDES
from .shots import Shoeboxes
from .simulation import simulate
from .simulator import Simulator
from .whole_image import amorphous_background, mean_reading, point_spread

__all__ = ["OVERRIDES", "Shoeboxes", "Simulator", "amorphous_background", "mean_reading", "point_spread", "simulate"]
