"""What programs of a module need: its parameters, layers with a state of their own, constants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from .. import nn as own
from ..nn.module import Layer, Module, Parameter
from ..places import BuildError
from ..tensors import CONSTANT_LEN_MAX, Tensor, tensor
from .aten import Unsupported
from .aten.table import element
from .initial import Start, is_out_projection, start_of
from .program import BATCH_NORMS, RECURRENT, Leaf, Program, overload_of, owner_of, uncovered
from .weights import CONSTANTS, names_of

_OWN = {"LSTM": own.LSTM, "GRU": own.GRU, "RNN": own.RNN}
# Whole numbers up to here are exact in float32, in which parameters are.
_EXACT_MAX = 2**24


class Imported:
    """The model of a plan: parameters under the names of the module's ``state_dict``, in its order."""

    def __init__(self, module: nn.Module, programs: list[Program], weights: Any) -> None:
        self.torch_module = module
        self.programs = programs
        self.state = module.state_dict()
        self.trained = {name: p.requires_grad for name, p in module.named_parameters(remove_duplicate=False)}
        # Tied weights are one parameter, under their first name.
        self.first = {name: names[0] for name, names in names_of(self.state).items()}
        self.layers = self._layers()
        self._refuse_changes()
        leaves = {leaf for program in programs for leaf in program.used()}
        self.used = {
            self.first.get(leaf.name, leaf.name) for leaf in leaves if leaf.kind in ("parameter", "buffer")
        }
        self.weights = weights
        self.starts = {name: self._start(name) for name in self.state if self._is_member(name)}
        self.large = self._large()

    def _is_member(self, name: str) -> bool:
        """Whether it is a parameter of the plan: all of the module's are, and running statistics."""
        path, _, last = name.rpartition(".")
        is_statistic = path in self.layers and last != "num_batches_tracked"
        return self.first[name] == name and (name in self.trained or is_statistic)

    def _layers(self) -> dict[str, nn.Module]:
        """Modules that are one call here, by their paths: those of recurrent layers, and those of batch
        normalisation that train."""
        found: dict[str, nn.Module] = {}
        for program in self.programs:
            for node in program.calls(*RECURRENT, *BATCH_NORMS):
                if overload_of(node) in BATCH_NORMS and not _trains(node):
                    continue
                try:
                    path = owner_of(program, node)
                    if path is None:
                        raise Unsupported("a layer whose parameters are computed")
                    found[path] = self._checked(path)
                except Unsupported as error:
                    raise uncovered([(node, error.message, error.help)]) from None
        return found

    def _checked(self, path: str) -> nn.Module:
        owner = self.torch_module.get_submodule(path)
        trained = {
            self.trained[f"{path}.{name}" if path else name]
            for name, _ in owner.named_parameters(recurse=False)
        }
        if isinstance(owner, nn.modules.batchnorm._BatchNorm):
            if False in trained:
                raise Unsupported(
                    f"batch normalisation `{path}` trains while its weights are frozen",
                    "`eval()` on it keeps its statistics, too",
                )
        elif not isinstance(owner, nn.RNNBase):
            raise Unsupported(
                f"`{path}` is a {type(owner).__name__} that runs a layer of `torch.nn`",
                "use `nn.LSTM`, `nn.GRU`, `nn.RNN` or `nn.BatchNorm2d` themselves",
            )
        elif not owner.bias or owner.proj_size:
            raise Unsupported(f"`{path}` has no biases, or a projection")
        elif len(trained) == 2:
            raise Unsupported(
                f"some parameters of `{path}` are frozen and others are not", "freeze all of them or none"
            )
        return owner

    def _refuse_changes(self) -> None:
        for name in sorted({name for program in self.programs for name in program.changed}):
            path, _, last = name.rpartition(".")
            if path not in self.layers and last != "num_batches_tracked":
                raise BuildError(
                    f"the module changes its buffer `{name}` while it computes",
                    "running statistics of batch normalisation are the only ones that are covered",
                )

    # Initial values.

    def _start(self, name: str) -> Start | torch.Tensor:
        """What a parameter starts from: a distribution, or the module's own value."""
        value = self.state[name].detach().cpu()
        chosen = self.weights if isinstance(self.weights, (list, tuple, set)) else ()
        is_chosen = any(name == each or name.startswith(f"{each}.") for each in chosen)
        if self.weights is True or is_chosen or name not in self.used:
            return value
        path, _, last = name.rpartition(".")
        owner = self.torch_module.get_submodule(path)
        above, _, attribute = path.rpartition(".")
        start = start_of(owner, last)
        if last == "bias" and is_out_projection(self.torch_module.get_submodule(above), attribute):
            start = Start("full", 0.0)
        remedy = f'`weights=True` starts from the module\'s values, `weights=["{name}"]` does so for this one'
        if start is None:
            raise BuildError(f"it is not known from what `{name}` of {type(owner).__name__} is drawn", remedy)
        if self.weights is None and not start.may_have_drawn(value):
            raise BuildError(
                f"`{name}` is not as a new {type(owner).__name__} starts: it was trained, or has "
                "a start of its own",
                f"{remedy}, and `weights=False` draws it anew",
            )
        return start

    def _large(self) -> dict[tuple[int, Leaf], str]:
        """Buffers and constants that do not fit into functions, and their names as frozen parameters."""
        names: dict[tuple[int, Leaf], str] = {}
        for nth, program in enumerate(self.programs):
            for leaf in sorted(program.used(), key=lambda leaf: str(leaf.name)):
                value = program.constants.get(leaf.name)
                if value is None or leaf.name in self.starts or value.numel() <= CONSTANT_LEN_MAX:
                    continue
                name = leaf.name if leaf.kind == "buffer" else self._constant_name(value)
                self.starts[name] = _as_parameter(name, value.detach().cpu())
                names[nth, leaf] = name
        return names

    def _constant_name(self, value: torch.Tensor) -> str:
        known = [name for name in self.starts if name.startswith(CONSTANTS)]
        same = [name for name in known if torch.equal(self.starts[name], value.float())]
        return same[0] if same else f"{CONSTANTS}{len(known)}"

    # The model here.

    def model(self) -> Module:
        """A tree of modules with the names of the state."""
        root = Module()
        made: set[str] = set()
        for name, start in self.starts.items():
            path = name.rpartition(".")[0]
            if path not in self.layers:
                _place(root, name, self._parameter(name, start))
            elif path not in made:
                made.add(path)
                _place(root, path, self._layer(path))
        return root

    def _parameter(self, name: str, start: Start | torch.Tensor) -> Parameter:
        if isinstance(start, Start):
            value: Any = start.initial(self.state[name].shape)
        else:
            value = start.float().numpy()
        trains = self.trained.get(name, False) and name in self.used
        return Parameter(value, trains, is_buffer=name not in self.trained)

    def _layer(self, path: str) -> Layer:
        owner = self.layers[path]
        if isinstance(owner, nn.RNNBase):
            layer: Layer = _OWN[owner.mode.partition("_")[0]](
                owner.input_size,
                owner.hidden_size,
                owner.num_layers,
                batch_first=True,
                dropout=owner.dropout,
                bidirectional=owner.bidirectional,
            )
        else:
            layer = own.BatchNorm1d(owner.num_features, owner.eps, owner.momentum, owner.affine)
        for name, part in layer._values():
            start = self.starts[f"{path}.{name}"]
            if isinstance(start, torch.Tensor):
                part.array = start.float().numpy()
        if not any(p.requires_grad for p in owner.parameters(recurse=False)) and isinstance(
            owner, nn.RNNBase
        ):
            layer.freeze()
        return layer

    def run(self, nth: int, net: Module, inputs: list[Tensor]) -> Tensor:
        """What a program computes."""
        program = self.programs[nth]
        parameters = dict(net._values())

        def value_of(leaf: Leaf) -> Tensor:
            if leaf.kind == "input":
                return inputs[leaf.name].to(program.inputs[leaf.name])
            name = self.large.get((nth, leaf)) or self.first.get(leaf.name, leaf.name)
            constant = program.constants.get(leaf.name)
            if leaf.kind != "constant" and name in parameters or (nth, leaf) in self.large:
                return parameters[name] if constant is None else parameters[name].to(element(constant.dtype))
            return tensor(constant.detach().cpu().numpy(), element(constant.dtype))

        (made,) = program.run(value_of, {path: _called(net, path) for path in self.layers})
        return made


