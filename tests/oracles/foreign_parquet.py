"""Parquet files as DuckDB, fastparquet and pandas write them, into tests/data/datasets.

duckdb 2.0, fastparquet 2026.9, pandas 3.0, pyarrow 26.0: python tests/oracles/foreign_parquet.py
DuckDB and fastparquet tell unsigned integers by the older ConvertedType alone; pandas writes the index
of a frame that was filtered as a column; Arrow writes durations as plain integers. The tests of
host/dataset know the numbers.
"""
import pathlib

import duckdb
import fastparquet
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

here = pathlib.Path(__file__).parent.parent / "data" / "datasets"
small = [0, 1, 2**31 - 1, 2**31, 3_000_000_000, 2**32 - 1]
large = [0, 1, 2**32, 2**53 - 1, 2**53, 7]

frame = pd.DataFrame({
    "u8": np.array([0, 1, 127, 128, 200, 255], dtype=np.uint8),
    "u16": np.array([0, 1, 2**15 - 1, 2**15, 40_000, 2**16 - 1], dtype=np.uint16),
    "u32": np.array(small, dtype=np.uint32),
    "u64": np.array(large, dtype=np.uint64),
    "i32": np.array([0, -1, 2**31 - 1, -(2**31), 5, 6], dtype=np.int32),
    "y": np.array([0, 1, 0, 1, 0, 1], dtype=np.int64),
    "beyond": np.array([0, 1, 2, 3, 4, 2**64 - 1], dtype=np.uint64),
})
duckdb.sql("copy (select * from frame) to '{}' (format parquet)".format(here / "duckdb.parquet"))
fastparquet.write(str(here / "fastparquet.parquet"), frame, compression=None)
for name in ["duckdb", "fastparquet"]:
    column = pq.ParquetFile(here / f"{name}.parquet").schema.column(2)
    print(name, column.name, column.physical_type, column.converted_type, column.logical_type)

frame[["i32", "y"]].iloc[[4, 1, 0]].to_parquet(here / "pandas_index.parquet", compression=None)
table = pa.table({
    "a": pa.array([1.0, 2.0, 3.0]),
    "wait": pa.array([1, 2, 3], pa.duration("s")),
    "half": pa.array(np.array([1, 2, 3], dtype=np.float16)),
})
pq.write_table(table, here / "durations.parquet", compression=None)
