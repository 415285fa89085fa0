"""Modules, by the names of ``torch.nn``: a model's code moves by a change of the import."""

from __future__ import annotations

from .. import functional as functional
from .. import init as init
from .containers import (
    Lambda as Lambda,
    ModuleDict as ModuleDict,
    ModuleList as ModuleList,
    ParameterDict as ParameterDict,
    ParameterList as ParameterList,
    Sequential as Sequential,
)
from .described import Described as Described
from .functions import *  # noqa: F403
from .layers import (
    BatchNorm1d as BatchNorm1d,
    BatchNorm2d as BatchNorm2d,
    BatchNorm3d as BatchNorm3d,
    Bilinear as Bilinear,
    Conv1d as Conv1d,
    Conv2d as Conv2d,
    Conv3d as Conv3d,
    ConvTranspose1d as ConvTranspose1d,
    ConvTranspose2d as ConvTranspose2d,
    ConvTranspose3d as ConvTranspose3d,
    Dropout as Dropout,
    Embedding as Embedding,
    GroupNorm as GroupNorm,
    InstanceNorm1d as InstanceNorm1d,
    InstanceNorm2d as InstanceNorm2d,
    InstanceNorm3d as InstanceNorm3d,
    LayerNorm as LayerNorm,
    Linear as Linear,
)
from .module import Module as Module, Parameter as Parameter
from .sequences import (
    GRU as GRU,
    LSTM as LSTM,
    MultiheadAttention as MultiheadAttention,
    RNN as RNN,
    TransformerEncoder as TransformerEncoder,
    TransformerEncoderLayer as TransformerEncoderLayer,
)
