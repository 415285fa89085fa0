"""Functions and modules by themselves against PyTorch's values."""

from __future__ import annotations

import json
import pathlib

import numpy
import pytest
from write_cases import FUNCTIONS, MODULES, flat, numbers

import fedwasm as fw
from fedwasm import _native, nn

WANTED = json.loads((pathlib.Path(__file__).parent / "oracles/write_cases.json").read_text())


def compare(made, wanted):
    made = flat(made)
    assert len(made) == len(wanted)
    for each, one in zip(made, wanted):
        assert list(each.shape) == one["shape"]
        numpy.testing.assert_allclose(each.numpy().reshape(-1), one["values"], rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_those_of_pytorch(name):
    call, arrays = FUNCTIONS[name]
    compare(call(fw, fw.functional, *(fw.tensor(array) for array in arrays)), WANTED["functions"][name])


@pytest.mark.parametrize("name", MODULES)
def test_modules_are_those_of_pytorch(name):
    make, arrays = MODULES[name]
    _native.begin(False)
    module = make(nn)
    parameters = {key: each for key, each in module.named_parameters() if not each.is_buffer}
    wanted = WANTED["modules"][name]
    assert sorted(parameters) == sorted(wanted["parameters"])
    for nth, key in enumerate(wanted["parameters"]):
        parameter = parameters[key]
        parameter.native.set(_native.Tensor(numbers(*parameter.native.shape, seed=nth) * numpy.float32(0.5)))
    made = module(*(fw.tensor(array) for array in arrays))
    compare(made[0] if "Attention" in name else made, wanted["made"])
