"""Values, types and gradients where a first guess differs from PyTorch, and what is refused instead."""

from __future__ import annotations

import math

import numpy
import pytest

import fedwasm as fw
from fedwasm import functional as F
from fedwasm import losses, nn

ROWS = 4


def zeros(*shape):
    return fw.tensor(numpy.zeros(shape, "float32"))


def refused(do, *args, **kwargs):
    with pytest.raises(fw.BuildError) as caught:
        do(*args, **kwargs)
    return str(caught.value)


def gradient(function, start):
    """Of the mean over rows at `start`: what one step of SGD with lr=1 takes off a parameter."""

    class Step(fw.Plan):
        task = "other"
        optimizer = fw.optim.SGD(lr=1.0)

        def model(self):
            return Held(start)

        def data(self):
            return fw.Data(fw.reals(1), fw.reals(1))

        def training_step(self, batch):
            return function(self.net.held) + batch.inputs.sum() * 0

        def predict(self, batch):
            return batch.inputs * self.net.held.sum()

    rows = numpy.zeros((ROWS, 1), "float32")
    settings = {"epochs": 1, "loader_args": {"batch_size": ROWS}, "test_ratio": 0.0}
    job = fw.LocalJob(
        Step, (rows, rows), training_args=settings, progress=False, data_args={"standardize": False}
    )
    end = job.start_training().params["net.held"]
    return numpy.asarray(start, "float32") - numpy.asarray(end)


class Held(nn.Module):
    def __init__(self, start):
        super().__init__()
        self.held = fw.Parameter(numpy.asarray(start, "float32"))


# Indices.


def test_several_tensors_as_indices_are_refused():
    x, y = zeros(4, 5), fw.tensor([0, 3, 1, 2])
    for at in ((fw.arange(4), y), ([0, 1], [1, 2]), (numpy.arange(4), y)):
        assert "x.gather(1, y.unsqueeze(1)).squeeze(1)" in refused(lambda: x[at])
    assert x[[0, 1]].shape == (2, 5) and x[:, y].shape == (4, 4) and x[numpy.array([0, 2])].shape == (2, 5)
    assert "mask" in refused(lambda: x[[True, False, True, False]])


def test_bounds_that_are_arguments_count_from_the_end():
    class Cut(fw.Plan):
        k: int = 2
        sample = {"n_features": 12, "n_classes": 3}

        def model(self):
            return nn.Linear(self.n_features, self.n_classes)

        def training_step(self, batch):
            shapes.append(batch.inputs[:, : -self.k]._value.shape)
            shapes.append(batch.inputs[:, -self.k :]._value.shape)
            shapes.append(batch.inputs.select(1, -self.k)._value.shape)
            return losses.cross_entropy(self.net(batch.inputs), batch.targets)

    shapes = []
    fw.plan.build(Cut)
    assert [list(shape)[1:] for shape in shapes[:3]] == [[10], [2], []]


# Losses.


def test_composed_losses_take_targets_of_the_outputs_shape():
    column, row, ones = zeros(ROWS, 1), zeros(ROWS), fw.tensor([1.0])
    composed = {
        "pos_weight": lambda x, y: losses.bce_with_logits(x, y, pos_weight=ones),
        "weight": lambda x, y: losses.bce_with_logits(x, y, weight=ones),
        "bce": losses.binary_cross_entropy,
        "kl_div": lambda x, y: losses.kl_div(x, y, log_target=True),
        "poisson": losses.poisson_nll_loss,
        "gaussian": lambda x, y: losses.gaussian_nll_loss(x, y, fw.full(x.shape, 1.0)),
        "hinge": lambda x, y: losses.hinge_loss(y, x),
        "probabilities": lambda x, y: losses.cross_entropy(zeros(ROWS, 3), x),
    }
    for name, loss in composed.items():
        assert "targets must have the shape of the outputs" in refused(loss, column, row), name
    assert "the shape of the outputs" in refused(losses.hinge_loss, zeros(ROWS, 3), row)
    # Classes [rows] stand for [rows, 1], as in the plain loss.
    classes = fw.tensor([0, 1, 1, 0])
    x = fw.tensor([[0.5], [-1.0], [2.0], [0.0]])
    plain = losses.bce_with_logits(x, classes).item()
    assert math.isclose(losses.bce_with_logits(x, classes, weight=ones).item(), plain, rel_tol=1e-6)
    assert math.isclose(losses.bce_with_logits(x, classes, pos_weight=ones).item(), plain, rel_tol=1e-6)
    assert math.isclose(losses.binary_cross_entropy(x.sigmoid(), classes).item(), plain, rel_tol=1e-5)


def test_weights_do_not_widen_a_loss():
    x = zeros(ROWS, 1)
    assert "not beyond" in refused(losses.bce_with_logits, x, x, weight=zeros(ROWS))
    assert "not beyond" in refused(losses.bce_with_logits, x, x, pos_weight=zeros(3))


def test_probabilities_keep_weights_and_smoothing():
    x, y = numpy.sin(numpy.arange(12.0)).reshape(4, 3), numpy.full((4, 3), 1 / 3) + [[0.3, -0.2, -0.1]]
    weight, smooth = numpy.array([1.0, 2.0, 0.5]), 0.1
    logs = x - numpy.log(numpy.exp(x).sum(1, keepdims=True))
    expected = -((y * (1 - smooth) + smooth / 3) * logs * weight).sum() / 4
    tensors = (fw.tensor(each) for each in (x, y, weight))
    made = losses.cross_entropy(*tensors, label_smoothing=smooth).item()
    assert math.isclose(made, expected, rel_tol=1e-5)
    assert "ignore_index" in refused(losses.cross_entropy, fw.tensor(x), fw.tensor(y), ignore_index=1)


