"""Functions of PyTorch's ATen, done with tensors of this package.

``TABLE`` has for each overload the function that does it. The function takes a :class:`Site` and all
arguments of the overload in the order of its schema. This module does not import torch.
"""

from __future__ import annotations

from . import created as created
from . import elements as elements
from . import layers as layers
from . import layout as layout
from . import losses as losses
from .table import TABLE, Handler, Site, Unsupported

__all__ = ["TABLE", "Handler", "Site", "Unsupported"]
