"""Federated learning with training plans that nodes run in a sandbox.

Names are loaded when they are first used: ``import fedwasm`` imports neither NumPy nor PyTorch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ._native import __version__

if TYPE_CHECKING:
    from .data import (
        Batch as Batch,
        Data as Data,
        classes as classes,
        integers as integers,
        reals as reals,
    )
    from .dtypes import (
        bool as bool,
        float32 as float32,
        float64 as float64,
        int64 as int64,
    )
    from . import (
        functional as F,
        functional as functional,
        init as init,
        losses as losses,
        nn as nn,
        optim as optim,
        plan as plan,
        plans as plans,
    )
    from .functional import (
        abs as abs,
        clamp as clamp,
        exp as exp,
        log as log,
        log_softmax as log_softmax,
        matmul as matmul,
        maximum as maximum,
        minimum as minimum,
        relu as relu,
        rsqrt as rsqrt,
        sigmoid as sigmoid,
        sign as sign,
        softmax as softmax,
        sqrt as sqrt,
        square as square,
        tanh as tanh,
        tril as tril,
        triu as triu,
    )
    from .nn.module import (
        Parameter as Parameter,
    )
    from .operations import (
        add as add,
        amax as amax,
        amin as amin,
        argmax as argmax,
        argmin as argmin,
        as_tensor as as_tensor,
        bmm as bmm,
        chunk as chunk,
        div as div,
        dot as dot,
        flatten as flatten,
        gather as gather,
        index_select as index_select,
        logical_and as logical_and,
        logical_not as logical_not,
        logical_or as logical_or,
        logsumexp as logsumexp,
        masked_fill as masked_fill,
        max as max,
        mean as mean,
        min as min,
        mm as mm,
        mul as mul,
        norm as norm,
        outer as outer,
        permute as permute,
        pow as pow,
        reshape as reshape,
        scatter_add as scatter_add,
        split as split,
        squeeze as squeeze,
        std as std,
        sub as sub,
        sum as sum,
        transpose as transpose,
        unsqueeze as unsqueeze,
        var as var,
    )
    from .places import (
        BuildError as BuildError,
    )
    from .tensors import (
        Tensor as Tensor,
        arange as arange,
        cat as cat,
        empty as empty,
        eye as eye,
        full as full,
        full_like as full_like,
        no_grad as no_grad,
        ones as ones,
        ones_like as ones_like,
        rand as rand,
        rand_like as rand_like,
        randn as randn,
        randn_like as randn_like,
        stack as stack,
        tensor as tensor,
        where as where,
        zeros as zeros,
        zeros_like as zeros_like,
    )
    from .training_plan import (
        Plan as Plan,
        argument as argument,
    )
    from . import aggregators as aggregators, strategies as strategies, torch as torch
    from .aggregators import Aggregator as Aggregator, FedAverage as FedAverage, Scaffold as Scaffold
    from .experiment import Experiment as Experiment
    from .job import LocalJob as LocalJob, LocalResult as LocalResult
    from .model import Model as Model, Predictions as Predictions
    from .network import compare as compare, evaluate as evaluate, nodes as nodes, statistics as statistics
    from .results import History as History
    from .rounds import Job as Job
    from .strategies import Strategy as Strategy
    from .errors import (
        ConfigurationError as ConfigurationError,
        Error as Error,
        NotEnoughNodes as NotEnoughNodes,
        PlanFailed as PlanFailed,
        PlanRefused as PlanRefused,
    )

# The module of each name. A module that is a name itself has None.
_HOMES: dict[str, str | None] = {
    "Aggregator": "aggregators",
    "Batch": "data",
    "BuildError": "places",
    "ConfigurationError": "errors",
    "Data": "data",
    "Error": "errors",
    "Experiment": "experiment",
    "F": "functional",
    "FedAverage": "aggregators",
    "History": "results",
    "Job": "rounds",
    "LocalJob": "job",
    "LocalResult": "job",
    "Model": "model",
    "NotEnoughNodes": "errors",
    "Parameter": "nn.module",
    "Plan": "training_plan",
    "PlanFailed": "errors",
    "PlanRefused": "errors",
    "Predictions": "model",
    "Scaffold": "aggregators",
    "Strategy": "strategies",
    "Tensor": "tensors",
    "abs": "functional",
    "add": "operations",
    "aggregators": None,
    "amax": "operations",
    "amin": "operations",
    "arange": "tensors",
    "argmax": "operations",
    "argmin": "operations",
    "argument": "training_plan",
    "as_tensor": "operations",
    "bmm": "operations",
    "bool": "dtypes",
    "cat": "tensors",
    "chunk": "operations",
    "clamp": "functional",
    "classes": "data",
    "compare": "network",
    "div": "operations",
    "dot": "operations",
    "empty": "tensors",
    "evaluate": "network",
    "exp": "functional",
    "eye": "tensors",
    "flatten": "operations",
    "float32": "dtypes",
    "float64": "dtypes",
    "full": "tensors",
    "full_like": "tensors",
    "functional": None,
    "gather": "operations",
    "index_select": "operations",
    "init": None,
    "int64": "dtypes",
    "integers": "data",
    "log": "functional",
    "log_softmax": "functional",
    "logical_and": "operations",
    "logical_not": "operations",
    "logical_or": "operations",
    "logsumexp": "operations",
    "losses": None,
    "masked_fill": "operations",
    "matmul": "functional",
    "max": "operations",
    "maximum": "functional",
    "mean": "operations",
    "min": "operations",
    "minimum": "functional",
    "mm": "operations",
    "mul": "operations",
    "nn": None,
    "no_grad": "tensors",
    "nodes": "network",
    "norm": "operations",
    "ones": "tensors",
    "ones_like": "tensors",
    "optim": None,
    "outer": "operations",
    "permute": "operations",
    "plan": None,
    "plans": None,
    "pow": "operations",
    "rand": "tensors",
    "rand_like": "tensors",
    "randn": "tensors",
    "randn_like": "tensors",
    "reals": "data",
    "relu": "functional",
    "reshape": "operations",
    "rsqrt": "functional",
    "scatter_add": "operations",
    "sigmoid": "functional",
    "sign": "functional",
    "softmax": "functional",
    "split": "operations",
    "sqrt": "functional",
    "square": "functional",
    "squeeze": "operations",
    "stack": "tensors",
    "statistics": "network",
    "std": "operations",
    "strategies": None,
    "sub": "operations",
    "sum": "operations",
    "tanh": "functional",
    "tensor": "tensors",
    "torch": None,
    "transpose": "operations",
    "tril": "functional",
    "triu": "functional",
    "unsqueeze": "operations",
    "var": "operations",
    "where": "tensors",
    "zeros": "tensors",
    "zeros_like": "tensors",
}

__all__ = ["__version__", *sorted(_HOMES)]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _HOMES[name]
    module = importlib.import_module(f".{home or name}", __name__)
    value = module if home is None else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
