"""Recurrent layers and attention."""

from __future__ import annotations

from typing import Any, Sequence

from .. import dtypes
from ..places import refuse
from ..tensors import Tensor, call
from .containers import ModuleList
from .layers import _unless
from .module import Layer, Module


class _Recurrent(Layer):
    """As PyTorch's: [steps, rows, inputs] unless ``batch_first`` is true."""

    _kind_name = ""
    _n_states = 1

    def __init__(
        self,
        input_size: Any,
        hidden_size: Any,
        num_layers: Any = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: Any = 0.0,
        bidirectional: Any = False,
    ) -> None:
        if not bias:
            refuse(f"`bias=False` of `nn.{type(self).__name__}`", "leave it out")
        self.batch_first = batch_first
        super().__init__(
            self._kind_name,
            input_size=input_size,
            hidden_size=hidden_size,
            num_layers=_unless(num_layers, 1),
            dropout=_unless(dropout, 0.0),
            bidirectional=None if bidirectional is False else bidirectional,
        )

    def forward(self, x: Tensor, states: Any = None) -> tuple[Tensor, Any]:  # type: ignore[override]
        """Outputs of all steps, and the states after the last."""
        given: Sequence[Tensor] = ()
        if states is not None:
            given = states if isinstance(states, (tuple, list)) else (states,)
        if given and len(given) != self._n_states:
            refuse(f"{len(given)} states for `nn.{type(self).__name__}`", f"it has {self._n_states}")
        outputs, *last = self.run(x if self.batch_first else x.transpose(0, 1), *given)
        outputs = outputs if self.batch_first else outputs.transpose(0, 1)
        return outputs, tuple(last) if self._n_states > 1 else last[0]


class RNN(_Recurrent):
    """Recurrent layers with ``tanh``, as ``torch.nn.RNN``."""

    _kind_name = "RNN"


class GRU(_Recurrent):
    """Gated recurrent units, as ``torch.nn.GRU``."""

    _kind_name = "GRU"


class LSTM(_Recurrent):
    """Long short-term memory, as ``torch.nn.LSTM``."""

    _kind_name = "LSTM"
    _n_states = 2


class MultiheadAttention(Layer):
    """Attention with several heads, as ``torch.nn.MultiheadAttention``.

    It returns the outputs and None: the weights of attention are not kept.
    """

    def __init__(
        self,
        embed_dim: Any,
        num_heads: Any,
        dropout: Any = 0.0,
        bias: bool = True,
        batch_first: bool = False,
    ) -> None:
        if not bias:
            refuse("`bias=False` of `nn.MultiheadAttention`", "leave it out")
        self.batch_first = batch_first
        super().__init__(
            "MultiheadAttention", embed_dim=embed_dim, num_heads=num_heads, dropout=_unless(dropout, 0.0)
        )

    def forward(  # type: ignore[override]
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
    ) -> tuple[Tensor, None]:
        """Attention of queries to keys and values; masks are true where none is paid, as PyTorch's."""
        mask = [] if (both := _masks(attn_mask, key_padding_mask)) is None else [both]
        if query is key and key is value:
            x = self._turned(query)
            return self._turned(self.run(x, *mask)[0]), None
        inputs = [self._turned(each) for each in (query, key, value)]
        return self._turned(self.run(*inputs, *mask)[0]), None

    def _turned(self, x: Tensor) -> Tensor:
        return x if self.batch_first else x.transpose(0, 1)


def _masks(positions: Tensor | None, padding: Tensor | None) -> Tensor | None:
    """One mask [rows, heads, positions, others] of those of positions and of padding."""
    if positions is not None and positions.ndim == 3:
        refuse("`attn_mask` of 3 axes", "[positions, others], or a padding mask for each row")
    if padding is None:
        return positions
    padding = padding.unsqueeze(1).unsqueeze(1)
    if positions is None:
        return padding
    if positions.dtype is dtypes.bool_ and padding.dtype is dtypes.bool_:
        return call(
            "logical_or",
            [
                positions.expand(padding.shape[0], 1, *positions.shape),
                padding.expand(-1, -1, positions.shape[0], -1),
            ],
        )
    refuse("`attn_mask` of numbers beside `key_padding_mask`", "make both masks of truth values")


class TransformerEncoderLayer(Layer):
    """Self-attention and two linear layers, as ``torch.nn.TransformerEncoderLayer``."""

    def __init__(
        self,
        d_model: Any,
        nhead: Any,
        dim_feedforward: Any = 2048,
        dropout: Any = 0.1,
        activation: Any = "relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: Any = False,
    ) -> None:
        if layer_norm_eps != 1e-5:
            refuse(f"`layer_norm_eps={layer_norm_eps}`", "1e-5")
        self.batch_first = batch_first
        self._given = (
            d_model,
            nhead,
            dim_feedforward,
            dropout,
            activation,
            layer_norm_eps,
            batch_first,
            norm_first,
        )
        super().__init__(
            "TransformerEncoderLayer",
            d_model=d_model,
            nhead=nhead,
            dim_feedforward=_unless(dim_feedforward, 2048),
            dropout=_unless(dropout, 0.1),
            activation=_activation(activation),
            norm_first=None if norm_first is False else norm_first,
        )

    def forward(
        self, src: Tensor, src_mask: Tensor | None = None, src_key_padding_mask: Tensor | None = None
    ) -> Tensor:
        """Computes the output; masks are true where no attention is paid."""
        mask = [] if (both := _masks(src_mask, src_key_padding_mask)) is None else [both]
        x = src if self.batch_first else src.transpose(0, 1)
        x = self.run(x, *mask)[0]
        return x if self.batch_first else x.transpose(0, 1)

    def copy(self) -> TransformerEncoderLayer:
        """Another layer like it, with parameters of its own."""
        return TransformerEncoderLayer(*self._given)


def _activation(activation: Any) -> Any:
    name = getattr(activation, "__name__", activation)
    if isinstance(name, str):
        if name not in ("relu", "gelu"):
            refuse(f"the activation {name!r}", "relu or gelu")
        return None if name == "relu" else name
    return activation


class TransformerEncoder(Module):
    """Encoder layers one after the other, as ``torch.nn.TransformerEncoder``."""

    def __init__(
        self, encoder_layer: TransformerEncoderLayer, num_layers: int, norm: Module | None = None
    ) -> None:
        if not isinstance(num_layers, int):
            refuse("`num_layers` of a transformer is a constant", "an attribute without a type is one")
        self.layers = ModuleList([encoder_layer] + [encoder_layer.copy() for _ in range(num_layers - 1)])
        self.norm = norm

    def forward(
        self, src: Tensor, mask: Tensor | None = None, src_key_padding_mask: Tensor | None = None
    ) -> Tensor:
        """Computes the output."""
        for layer in self.layers:
            src = layer(src, mask, src_key_padding_mask)
        return src if self.norm is None else self.norm(src)
