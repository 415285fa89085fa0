"""Writes small Parquet files that lie, byte by byte, into tests/data/datasets/hostile.

python tests/oracles/hostile_parquet.py (no packages). `honest.parquet` is the same without a lie.
"""
import pathlib
import struct

here = pathlib.Path(__file__).parent.parent / "data" / "datasets" / "hostile"
here.mkdir(parents=True, exist_ok=True)

INT32, INT64, BINARY, LIST, STRUCT = 5, 6, 8, 9, 12
FLOAT = 4
PLAIN, RLE, RLE_DICTIONARY = 0, 3, 8


def varint(n):
    out = b""
    while n > 0x7F:
        out, n = out + bytes([n & 0x7F | 0x80]), n >> 7
    return out + bytes([n])


def zigzag(n):
    return varint((n << 1) ^ (n >> 63))


class Struct:
    """A struct of Thrift's compact protocol; fields in ascending order."""

    def __init__(self):
        self.bytes, self.last = b"", 0

    def field(self, number, kind, value):
        self.bytes += bytes([(number - self.last) << 4 | kind]) + value
        self.last = number
        return self

    def i32(self, number, value):
        return self.field(number, INT32, zigzag(value))

    def i64(self, number, value):
        return self.field(number, INT64, zigzag(value))

    def text(self, number, value):
        return self.field(number, BINARY, varint(len(value)) + value)

    def list(self, number, kind, items):
        n = len(items)
        head = bytes([n << 4 | kind]) if n < 15 else bytes([0xF0 | kind]) + varint(n)
        return self.field(number, LIST, head + b"".join(items))

    def struct(self, number, value):
        return self.field(number, STRUCT, value.end())

    def end(self):
        return self.bytes + b"\0"


def leaf(name):
    return Struct().i32(1, FLOAT).i32(3, 0).text(4, name).end()


def group(name, n_children, required=True):
    this = Struct()
    if required:
        this.i32(3, 0)
    return this.text(4, name).i32(5, n_children).end()


def chunk(name, n_values, at, size, dictionary=None):
    meta = Struct().i32(1, FLOAT).list(2, INT32, [zigzag(PLAIN), zigzag(RLE)])
    meta.list(3, BINARY, [varint(len(name)) + name]).i32(4, 0).i64(5, n_values)
    meta.i64(6, size).i64(7, size).i64(9, at)
    if dictionary is not None:
        meta.i64(11, dictionary)
    return Struct().i64(2, 0).struct(3, meta).end()


def data_page(data, n_values, encoding=PLAIN):
    header = Struct().i32(1, n_values).i32(2, encoding).i32(3, RLE).i32(4, RLE)
    return Struct().i32(1, 0).i32(2, len(data)).i32(3, len(data)).struct(5, header).end() + data


def dictionary_page(data, n_values):
    header = Struct().i32(1, n_values).i32(2, PLAIN)
    return Struct().i32(1, 2).i32(2, len(data)).i32(3, len(data)).struct(7, header).end() + data


def write(name, body, schema, rows, chunks):
    groups = [Struct().list(1, STRUCT, chunks).i64(2, 100).i64(3, rows).end()] if chunks else []
    footer = Struct().i32(1, 1).list(2, STRUCT, schema).i64(3, rows).list(4, STRUCT, groups).end()
    whole = b"PAR1" + body + footer + struct.pack("<I", len(footer)) + b"PAR1"
    (here / f"{name}.parquet").write_bytes(whole)


def table(name, pages, rows, dictionary=None):
    """Columns `x` and `label`, each of these pages."""
    size = len(pages)
    at = [4 + len(dictionary or b""), 4 + size + len(dictionary or b"")]
    first = [4, 4 + size] if dictionary else [None, None]
    chunks = [
        chunk(column, rows, at[nth], size, first[nth])
        for nth, column in enumerate([b"x", b"label"])
    ]
    write(name, pages + pages, [group(b"root", 2, False), leaf(b"x"), leaf(b"label")], rows, chunks)


four = struct.pack("<4f", 0, 1, 2, 3)
table("honest", data_page(four, 4), 4)
# 2^48 rows, which would be 2^32 blocks.
table("rows", data_page(four, 4), 1 << 48)
# A dictionary of four values that says 2^31 - 1.
dictionary = dictionary_page(four, 0x7FFFFFFF)
indices = data_page(bytes([2, 4 << 1 | 1, 0b11100100, 0]), 4, RLE_DICTIONARY)
table("dictionary", dictionary + indices, 4, dictionary)
# A schema whose root has more children than there are, and one of columns within columns.
write("children", b"", [group(b"root", 0x7FFFFFFF, False)], 0, [])
deep = [group(b"g", 1, nth > 0) for nth in range(2500)] + [leaf(b"x")]
write("deep", b"", deep, 0, [])
# Two columns on the same bytes, each as long as the file nearly is.
page = data_page(four * 64, 256)
both = [chunk(column, 256, 4, len(page)) for column in [b"x", b"label"]]
write("overlapping", page, [group(b"root", 2, False), leaf(b"x"), leaf(b"label")], 256, both)
