"""What cannot be traced is refused with its line and a remedy."""

from __future__ import annotations

import datetime
import inspect
import math
import os
import pathlib
import random
import time

import numpy
import pytest

import fedwasm as fw
from fedwasm import losses, nn

OUTSIDE = nn.Linear(3, 3)
GENERATOR = numpy.random.default_rng()
HERE = pathlib.Path(__file__).name


class Plan(fw.Plan):
    """Does something in its training step."""

    hidden: int = 8
    flag: bool = True
    kind: str = "relu"
    widths: list[int] = [4, 4]

    def model(self):
        return nn.Linear(self.n_features, self.n_classes)

    def training_step(self, batch):
        x = self.net(batch.inputs)
        self.do(x, batch)
        return losses.cross_entropy(x, batch.targets)


ONCE = "and the plan is traced only once"
CHANCE = (
    "use `fw.randn_like`, `fw.rand_like`, `F.dropout` or the `init` of a parameter: the site draws for them from the "
    "experiment's seed"
)
KEEP = "keep the tensor: operators and functions take it as it is"
NUMPY = "use the functions of `fedwasm.functional`; constants may come from NumPy"
CLOCK = "a plan has no clock: the same rows and seed must give the same parameters"
FILES = "a plan reads the site's rows and nothing else; make a constant of the class of it"
MODEL = "make it in `model`, or in the `__init__` of a module"
SAMPLES = (
    "traced with n_features=12, n_classes=3, hidden=8, flag=True, kind='relu', widths=[4, 4] and 6 rows; others by "
    '`sample = {"n_features": 12, "n_classes": 3}` in the class'
)


def untyped(name, value):
    return f"an attribute without a type is a constant: write `{name} = {value!r}` in the class if all sites use the same value"