# Gradients.


# As PyTorch 2 gives them, where nothing else is said.
GRADIENTS = {
    "std": (lambda x: x.std(), [2.0, 2.0, 2.0], [0, 0, 0]),
    "norm": (lambda x: x.norm(), [0.0, 0.0], [0, 0]),
    "norm elsewhere": (lambda x: x.norm(), [3.0, 4.0], [0.6, 0.8]),
    "normalize": (lambda x: (F.normalize(x, dim=0) * 0).sum(), [0.0, 0.0], [0, 0]),
    "cosine": (lambda x: F.cosine_similarity(x, x.detach() * 0, dim=0), [0.0, 0.0], [0, 0]),
    "bce": (
        lambda x: losses.binary_cross_entropy(x, fw.tensor([0.0, 1.0, 1.0]), "sum"),
        [0.0, 1.0, 0.5],
        # The slopes; PyTorch's formula gives 0 at exactly 0 and 1 where the target is the same.
        [1, -1, -2],
    ),
    "bce wrong": (
        lambda x: losses.binary_cross_entropy(x, fw.tensor([1.0, 0.0]), "sum"),
        [0.0, 1.0],
        [-1e12, 1e12],
    ),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients_are_finite(name):
    function, start, expected = GRADIENTS[name]
    assert numpy.isfinite(function(fw.tensor(start)).item())
    numpy.testing.assert_allclose(gradient(function, start), expected, rtol=1e-5, atol=1e-6)


def test_saturated_probabilities_lose_100():
    p, t = fw.tensor([0.0, 1.0, 0.0, 1.0]), fw.tensor([1.0, 0.0, 0.0, 1.0])
    assert losses.binary_cross_entropy(p, t, "none").tolist() == [100, 100, 0, 0]


SAME = [fw.Tensor.clone, fw.Tensor.contiguous, lambda x: x[:], lambda x: x[...]]


@pytest.mark.parametrize("same", SAME)
def test_without_gradients_copies_have_none(same):
    def function(x):
        with fw.no_grad():
            held = same(x)
        return (held * x).sum()

    assert gradient(function, [3.0]).tolist() == [3]


# Types.


def test_numbers_with_a_fraction_promote_in_where():
    mask, whole = fw.tensor([True, False]), fw.tensor([3, 4])
    made = fw.where(mask, whole, 0.5)
    assert made.dtype is fw.float32 and made.tolist() == [3, 0.5]
    assert fw.where(mask, whole, 1).dtype is fw.int64 and fw.where(mask, mask, 2).tolist() == [1, 2]
    assert fw.where(mask, whole.double(), 0.5).dtype is fw.float64
    assert F.tril(fw.tensor([[True, True], [True, True]])).tolist() == [[True, False], [True, True]]
    assert whole.masked_fill(mask, 0).dtype is fw.int64


def test_sums_and_products_of_truth_values_are_truth_values():
    a, b = fw.tensor([True, True, False]), fw.tensor([True, False, False])
    assert (a + b).dtype is fw.bool and (a + b).tolist() == [True, True, False]
    assert (a * b).dtype is fw.bool and (a * b).tolist() == [True, False, False]
    assert (a + 1).tolist() == [2, 2, 1] and a.sum().item() == 2


def test_a_number_is_a_tensor_without_axes():
    assert fw.tensor(2.0).shape == () and fw.tensor(numpy.float64(2)).shape == ()
    assert fw.tensor(numpy.arange(6).reshape(2, 3).T).tolist() == [[0, 3], [1, 4], [2, 5]]


def test_factors_of_linear_interpolation_are_whole():
    x = zeros(1, 1, 5, 5)
    assert "give `size`" in refused(F.interpolate, x, scale_factor=1.5, mode="bilinear")
    assert F.interpolate(x, scale_factor=2.0, mode="bilinear").shape == (1, 1, 10, 10)
    assert F.interpolate(x, scale_factor=1.5, mode="bilinear", align_corners=True).shape == (1, 1, 7, 7)


# Modules of PyTorch.


def imported(forward, change=lambda module: module, **kwargs):
    torch = pytest.importorskip("torch")

    class Two(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.back, self.head, self.n = torch.nn.Linear(4, 5), torch.nn.Linear(5, 3), 0

        def forward(self, x):
            return forward(self, x)

    module = change(Two())
    example = (torch.zeros(6, 4), torch.tensor([0, 1, 2, 0, 1, 2]))
    return fw.torch.plan(module, loss=torch.nn.functional.cross_entropy, example=example, **kwargs)


def test_torch_regions_without_gradients():
    torch = pytest.importorskip("torch")

    def frozen(self, x):
        with torch.no_grad():
            h = self.back(x).relu()
        return self.head(h)

    told = refused(imported, frozen)
    assert (
        "`torch.no_grad()` is not covered" in told and "use `.detach()`, or `requires_grad_(False)`" in told
    )
    assert "test_write_mends_values.py" in told

    def freeze(module):
        module.back.requires_grad_(False)
        return module

    # Nothing follows from a parameter that trains.
    imported(frozen, change=freeze)


def test_torch_modules_that_compute_something_else_each_time_are_refused():
    def counted(self, x):
        self.n += 1
        return self.head(self.back(x)) * self.n

    assert "something else each time" in refused(imported, counted)


def test_torch_rates_are_those_of_torch():
    torch = pytest.importorskip("torch")

    def plain(self, x):
        return self.head(self.back(x))

    given = torch.optim.SGD([torch.zeros(1)]).defaults["lr"]
    assert imported(plain, optimizer=torch.optim.SGD).optimizer.defaults["lr"] == given
    assert imported(plain, optimizer=torch.optim.Adam).optimizer is fw.optim.Adam
