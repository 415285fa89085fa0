"""A component, and the class in this interpreter: the same parameters and scores, bit for bit."""

from __future__ import annotations

import numpy
from write_cases import FUNCTIONS, MODULES, flat

import fedwasm as fw
from fedwasm import nn

ROWS = numpy.sin(numpy.arange(40 * 6)).astype("float32").reshape(40, 6)
LABELS = numpy.arange(40) % 3
GROUPS = 16


class Every(fw.Plan):
    """Every function and module: the loss goes through all of them, and metrics show 16 groups."""

    optimizer = fw.optim.Adam(lr=0.01)

    def model(self):
        self.scale = fw.Parameter(fw.ones(1))
        return nn.ModuleList(
            [make(nn) for make, _ in MODULES.values()] + [nn.Linear(self.n_features, self.n_classes)]
        )

    def results(self):
        """A number of each case."""
        calls = [(call, arrays) for call, arrays in FUNCTIONS.values()]
        calls += [(None, (module, arrays)) for module, (_, arrays) in zip(self.net, MODULES.values())]
        for call, arrays in calls:
            if call is None:
                module, arrays = arrays
                made = module(*(self.scaled(array) for array in arrays))
            else:
                made = call(fw, fw.functional, *(self.scaled(array) for array in arrays))
            yield sum(each.float().mean() for each in flat(made))

    def scaled(self, array):
        tensor = fw.tensor(array)
        return tensor * self.scale if array.dtype == "float32" else tensor

    def groups(self):
        sums = [0.0] * GROUPS
        for nth, result in enumerate(self.results()):
            sums[nth % GROUPS] = sums[nth % GROUPS] + result
        return sums

    def training_step(self, batch):
        return fw.losses.cross_entropy(self.predict(batch), batch.targets) + sum(self.groups()) * 0.01

    def predict(self, batch):
        return self.net[-1](batch.inputs)

    def metrics(self, batch):
        return {f"group_{nth}": group for nth, group in enumerate(self.groups())}


def train(plan, sandbox, **arguments):
    training = {"epochs": 2, "random_seed": 3, "loader_args": {"batch_size": 16}, "test_ratio": 0.2}
    job = fw.LocalJob(
        plan, (ROWS, LABELS), training_args=training, sandbox=sandbox, progress=False, **arguments
    )
    return job.start_training()


def assert_same(plan, **arguments):
    component, here = (train(plan, sandbox, **arguments) for sandbox in (True, False))
    assert component.metrics == here.metrics
    assert component.params.keys() == here.params.keys()
    for name, value in component.params.items():
        assert value.tobytes() == here.params[name].tobytes(), name
    return component


def test_every_function_and_module_computes_the_same_bits():
    result = assert_same(Every)
    assert set(result.metrics) > {f"group_{nth}" for nth in range(GROUPS)}
    assert result.params["scale"][0] != 1
