"""Writes tests/data/exact_moments.json: sums, means and variances of values in exact fractions.

Run by hand: python tests/oracles/exact_moments.py
"""

import json
import math
import random
import struct
from fractions import Fraction
from pathlib import Path

UNIT = 128


def whole(value: float) -> int:
    """The value in multiples of 2^-128, rounded half to even (Python's round of a fraction)."""
    return round(Fraction(value) * 2**UNIT)


def hexadecimal(number: int) -> str:
    return f"{'-' if number < 0 else ''}{abs(number):x}"


def case(values: list[float]) -> dict:
    multiples = [whole(value) for value in values]
    n, total, squares = len(values), sum(multiples), sum(k * k for k in multiples)
    mean = Fraction(total, n * 2**UNIT)
    variance = Fraction(n * squares - total * total, n * n * 4**UNIT)
    return {
        "bits": [struct.unpack(">Q", struct.pack(">d", value))[0] for value in values],
        "sum": hexadecimal(total),
        "squares": hexadecimal(squares),
        # float(Fraction) rounds once, to the nearest.
        "mean": float(mean),
        "variance": float(variance),
        "varies": variance > 0,
    }


rng = random.Random(17)
cases = [
    case([0.1] * 7),
    case([1.0, 2.0, 4.0, 8.0, 16.0]),
    case([-0.0, 0.0]),
    case([1e30, -1e30, 1.0]),
    case([math.ldexp(1.0, -129), math.ldexp(3.0, -129), math.ldexp(1.0, -130), 5e-324]),
    case([math.nextafter(2.0**127, 0.0), -math.nextafter(2.0**127, 0.0)]),
    case([1e9 + 0.1 * n for n in range(50)]),
    case([rng.gauss(0.0, 1.0) for _ in range(200)]),
    case([math.ldexp(rng.uniform(-1, 1), rng.randrange(-160, 127)) for _ in range(200)]),
    case([3.5]),
]
root = Path(__file__).resolve().parents[2]
(root / "tests/data/exact_moments.json").write_text(json.dumps(cases, indent=1) + "\n")
