#!/usr/bin/env python3
"""Writes plugins/unet/data.npz: made-up images of 16 x 16 pixels with bright discs on noise, and the
mask of each, 1 in a disc and 0 elsewhere. Run by hand, with NumPy: `python3 plugins/unet/tests/data.py`.
"""

from pathlib import Path

import numpy as np

rng = np.random.default_rng(42)
ROWS, SIZE = 120, 16
image = rng.integers(0, 140, (ROWS, SIZE, SIZE))
mask = np.zeros((ROWS, SIZE, SIZE), dtype=np.uint8)
y, x = np.mgrid[:SIZE, :SIZE]
for nth in range(ROWS):
    for _ in range(rng.integers(1, 3)):
        at, radius = rng.uniform(3, SIZE - 3, 2), rng.uniform(2, 4)
        mask[nth] |= ((y - at[0]) ** 2 + (x - at[1]) ** 2 < radius**2).astype(np.uint8)
image = (image + 70 * mask).clip(0, 255).astype(np.uint8)
np.savez_compressed(Path(__file__).parent.parent / "data.npz", image=image, mask=mask)