def _as_parameter(name: str, value: torch.Tensor) -> torch.Tensor:
    """A constant as float32."""
    if not value.is_floating_point() and value.abs().max() > _EXACT_MAX:
        raise BuildError(f"the constant `{name}` holds whole numbers beyond 2^24")
    if not bool(torch.isfinite(value.float()).all()):
        raise BuildError(
            f"the constant `{name}` of {value.numel()} numbers holds some that are not finite",
            "compute it in `forward`, such as a mask by `torch.full(..).triu(1)`",
        )
    return value.float()


def _place(root: Module, path: str, part: Any) -> None:
    *above, last = path.split(".")
    for name in above:
        if name not in vars(root):
            setattr(root, name, Module())
        root = vars(root)[name]
    setattr(root, last, part)


def _called(net: Module, path: str) -> Callable[..., Any]:
    """The layer at a path of the model."""
    found: Any = net
    for name in path.split("."):
        found = vars(found)[name]
    # Which axes a batch normalisation takes was checked by PyTorch.
    return found if isinstance(found, tuple(_OWN.values())) else lambda x: found.run(x)[0]


def _trains(node: torch.fx.Node) -> bool:
    """Whether a call of batch normalisation uses statistics of the batch and moves the running ones."""
    names = [argument.name for argument in node.target._schema.arguments]
    if "training" not in names:
        return False
    at = names.index("training")
    return bool(node.args[at] if at < len(node.args) else node.kwargs.get("training"))
