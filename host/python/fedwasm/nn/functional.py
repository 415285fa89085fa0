"""Functions of tensors: ``import fedwasm.nn.functional as F``."""

from ..functional import *  # noqa: F403
