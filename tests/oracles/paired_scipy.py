"""Writes tests/data/paired_scipy.json: paired t tests and exact Wilcoxon tests by scipy.

With ties or zeros among the differences scipy's exact distribution is not that of the data, so the
p value is counted there over all signs. The corrected t test is written out from Nadeau and Bengio,
Inference for the generalization error, 2003, equation 8.
"""
import itertools
import json
import pathlib

import numpy as np
from scipy import stats

rng = np.random.default_rng(3)


def wilcoxon(d):
    d = d[d != 0]
    if len(d) == 0:
        return None
    size = np.abs(d)
    if len(np.unique(size)) == len(d):
        return float(stats.wilcoxon(d, method="exact").pvalue)
    ranks = stats.rankdata(size)
    plus = ranks[d > 0].sum()
    sums = np.array([sum(r for r, s in zip(ranks, signs) if s) for signs in itertools.product([0, 1], repeat=len(d))])
    return float(min(1.0, 2 * min((sums <= plus).mean(), (sums >= plus).mean())))


def case(d, ratio):
    d = np.asarray(d, float)
    n, sd = len(d), d.std(ddof=1)
    t = stats.ttest_1samp(d, 0) if sd > 0 else None
    corrected = d.mean() / np.sqrt((1 / n + ratio) * d.var(ddof=1)) if sd > 0 else None
    return {
        "differences": d.tolist(),
        "test_over_train": ratio,
        "t": None if t is None else float(t.statistic),
        "p": None if t is None else float(t.pvalue),
        "p_corrected": None if t is None else float(2 * stats.t.sf(abs(corrected), n - 1)),
        "wilcoxon_p": wilcoxon(d),
    }


cases = [
    case([0.5, -0.25], 1.0),
    case([0.1, 0.2, 0.3], 0.5),
    case([1.0, 1.0, 1.0], 0.5),
    case([0.0, 0.0, 0.0, 0.0], 0.25),
    case([0.01, 0.01, -0.01, 0.02, 0.0], 0.25),
    case([3, 1, -2, 5, 5, -1, 0, 4], 1 / 7),
    case([1e-6, 2e-6, 3e-6, 4.5e-6, 5e-6, 1e-6 * np.pi], 0.2),
]
for n in (4, 5, 6, 9, 10, 11, 20, 25, 50, 100):
    cases.append(case(rng.normal(0.3, 1, n), 1 / (n - 1)))
    cases.append(case(rng.normal(2, 1, n), 0.25))
path = pathlib.Path(__file__).parents[1] / "data" / "paired_scipy.json"
path.write_text(json.dumps(cases, indent=1) + "\n")
