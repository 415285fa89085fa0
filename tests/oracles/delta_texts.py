"""Texts in the delta encodings of Parquet, pages of both versions, into tests/data/datasets.

pyarrow: python tests/oracles/delta_texts.py. The test in host/dataset knows the rule of the cells.
"""
import pathlib

import pyarrow as pa
import pyarrow.parquet as pq

here = pathlib.Path(__file__).parent.parent / "data" / "datasets"
n = 1000
table = pa.table({
    # Long beginnings that are alike, and some that are missing.
    "patient": [None if row % 7 == 3 else f"patient-{row // 3:04}-{'x' * (row % 5)}" for row in range(n)],
    "note": [None if row % 11 == 5 else "ü" * (row % 4) + str(row * row) for row in range(n)],
    "y": [row % 2 for row in range(n)],
})
for version in ["1.0", "2.0"]:
    path = here / f"deltas_v{version[0]}.parquet"
    pq.write_table(
        table, path, compression="snappy", use_dictionary=False, data_page_version=version,
        data_page_size=2048,
        column_encoding={
            "patient": "DELTA_BYTE_ARRAY", "note": "DELTA_LENGTH_BYTE_ARRAY", "y": "PLAIN",
        },
    )
    chunk = pq.ParquetFile(path).metadata.row_group(0)
    print(path.name, [chunk.column(at).encodings for at in range(3)], path.stat().st_size)
