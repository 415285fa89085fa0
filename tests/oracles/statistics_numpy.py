"""Statistics of the columns of breast_cancer.csv, as NumPy computes them on the whole file.

    python tests/oracles/statistics_numpy.py

Writes tests/data/statistics_numpy.json: for each column the count, mean, variance (divisor n),
minimum, maximum, the quantiles 0.25, 0.5 and 0.75 (`inverted_cdf`), and the counts of the target's
values. Needs numpy; the file in the tree comes from numpy 2.
"""
import csv
import json
import pathlib

import numpy as np

ROOT = pathlib.Path(__file__).parent.parent.parent
QUANTILES = [0.25, 0.5, 0.75]

if __name__ == "__main__":
    header, *rows = csv.reader(open(ROOT / "examples/data/breast_cancer.csv"))
    table = np.array(rows, dtype=np.float64)
    columns = {}
    for name, values in zip(header, table.T):
        columns[name] = {
            "n": len(values),
            "mean": float(np.mean(values)),
            "variance": float(np.var(values)),
            "min": float(values.min()),
            "max": float(values.max()),
            "quantiles": [
                float(np.quantile(values, q, method="inverted_cdf")) for q in QUANTILES
            ],
        }
    target = table[:, header.index("benign")].astype(int)
    result = {"columns": columns, "benign": np.bincount(target).tolist()}
    path = ROOT / "tests/data/statistics_numpy.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(path)
