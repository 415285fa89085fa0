"""Weights of classes by scikit-learn, for the tests of host/training/src/classes.rs and
tests/it/loading.rs.

Run: python3 tests/oracles/class_weights.py
"""
import numpy as np
from sklearn.utils.class_weight import compute_class_weight

if __name__ == "__main__":
    y = np.repeat([0, 1, 3], [212, 357, 7])
    print(compute_class_weight("balanced", classes=np.unique(y), y=y).tolist())
