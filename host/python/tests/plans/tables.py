"""Tables of the tests of plans and of their oracle: the same rows for both, as float32."""

from __future__ import annotations

from pathlib import Path

import numpy

DATA = Path(__file__).resolve().parents[4] / "examples/data"
TARGETS = {"breast_cancer": "benign", "diabetes": "progression", "digits": "digit"}


def table(name: str, standardised: bool = True) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Inputs, each column with mean 0 and deviation 1 unless it is constant, and the target."""
    with open(DATA / f"{name}.csv") as file:
        header = file.readline().strip().split(",")
        rows = numpy.loadtxt(file, delimiter=",")
    at = header.index(TARGETS[name])
    x, y = numpy.delete(rows, at, 1), rows[:, at]
    if standardised:
        deviation = x.std(0)
        x = (x - x.mean(0)) / numpy.where(deviation > 0, deviation, 1)
    return x.astype("float32"), y


def weights(*shape: int, scale: float = 0.3) -> numpy.ndarray:
    """Weights that look random and are the same everywhere."""
    n = int(numpy.prod(shape))
    return (scale * numpy.sin(numpy.arange(1, n + 1) ** 2 * 0.7)).reshape(shape).astype("float32")
