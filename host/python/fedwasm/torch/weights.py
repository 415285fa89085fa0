"""Federated weights back into modules of PyTorch."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch

from .._params import arrays, native
from ..errors import ConfigurationError

# Constants that a plan keeps as parameters, without a name in the module.
CONSTANTS = "constants."


def load_into(made_of: Any, params: Any) -> torch.nn.Module:
    """A copy of a module, or of the one that a plan was made of, with weights by name."""
    module = getattr(made_of, "module", made_of) if isinstance(made_of, type) else made_of
    if not isinstance(module, torch.nn.Module):
        raise ConfigurationError(
            f"{made_of!r} is not a module of PyTorch, nor a plan made of one",
            "`fedwasm.torch.plan` makes plans of modules",
        )
    kind = type(module).__name__
    loaded = copy.deepcopy(module)
    state = loaded.state_dict()
    names, others = names_of(state), dict(loaded.named_buffers())
    taken: set[str] = set()
    for name, array in arrays(native(params)).items():
        if name not in state:
            if name in others or name.startswith(CONSTANTS):
                continue
            raise ConfigurationError(f"{kind} has no `{name}`", "give the module that the plan was made of")
        value = torch.from_numpy(array.copy())
        if value.shape != state[name].shape:
            sizes = f"{list(value.shape)} in the weights and {list(state[name].shape)} in {kind}"
            raise ConfigurationError(f"`{name}` is {sizes}", "give the module that the plan was made of")
        with torch.no_grad():
            state[name].copy_(value)
        taken.update(names[name])
    missing = [name for name, _ in loaded.named_parameters() if name not in taken]
    if missing:
        raise ConfigurationError(
            f"there are no weights for `{missing[0]}` of {kind}", "give the module that the plan was made of"
        )
    return loaded


def names_of(state: Mapping[str, torch.Tensor]) -> dict[str, list[str]]:
    """For each name all names of the same tensor: tied weights have several."""
    groups: dict[Any, list[str]] = {}
    for name, tensor in state.items():
        # Tensors without elements share no memory.
        key = (tensor.data_ptr(), tensor.shape, tensor.stride()) if tensor.numel() else name
        groups.setdefault(key, []).append(name)
    return {name: names for names in groups.values() for name in names}