REFUSED = {
    "branch": (
        lambda self, x, batch: 1 if x.mean() > 0 else 2,
        f"a branch (`if`, `while`, `and`, `assert`) needs the values of a tensor, {ONCE}",
        "choose by `fw.where(condition, a, b)`, which keeps both",
    ),
    "int": (lambda self, x, batch: int(x.mean()), f"`int()` needs the values of a tensor, {ONCE}", KEEP),
    "float": (
        lambda self, x, batch: float(x.mean()),
        f"`float()` needs the values of a tensor, {ONCE}",
        KEEP,
    ),
    "item": (lambda self, x, batch: x.mean().item(), f"`item()` needs the values of a tensor, {ONCE}", KEEP),
    "numpy": (
        lambda self, x, batch: numpy.exp(x),
        f"`numpy.exp` needs the values of a tensor, {ONCE}",
        NUMPY,
    ),
    "array": (lambda self, x, batch: numpy.asarray(x), f"NumPy needs the values of a tensor, {ONCE}", NUMPY),
    "range": (
        lambda self, x, batch: range(self.hidden),
        "`self.hidden` is an argument of the plan, and Python cannot count with it (`range`, an index, a length) while "
        "the plan is traced",
        untyped("hidden", 8),
    ),
    "compare": (
        lambda self, x, batch: self.hidden > 4,
        "`self.hidden` is an argument of the plan, and Python cannot compare it while the plan is traced",
        "`fw.minimum` and `fw.maximum` take numbers, too",
    ),
    "flag": (
        lambda self, x, batch: 1 if self.flag else 2,
        "`self.flag` is an argument of the plan, and Python cannot branch on it while the plan is traced",
        untyped("flag", True),
    ),
    "text": (
        lambda self, x, batch: self.kind == "relu",
        "`self.kind` is an argument of the plan, and Python cannot compare it while the plan is traced",
        untyped("kind", "relu"),
    ),
    "list": (
        lambda self, x, batch: [width for width in self.widths],
        "`self.widths` is an argument of the plan, and Python cannot go through it while the plan is traced",
        untyped("widths", [4, 4]),
    ),
    "math": (
        lambda self, x, batch: math.sqrt(self.hidden),
        "`self.hidden` is an argument of the plan, and `float()` and `math` need its value while the plan is traced",
        "`fw.sqrt`, `fw.exp` and `fw.log` take numbers, too; a root is also `x ** 0.5`",
    ),
    "size": (
        lambda self, x, batch: range(x.shape[1]),
        "`shape[1]` is a number that the data decide, and Python cannot count with it (`range`, an index, a length) "
        "while the plan is traced",
        "make it a constant of the class, such as `steps = 12`, and say it in `data`",
    ),
    "clock": (lambda self, x, batch: time.time(), f"`time.time` reads a clock, {ONCE}", CLOCK),
    "date": (lambda self, x, batch: datetime.datetime.now(), f"`datetime.now` reads a clock, {ONCE}", CLOCK),
    "random": (lambda self, x, batch: random.random(), f"`random` draws random numbers, {ONCE}", CHANCE),
    "randint": (
        lambda self, x, batch: random.randint(0, 9),
        f"`random` draws random numbers, {ONCE}",
        CHANCE,
    ),
    "numpy.random": (
        lambda self, x, batch: numpy.random.rand(3),
        f"`numpy.random` draws random numbers, {ONCE}",
        CHANCE,
    ),
    "urandom": (lambda self, x, batch: os.urandom(3), f"`os.urandom` draws random bytes, {ONCE}", CHANCE),
    "open": (lambda self, x, batch: open("/etc/passwd"), f"`open` reads a file, {ONCE}", FILES),
    "path": (
        lambda self, x, batch: pathlib.Path(__file__).read_text(),
        f"`open` reads a file, {ONCE}",
        FILES,
    ),
    "parameter": (
        lambda self, x, batch: fw.Parameter(numpy.zeros(3)),
        "a parameter is made while a function is traced, and would start anew in each batch",
        MODEL,
    ),
    "module": (
        lambda self, x, batch: nn.Linear(3, 3),
        "`nn.Linear` is made while a function is traced, and would start anew in each batch",
        MODEL,
    ),
    "other module": (
        lambda self, x, batch: OUTSIDE(x),
        "`nn.Linear` is no part of the model",
        "make it an attribute of the module that `model` returns",
    ),
    "shapes": (
        lambda self, x, batch: x @ x,
        "matmul of f32 [6, 3], f32 [6, 3]: columns on the left must equal rows on the right",
        SAMPLES,
    ),
    "shapes of a module": (
        lambda self, x, batch: self.net(x),
        "linear of f32 [6, 3], f32 [3, 12], f32 [3]: columns on the left must equal columns of the weights",
        SAMPLES,
    ),
    "whole numbers": (
        lambda self, x, batch: x.reshape(-1, self.hidden / 2),
        "`reshape` does not take shape=[-1, 4.0]",
        "sizes and axes are whole numbers: divide by `//`",
    ),
    "rows": (
        lambda self, x, batch: [row for row in x],
        "Python cannot go through a tensor",
        "use `x.unbind(dim)` or `x.chunk(n, dim)`",
    ),
    "set": (
        lambda self, x, batch: x.__setitem__(0, 1),
        "a tensor is a value, and no element of it can be set",
        "use `fw.where`, `scatter_add` or `fw.cat`",
    ),
    "mask": (
        lambda self, x, batch: x[x > 0],
        "a mask as an index makes a tensor whose size its values decide",
        "choose by `fw.where(condition, a, b)`, which keeps both",
    ),
    "batch": (
        lambda self, x, batch: batch["age"],
        "the batch holds no `age`, only `inputs`, `targets`",
        "`data` of the plan says what a batch holds",
    ),
    "large constant": (
        lambda self, x, batch: x + fw.tensor(numpy.zeros(5000)),
        "a constant of 5000 numbers is used in a function; at most 4096 lie in a plan's graph",
        "make it a buffer of a module: `self.register_buffer(name, array)` in `__init__`",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_line_and_remedy(name):
    function, message, help = REFUSED[name]
    plan = type("Refused", (Plan,), {"do": function, "__module__": __name__})
    with pytest.raises(fw.BuildError) as refused:
        fw.plan.build(plan)
    error = refused.value
    assert (error.message, error.help) == (message, help)
    lines, first = inspect.getsourcelines(function)
    assert pathlib.Path(error.file).name == HERE and first <= error.line < first + len(lines)
    assert str(error) == f"{error.file}:{error.line}: {message}\nhelp: {help}"
    assert error.code == 2


def refused(**functions):
    plan = type("Refused", (fw.Plan,), {"__module__": __name__, **functions})
    with pytest.raises(fw.BuildError) as refused:
        fw.plan.build(plan)
    return refused.value.message, refused.value.help


LOSS = {"training_step": lambda self, batch: batch.inputs.mean()}


def test_results_are_checked():
    assert refused(training_step=lambda self, batch: None) == (
        "`training_step` returns nothing",
        "return the mean loss, a tensor of one element",
    )
    assert refused(training_step=lambda self, batch: batch.inputs) == (
        "`training_step` returns a tensor of shape [6, 12]",
        "return one number, such as `loss.mean()`",
    )
    assert refused(**LOSS, predict=lambda self, batch: {"a": batch.inputs}) == (
        "`predict` returns a dict",
        "return one tensor [rows, classes or outputs]: several are joined by `fw.cat(list, 1)`",
    )
    assert refused(**LOSS, metrics=lambda self, batch: batch.inputs.mean()) == (
        "`metrics` returns a Tensor",
        "return a dictionary of tensors by name",
    )
    assert refused(**LOSS, predict=lambda self, batch: batch.targets) == (
        "a batch that is predicted has no targets",
        "compute scores from `batch.inputs` alone; losses are for `training_step`",
    )
    assert refused(predict=lambda self, batch: batch.inputs) == (
        "`Refused` has no `training_step`",
        "write `def training_step(self, batch): return loss`",
    )


def test_tensors_of_another_function_are_refused():
    kept = []

    def training_step(self, batch):
        kept.append(batch.inputs.mean())
        return kept[-1]

    def predict(self, batch):
        return batch.inputs * kept[-1]

    assert refused(training_step=training_step, predict=predict) == (
        "a tensor that `training_step` made is used in `predict`",
        "each function is traced by itself: compute it again here, from the batch",
    )


def test_what_differs_from_run_to_run_is_refused():
    def training_step(self, batch):
        return (batch.inputs * float(GENERATOR.normal())).mean()

    message, help = refused(training_step=training_step)
    assert message == "`training_step` does not do the same each time it is traced"
    assert help.startswith("something is drawn, counted or kept between calls")

    def model(self):
        return Holder(GENERATOR.normal(size=3))

    message, _ = refused(model=model, **LOSS, predict=lambda self, batch: batch.inputs)
    assert message == "`model` does not do the same each time it is called"


class Holder(nn.Module):
    def __init__(self, array):
        self.weight = fw.Parameter(array)


def test_modules_that_would_be_missed_are_refused():
    def model(self):
        self.layers = [nn.Linear(2, 2)]

    class Lists(nn.Module):
        def __init__(self):
            self.layers = [nn.Linear(2, 2)]

    assert refused(model=lambda self: Lists(), **LOSS) == (
        "`self.layers` is a list of modules, whose parameters would be missed",
        "use `nn.ModuleList`, or `nn.Sequential` if one follows the other",
    )
    assert refused(model=model, **LOSS) == (
        "`self.layers` is a list of modules, whose parameters would be missed",
        "use `nn.ModuleList`, or `nn.Sequential` if one follows the other",
    )


def test_arguments_are_checked():
    class Wrong(fw.Plan):
        hidden: int = 3.5

        def training_step(self, batch):
            return batch.inputs.mean()

    with pytest.raises(
        fw.BuildError, match=r"test_write_errors.py:\d+: `hidden` is 3.5, expected a whole number"
    ):
        fw.plan.build(Wrong)

    class Typed(fw.Plan):
        table: dict = {}

        def training_step(self, batch):
            return batch.inputs.mean()

    with pytest.raises(fw.BuildError, match="`table` has the type dict, and an argument cannot") as error:
        fw.plan.build(Typed)
    assert error.value.help == (
        "types are int, float, bool, str, and lists of int, float and str; a constant has none"
    )

    class Sampled(fw.Plan):
        sample = {"hiden": 3}

        def training_step(self, batch):
            return batch.inputs.mean()

    with pytest.raises(fw.BuildError, match="`sample` names `hiden`, which is no argument of `Sampled`"):
        fw.plan.build(Sampled)


def test_optimizers_are_checked():
    with pytest.raises(fw.BuildError, match="`optim.SGD` has no argument `betas1`"):
        fw.optim.SGD(betas1=3)
    with pytest.raises(fw.BuildError, match="`nesterov=1` of `optim.SGD`"):
        fw.optim.SGD(nesterov=1)
    assert refused(optimizer="adam", **LOSS) == (
        "the optimizer 'adam'",
        "such as `fw.optim.Adam` or `fw.optim.SGD(lr=0.1)`",
    )


def test_sample_values_can_be_chosen():
    class Images(fw.Plan):
        sample = {"n_features": 784}

        def model(self):
            return nn.Sequential(nn.Conv2d(1, 2, 5), nn.Flatten(), nn.Linear(2 * 24 * 24, self.n_classes))

        def scores(self, batch):
            return self.net(batch.inputs.reshape(-1, 1, 28, 28))

        def training_step(self, batch):
            return losses.cross_entropy(self.scores(batch), batch.targets)

        def predict(self, batch):
            return self.scores(batch)

    assert len(fw.plan.build(Images)) > 1000
    Images.sample = {}
    with pytest.raises(fw.BuildError) as error:
        fw.plan.build(Images)
    assert error.value.help == (
        'traced with n_features=12, n_classes=3 and 6 rows; others by `sample = {"n_features": 12, "n_classes": 3}` in the class'
    )


def test_a_logit_is_not_taken_for_a_probability():
    class Logit(fw.Plan):
        def model(self):
            return nn.Linear(self.n_features, 1)

        def training_step(self, batch):
            return losses.binary_cross_entropy_with_logits(self.net(batch.inputs).squeeze(1), batch.targets)

    with pytest.raises(fw.BuildError, match="probability of class 1") as refused:
        fw.plan.build(Logit)
    assert "F.sigmoid" in refused.value.help

    class Probability(Logit):
        def predict(self, batch):
            return fw.sigmoid(self.net(batch.inputs))

    fw.plan.build(Probability)
