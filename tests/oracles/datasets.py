"""Writes the same eight rows in every format, with NumPy, pyarrow and Pillow, into tests/data/datasets.

numpy 2.4, pyarrow 26.0, pillow 13.0: python tests/oracles/datasets.py
The tests of host/dataset compare what is read with the numbers in rows.json.
"""
import gzip
import json
import pathlib
import struct

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

here = pathlib.Path(__file__).parent.parent / "data" / "datasets"
here.mkdir(parents=True, exist_ok=True)
random = np.random.default_rng(7)

ROWS = 8
pixels = random.integers(0, 256, (ROWS, 3, 4), dtype=np.uint8)
label = np.array([0, 1, 2, 0, 1, 2, 0, 1], dtype=np.uint8)
columns = {
    "f32": random.normal(size=ROWS).astype(np.float32),
    "f64": random.normal(size=ROWS),
    "i8": random.integers(-128, 128, ROWS, dtype=np.int8),
    "i16": random.integers(-(2**15), 2**15, ROWS, dtype=np.int16),
    "i32": random.integers(-(2**31), 2**31, ROWS, dtype=np.int32),
    "i64": random.integers(-(2**53), 2**53, ROWS, dtype=np.int64),
    "u8": random.integers(0, 256, ROWS, dtype=np.uint8),
    "u16": random.integers(0, 2**16, ROWS, dtype=np.uint16),
    "u32": random.integers(2**31, 2**32, ROWS, dtype=np.uint32),
    "u64": random.integers(0, 2**53, ROWS, dtype=np.uint64),
    "flag": random.integers(0, 2, ROWS).astype(bool),
}


def plain(values):
    return [float(value) for value in np.asarray(values).reshape(-1)]


def idx(name, array, code, write=open):
    header = struct.pack(">HBB", 0, code, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    with write(here / name, "wb") as file:
        file.write(header + array.astype(array.dtype.newbyteorder(">")).tobytes())


def packed(path, mode):
    return gzip.GzipFile(path, mode, mtime=0)


# IDX
idx("train-images-idx3-ubyte", pixels, 0x08)
idx("train-labels-idx1-ubyte", label, 0x08)
idx("packed-images-idx3-ubyte.gz", pixels, 0x08, packed)
idx("packed-labels-idx1-ubyte.gz", label, 0x08, packed)
idx("reals-idx2", np.stack([columns["f64"], columns["i16"]], axis=1), 0x0E)
# NPY and NPZ
np.save(here / "little.npy", np.stack([columns["f32"], columns["f32"] * 2], axis=1))
np.save(here / "columns.npy", np.asfortranarray(np.stack([columns["f32"], columns["f32"] * 2], axis=1)))
np.save(here / "big.npy", columns["i32"].astype(">i4"))
np.save(here / "fortran.npy", np.asfortranarray(pixels))
np.save(here / "objects.npy", np.array([{}, []], dtype=object), allow_pickle=True)
np.save(here / "records.npy", np.zeros(2, dtype=[("a", "<f4"), ("b", "<i4")]))
np.save(here / "halves.npy", np.zeros(2, dtype=np.float16))
np.savez(here / "stored.npz", image=pixels, label=label, **columns)
np.savez_compressed(here / "deflated.npz", image=pixels, label=label, **columns)
# Parquet
table = pa.table({**columns, "label": label})
for codec in ["none", "snappy", "gzip"]:
    pq.write_table(table, here / f"{codec}.parquet", compression=codec, row_group_size=3)
pq.write_table(table, here / "pages_v2.parquet", data_page_version="2.0", use_dictionary=False)
pq.write_table(pa.table({"a": [1.0, None, 3.0], "b": ["x", "y", "z"]}), here / "nulls.parquet")
pq.write_table(table, here / "zstd.parquet", compression="zstd")
# Images: JPEG is lossy, so its decoded pixels are kept beside it.
jpeg = {}
for row in range(ROWS):
    folder = here / "images" / "abc"[label[row]]
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels[row]).save(folder / f"{row}.png")
for name, shape, save in [("grey", (16, 24), {}), ("colour", (16, 24, 3), {"subsampling": 0})]:
    folder = here / f"jpeg_{name}" / "a"
    folder.mkdir(parents=True, exist_ok=True)
    y, x = np.mgrid[0:16, 0:24]
    image = np.stack([x * 10, y * 15, (x + y) * 6], axis=2).astype(np.uint8)
    image = image if len(shape) == 3 else image[:, :, 0]
    Image.fromarray(image).save(folder / "0.jpg", quality=90, **save)
    decoded = np.asarray(Image.open(folder / "0.jpg"))
    decoded = decoded[None] if decoded.ndim == 2 else decoded.transpose(2, 0, 1)
    jpeg[name] = {"shape": list(decoded.shape), "pixels": plain(decoded)}
folder = here / "odd"
folder.mkdir(exist_ok=True)
Image.fromarray(pixels[0]).convert("RGBA").save(folder / "alpha.png")
Image.fromarray(pixels[0].astype(np.uint16) * 257).save(folder / "deep.png")
Image.fromarray(pixels[0]).convert("P").save(folder / "palette.png")
Image.fromarray(pixels[0][:2]).save(folder / "small.png")

rows = {"pixels": plain(pixels), "label": plain(label), "jpeg": jpeg}
rows["columns"] = {name: plain(values) for name, values in columns.items()}
(here / "rows.json").write_text(json.dumps(rows) + "\n")

# A page whose header says that it becomes 1 GiB, by hand: the size is the second of the first
# three fields, and the page is moved to the end of the file to make room for its longer number.
pq.write_table(pa.table({"a": pa.array([1.5] * 4, pa.float64())}), here / "swollen.parquet",
               compression="snappy", use_dictionary=False, write_statistics=False)
whole = (here / "swollen.parquet").read_bytes()
page = pq.ParquetFile(here / "swollen.parquet").metadata.row_group(0).column(0)
start, size = page.data_page_offset, page.total_compressed_size
old = whole[start : start + size]
assert old[0] == 0x15 and old[2] == 0x15 and old[3] < 0x80
zigzag, varint = (1 << 30) * 2, b""
while zigzag > 0x7F:
    varint, zigzag = varint + bytes([zigzag & 0x7F | 0x80]), zigzag >> 7
new = old[:3] + varint + bytes([zigzag]) + old[4:]
# The footer names the length of the chunk as a zigzag varint of two bytes.
footer = whole[start + size :]
for value in [size]:
    encode = lambda n: bytes([n * 2 & 0x7F | 0x80, n * 2 >> 7]) if n >= 64 else bytes([n * 2])
    assert footer.count(encode(value)) >= 1 and len(encode(value)) == len(encode(value + 4))
    footer = footer.replace(b"\x16" + encode(value), b"\x16" + encode(value + 4))
(here / "swollen.parquet").write_bytes(whole[:start] + new + footer)
