"""Parameters as arrays of NumPy."""

from __future__ import annotations

import os
from typing import Any, Mapping

from . import _native
from .errors import ConfigurationError


def arrays(params: _native.Params) -> dict[str, Any]:
    """Read-only arrays by name, which share the elements with the host: nothing is copied."""
    import numpy

    return {name: numpy.asarray(params[name]) for name in params.names()}


def native(params: Any, like: _native.Params | None = None) -> _native.Params:
    """Parameters for the host: of a file, or of arrays by name, those of torch among them. With
    ``like`` they get its element types."""
    if isinstance(params, _native.Params):
        return params
    if isinstance(params, (str, os.PathLike)):
        return _native.Params.load(os.fspath(params))
    if not isinstance(params, Mapping):
        raise ConfigurationError(
            f"parameters are of the type {type(params).__name__}; expected a dict or a file"
        )
    import numpy

    dtypes = {} if like is None else {name: numpy.asarray(like[name]).dtype for name in like.names()}
    tensors = []
    for name, value in params.items():
        # A tensor of torch may need a gradient or lie on a device.
        for step in ("detach", "cpu"):
            value = getattr(value, step, lambda value=value: value)()
        array = numpy.asarray(value, dtype=dtypes.get(name))
        array = numpy.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")
        tensors.append((str(name), array.dtype.name, list(array.shape), array.tobytes()))
    return _native.Params(tensors)


def named(path: str | os.PathLike[str]) -> str:
    """The path of a file of parameters, whose name says the format."""
    path = os.fspath(path)
    if not path.endswith((".safetensors", ".mpk")):
        raise ConfigurationError(f"{path} is neither .safetensors nor .mpk", "its name says the format")
    return path
