"""Prints what scikit-learn's splits keep, which the host's must keep too.

The permutation is another one; counts are not. Needs scikit-learn and the twin of the host's
splits beside this file, which it compares with scikit-learn on random data.
"""
import csv
import pathlib

import numpy as np
from sklearn.model_selection import GroupKFold, StratifiedKFold, TimeSeriesSplit
from seeds_and_shuffle import by_time, grouped, seed, stratified

rng = np.random.default_rng(1)
for _ in range(50):
    n, count = int(rng.integers(20, 200)), int(rng.integers(2, 7))
    classes = [0, 1, 2] + rng.integers(0, 3, n).tolist()
    n = len(classes)
    key = seed("folds", int(rng.integers(1 << 30)))
    # Classes appear in ascending order, so that scikit-learn deals them in the same order.
    ours = [np.bincount(np.array(classes)[stratified(classes, key, fold=(k + 1, count))], minlength=3).tolist() for k in range(count)]
    theirs = [np.bincount(np.array(classes)[test], minlength=3).tolist() for _, test in StratifiedKFold(count).split(classes, classes)]
    assert ours == theirs, (ours, theirs)
    groups = rng.integers(0, 15, n).tolist() + list(range(15))
    ours = [grouped(groups, key, fold=(k + 1, count)) for k in range(count)]
    theirs = [test.tolist() for _, test in GroupKFold(count).split(groups, groups=groups)]
    assert sorted(map(len, ours)) == sorted(map(len, theirs))
    assert sorted(sum(ours, [])) == list(range(len(groups)))
    assert len(set(g for fold in ours for g in set(np.array(groups)[fold]))) == sum(len(set(np.array(groups)[fold])) for fold in ours)
    times = rng.permutation(n).tolist()
    ours = [by_time(times, fold=(k + 1, count)) for k in range(count)]
    order = np.argsort(times)
    theirs = [(sorted(order[a].tolist()), sorted(order[b].tolist())) for a, b in TimeSeriesSplit(count).split(order)]
    assert ours == theirs

path = pathlib.Path(__file__).parents[2] / "examples/data/breast_cancer.csv"
benign = [int(row["benign"]) for row in csv.DictReader(path.open())]
# Classes in ascending order, as they would come first if the file were sorted.
folds = StratifiedKFold(5).split(sorted(benign), sorted(benign))
print("rows of each class in 5 folds of breast_cancer.csv:", [np.bincount(np.array(sorted(benign))[test]).tolist() for _, test in folds])
sizes = [1 + 7 * k % 23 for k in range(40)]
groups = np.repeat(np.arange(40), sizes)
print("rows in 4 folds of 40 groups:", sorted(len(test) for _, test in GroupKFold(4).split(groups, groups=groups)))
