"""Prints the .mpk vectors of host/params/src/mpk.rs from Fed-BioMed itself.

Needs: pip install --no-deps fedbiomed==6.4.1, and msgpack numpy torch
"declearn[torch]<2.9" scikit-learn joblib packaging.
"""
import numpy as np
import torch
from fedbiomed.common.serializer import Serializer

for name, value in {
    "tuple": (4, 2),
    "torch": torch.tensor([1.0, 2.0]),
    "numpy": np.array([[1.0]]),
    "scalar": np.float64(1.5),
    "torch file": {"researcher_id": "r", "model_weights": {"w": torch.tensor([1.0, 2.0])}},
    "sklearn file": {"researcher_id": "r", "model_weights": {"w_": np.array([1, 2], dtype=np.float32)}},
}.items():
    print(name, Serializer.dumps(value).hex())
