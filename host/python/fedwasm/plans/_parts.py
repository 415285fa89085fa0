"""What several plans are made of."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from ..tensors import Tensor, arange


class Fitted(SimpleNamespace):
    """Arrays by scikit-learn's names."""


def one_of(classes: Tensor, n_classes: Any) -> Tensor:
    """1 for the class of each row and 0 for the others, float32 [rows, classes]."""
    return (classes.unsqueeze(1) == arange(n_classes)).float()
