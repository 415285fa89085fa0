#!/usr/bin/env python3
"""Writes tests/data/datasets with the libraries that other people use: NumPy and Pillow.

    pip install numpy pillow
    python tests/oracles/datasets.py tests/data/datasets

host/dataset/tests/formats.rs knows the numbers: value n of an array counts up from 0.
"""

import gzip
import struct
import sys
from pathlib import Path

import numpy as np
from PIL import Image

out = Path(sys.argv[1])
out.mkdir(parents=True, exist_ok=True)


def counting(shape, dtype):
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


# Tables, in every type and in both orders.
table = counting((5, 3), "<f8")
for name, array in {
    "f8": table,
    "f4-big-endian": table.astype(">f4"),
    "i2": table.astype("<i2"),
    "fortran": np.asfortranarray(table),
    "bool": table.astype(bool),
}.items():
    np.save(out / f"table-{name}.npy", array)

# Arrays by name: images, a vector and two targets.
arrays = {
    "pixels": counting((4, 2, 3), "u1"),
    "colours": np.asfortranarray(counting((4, 3, 2, 2), "<f4")),
    "age": counting((4,), "<i8"),
    "label": np.array([0, 1, 2, 1], dtype="u1"),
    "score": counting((4, 2), "<f4"),
}
np.savez(out / "arrays.npz", **arrays)
np.savez_compressed(out / "arrays-compressed.npz", **arrays)
np.savez(out / "objects.npz", label=np.array([{"a": 1}, None], dtype=object))

# IDX, whose numbers are big-endian.
def idx(path, array, kind):
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, kind, array.ndim, *array.shape)
    write = gzip.open if path.suffix == ".gz" else open
    with write(path, "wb") as file:
        file.write(header + array.tobytes())


folder = out / "idx"
folder.mkdir(exist_ok=True)
idx(folder / "train-images-idx3-ubyte.gz", counting((4, 2, 3), "u1"), 0x08)
idx(folder / "train-labels-idx1-ubyte.gz", np.array([0, 1, 2, 1], "u1"), 0x08)
idx(folder / "t10k-images-idx3-ubyte", counting((2, 2, 3), ">i2"), 0x0B)
idx(folder / "t10k-labels-idx1-ubyte", np.array([2, 0], "u1"), 0x08)

# Folders of images: pixel values of known size and order.
def image(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)


# Slow waves, so that JPEG changes little.
lines, columns = np.mgrid[0:16, 0:24]
grey = (128 + 80 * np.sin(lines / 7) * np.cos(columns / 9)).astype("u1")
colours = np.stack([grey, 255 - grey, grey // 2], axis=-1)
image(out / "grey/a/1.png", grey)
image(out / "grey/a/2.jpg", grey, quality=95)
image(out / "grey/b/1.png", 255 - grey)
image(out / "colours/cat/1.png", colours)
image(out / "colours/cat/2.jpeg", colours, quality=95, subsampling=0)
image(out / "colours/dog/1.png", np.dstack([colours, np.full_like(grey, 7)]))
Image.fromarray(colours).quantize(256).save(out / "colours/dog/2.png")
Image.fromarray(colours).save(out / "colours/dog/3.jpg", quality=95, progressive=True)
np.save(out / "grey.npy", grey.astype("f8"))
