"""One epoch of modules of PyTorch, as plans and by PyTorch itself.

    PYTHONPATH=host/python python -B tests/oracles/torch_plans.py [NAME ...]

Needs torch and the package fedwasm. Modules are those of host/python/tests/torch_models.py, each with
made-up rows and the module's own initial weights (`weights=True`). The plan trains in the sandbox, as
`fedwasm local` does; PyTorch trains on the same batches, in the order of seeds_and_shuffle.py, with
torch.optim. Ends with an error unless all weights and running statistics agree within 1e-4.
host/python/tests/test_torch.py does the same with small ones.
"""

import pathlib
import struct
import sys
import time

import numpy as np
import torch

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path += [str(ROOT / "host/python/tests"), str(ROOT / "tests/oracles")]

import fedwasm as fw  # noqa: E402
from seeds_and_shuffle import chacha20_words, seed, shuffle  # noqa: E402
from torch_models import MODELS  # noqa: E402

# Convolutions of oneDNN can be far from PyTorch's own in float64: 5e-3 in the weights of a small ResNet
# after three steps, where those without oneDNN are off by 2e-7.
torch.backends.mkldnn.enabled = False

SEED, BATCH = 42, 16
TOLERANCE = 1e-4
# SGD where nothing is said. Adam divides each gradient by its size: one that is 0 but for rounding, as
# that of the bias of keys, moves its weight as far as any other, so it is no measure for attention.
# A ResNet-18 on noise multiplies what is rounded, as units near 0 turn on or off: after an epoch with a
# learning rate of 0.001 PyTorch in float32 is 1.5e-4 from PyTorch in float64, after three steps with 0.05
# it is 1e-2.
OPTIMIZERS = {
    "resnet18": (torch.optim.SGD, {"lr": 3e-4}),
    "mlp": (torch.optim.Adam, {"lr": 1e-3}),
    "lstm": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}),
}


def by_plan(plan, x, y, settings, sandbox=True):
    """Trains the plan on the rows, and returns its parameters."""
    training = {
        "epochs": 1,
        "test_ratio": 0.0,
        "random_seed": SEED,
        "loader_args": {"batch_size": BATCH},
        "optimizer_args": settings,
    }
    job = fw.LocalJob(
        plan,
        {"x": x.numpy().astype(np.float32), "y": y.numpy()},
        target="y",
        training_args=training,
        data_args={"standardize": False},
        progress=False,
        sandbox=sandbox,
    )
    return job.start_training().params


def by_torch(module, loss, x, y, optimizer, settings):
    """Trains the module on the same batches."""
    module.train()
    steps = optimizer(module.parameters(), **settings)
    words = chacha20_words(seed("shuffle", SEED, struct.pack("<I", 1)))
    order = shuffle(list(range(len(x))), words)
    for first in range(0, len(x), BATCH):
        rows = order[first : first + BATCH]
        steps.zero_grad()
        loss(module(x[rows]), y[rows]).backward()
        steps.step()


def both(name, make, inputs, targets, loss, rows):
    """Trains both ways. Returns the most that an element of a parameter differs, and the seconds of the
    plan and of PyTorch."""
    optimizer, settings = OPTIMIZERS.get(name, (torch.optim.SGD, {"lr": 0.05}))
    torch.manual_seed(SEED)
    module, x, y = make(), inputs(rows), targets(rows)
    plan = fw.torch.plan(module, loss, optimizer, example=(x[:BATCH], y[:BATCH]), weights=True)
    start = time.monotonic()
    params = by_plan(plan, x, y, settings)
    between = time.monotonic()
    by_torch(module, loss, x, y, optimizer, settings)
    end = time.monotonic()
    state = module.state_dict()
    state = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    assert list(params) == list(state), set(params) ^ set(state)
    worst = max(np.abs(params[key] - value.numpy()).max() for key, value in state.items())
    return worst, between - start, end - between


def main(names):
    torch.set_num_threads(1)
    worst_of_all = 0.0
    for name in names or MODELS:
        worst, ours, theirs = both(name, *MODELS[name], rows=96)
        worst_of_all = max(worst_of_all, worst)
        print(f"{name:10} differ by {worst:.1e} at most; {ours:.1f} s here, {theirs:.1f} s there", flush=True)
    assert worst_of_all < TOLERANCE, worst_of_all


if __name__ == "__main__":
    main(sys.argv[1:])
