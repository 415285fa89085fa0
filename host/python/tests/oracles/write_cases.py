"""Writes what PyTorch gives for the cases of `../write_cases.py`: `python oracles/write_cases.py`.

Modules compute as in prediction. Written with torch 2.x on a CPU.
"""

import json
import pathlib
import sys

import torch

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from write_cases import FUNCTIONS, MODULES, flat, numbers  # noqa: E402


def shown(made):
    return [{"shape": list(each.shape), "values": each.double().reshape(-1).tolist()} for each in flat(made)]


def main():
    found = {"functions": {}, "modules": {}}
    torch.manual_seed(0)
    for name, (call, arrays) in FUNCTIONS.items():
        found["functions"][name] = shown(call(torch, torch.nn.functional, *map(torch.from_numpy, arrays)))
    for name, (make, arrays) in MODULES.items():
        module = make(torch.nn).eval()
        with torch.no_grad():
            for nth, (_, parameter) in enumerate(module.named_parameters()):
                parameter.copy_(torch.from_numpy(numbers(*parameter.shape, seed=nth) * 0.5))
        made = module(*map(torch.from_numpy, arrays))
        if "Attention" in name:
            made = made[0]
        names = [each for each, _ in module.named_parameters()]
        found["modules"][name] = {"parameters": names, "made": shown(made)}
    text = json.dumps(found)
    (HERE / "write_cases.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
