"""Samples in tar archives by Python's tarfile, and the same arrays in a folder:
tests/data/datasets/shards/.

Run from the repository's root with NumPy 2.
"""

import io
import tarfile
from pathlib import Path

import numpy as np

OUT = Path("tests/data/datasets/shards")
(OUT / "arrays").mkdir(parents=True, exist_ok=True)
x = (np.arange(18, dtype=np.float32) / 2).reshape(3, 2, 3)
y = np.array([-1, -2, -3], dtype=np.int16)
label = [3, 1, 4]
np.save(OUT / "arrays/x.npy", x)
np.save(OUT / "arrays/y.npy", y)
# Longer than the 100 bytes of a header, and than its prefix.
folder = "a-folder-with-a-name-of-many-bytes/" * 8


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


for name, kind in [("gnu", tarfile.GNU_FORMAT), ("pax", tarfile.PAX_FORMAT)]:
    with tarfile.open(OUT / f"{name}.tar", "w", format=kind) as archive:
        for row in range(3):
            parts = {"x.npy": npy(x[row]), "y.npy": npy(y[row]), "cls": str(label[row]).encode()}
            for end, data in parts.items():
                info = tarfile.TarInfo(f"{folder if row else ''}{row:06}.{end}")
                info.size = len(data)
                # Not a whole second: pax then has an attribute of it.
                info.mtime = 1.5
                archive.addfile(info, io.BytesIO(data))
