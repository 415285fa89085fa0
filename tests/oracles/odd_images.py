"""Images with an alpha channel, of 16 bits, and of a camera that was held in each of eight ways, and their
pixels: tests/data/datasets/odd_images/ and pixels.json in it. Pillow turns them upright.

Run from the repository's root with NumPy 2 and Pillow 12 or 13.
"""

import json
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

OUT = Path("tests/data/datasets/odd_images")
OUT.mkdir(parents=True, exist_ok=True)
rng = np.random.default_rng(17)
expected = {}


def planes(array):
    array = np.asarray(array)
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)


def note(name, array):
    array = planes(array)
    expected[name] = {"shape": list(array.shape), "pixels": [float(v) for v in array.ravel()]}


def deep(name, array, color):
    """A PNG of 16 bits, which Pillow writes for grey alone."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)
    height, width = array.shape[:2]
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 16, color, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    data = b"\x89PNG\r\n\x1a\n"
    for kind, body in chunks:
        data += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    (OUT / name).write_bytes(data)


colours = rng.integers(0, 256, (3, 5, 4), dtype=np.uint8)
colours[..., 3] = 255
Image.fromarray(colours, "RGBA").save(OUT / "opaque.png")
note("opaque.png", colours[..., :3])
colours[1, 2, 3] = 254
Image.fromarray(colours, "RGBA").save(OUT / "transparent.png")
grey = rng.integers(0, 65536, (3, 5), dtype=np.uint16)
Image.fromarray(grey).save(OUT / "grey16.png")
note("grey16.png", (grey / 65535).astype(np.float32))
wide = rng.integers(0, 65536, (3, 5, 4), dtype=np.uint16)
wide[..., 3] = 65535
deep("opaque16.png", wide, 6)
note("opaque16.png", (wide[..., :3] / 65535).astype(np.float32))
wide[2, 4, 3] = 65534
deep("transparent16.png", wide, 6)

y, x = np.mgrid[0:6, 0:10]
photo = np.stack([x * 25, y * 40, 255 - x * 20], axis=2).astype(np.uint8)
for turn in range(1, 9):
    exif = Image.Exif()
    exif[0x0112] = turn
    name = f"turn{turn}.jpg"
    Image.fromarray(photo).save(OUT / name, quality=95, subsampling=0, exif=exif)
    note(name, ImageOps.exif_transpose(Image.open(OUT / name)))
(OUT / "pixels.json").write_text(json.dumps(expected).replace('}, "', '},\n"') + "\n")
