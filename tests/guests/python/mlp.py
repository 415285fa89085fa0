"""A multilayer perceptron with the arguments, parameters and initial draws of plugins/mlp and its
SGD, written from the contract alone. Tensors stay at the host and are numbers here."""

# Modules are loaded while the component is built; inside of a function an import fails.
import functools
import math
import struct

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports import plan as wit
from wit_world.imports import compute, monitor, random, store, types
from wit_world.imports.store import Slot

# Elements of a tensor, as docs/operations.md bounds them.
ELEMENTS_MAX = 2**28
# Elements that are drawn at a time.
DRAWS = 1 << 14


def plan_error(error: BaseException):
    """An exception as an error of the contract: one that leaves an export is a trap without words."""
    reason = error.value if isinstance(error, Err) else error
    if isinstance(reason, compute.ComputeError_Access):
        reason = reason.value
    if isinstance(reason, types.AccessError):
        if reason == types.AccessError.CANCELLED:
            return types.PlanError_Cancelled()
        return types.PlanError_Internal(f"the host refused: {reason.name}")
    if isinstance(reason, compute.ComputeError_Mistake):
        return types.PlanError_Internal(reason.value)
    if isinstance(reason, compute.ComputeError_BadData):
        return types.PlanError_BadData(reason.value)
    if isinstance(error, Err):
        return reason
    # The module `traceback` would read the sources, and there are no files.
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    line = place.tb_lineno if place is not None else "unknown"
    return types.PlanError_Internal(f"{type(error).__name__}: {error} (line {line})")


def exported(function):
    """A function of the plan whose exceptions are errors of the contract."""

    @functools.wraps(function)
    def wrapped(*args):
        try:
            return function(*args)
        except BaseException as error:
            reason = plan_error(error)
        raise Err(reason)

    return wrapped


def invalid(text):
    return Err(types.PlanError_InvalidArgument(text))


# --- arguments


def given(value):
    return wit.Default_Value(value)


INTEGER, REAL, BOOLEAN = types.ValueKind.INTEGER, types.ValueKind.REAL, types.ValueKind.BOOLEAN
ZERO, NO = given(types.Value_Real(0.0)), given(types.Value_Boolean(False))
ARGUMENTS = [
    wit.Argument("model.n_features", INTEGER, wit.Default_InputColumns(), "number of input columns"),
    wit.Argument("model.n_classes", INTEGER, wit.Default_TargetClasses(), "number of classes"),
    wit.Argument("model.hidden", INTEGER, given(types.Value_Integer(128)), "units of the hidden layer"),
    wit.Argument("optimizer.lr", REAL, given(types.Value_Real(0.01)), "learning rate, more than 0"),
    wit.Argument("optimizer.momentum", REAL, ZERO, "momentum, 0 <= momentum < 1"),
    wit.Argument("optimizer.nesterov", BOOLEAN, NO, "whether it is Nesterov's"),
    wit.Argument("optimizer.weight_decay", REAL, ZERO, "weight decay, at least 0"),
]


def read(arguments):
    """The host gives all of them, of these kinds."""
    return {name: value.value for name, value in arguments}


def parameters(arguments):
    """Name, shape and fan-in of each parameter; draws are within 1/√fan-in, as PyTorch's."""
    args = read(arguments)
    inputs, hidden = args["model.n_features"], args["model.hidden"]
    classes = args["model.n_classes"]
    for shape in [hidden, inputs], [classes, hidden]:
        if min(shape) < 1 or math.prod(shape) > ELEMENTS_MAX:
            raise invalid(f"a weight of shape {shape}: expected 1 to 2^28 elements")
    return [
        ("hidden.weight", [hidden, inputs], inputs),
        ("hidden.bias", [hidden], inputs),
        ("output.weight", [classes, hidden], hidden),
        ("output.bias", [classes], hidden),
    ]


# --- operations, byte by byte from docs/operations.md

RELU = bytes([3, 13])
LINEAR = bytes([13])
# Of no log-probabilities, without an ignored class, the mean.
CROSS_ENTROPY = bytes([39, 0, 0, 2])


def zeros(shape):
    """Zeros, float32."""
    return compute.apply(struct.pack(f"<BB{len(shape)}IBd", 0, len(shape), *shape, 0, 0.0), [])


def forward(model, inputs):
    hidden = compute.apply(LINEAR, [inputs, model[0], model[1]])
    return compute.apply(LINEAR, [compute.apply(RELU, [hidden]), model[2], model[3]])


def load(n, is_training):
    compute.set_recording(is_training)
    model = [compute.load(Slot.MODEL, index) for index in range(n)]
    for parameter in model:
        compute.want_gradient(parameter, is_training)
    return model


def batches():
    while (batch := compute.next()) is not None:
        yield batch


# --- the optimizer


def sgd(arguments):
    """The learning rate, and the rule in the contract's words."""
    args = read(arguments)
    rate, momentum = args["optimizer.lr"], args["optimizer.momentum"]
    nesterov, weight_decay = args["optimizer.nesterov"], args["optimizer.weight_decay"]
    if not 0 < rate < math.inf:
        raise invalid(f"optimizer.lr is {rate}, expected more than 0")
    # The host checks the rest when it steps, but a round may have no batch.
    if not 0 <= momentum < 1 or (nesterov and momentum == 0):
        text = "optimizer.momentum: expected 0 <= momentum < 1, and not 0 with Nesterov's"
        raise invalid(text)
    if not 0 <= weight_decay < math.inf:
        raise invalid(f"optimizer.weight_decay is {weight_decay}, expected at least 0")
    return rate, compute.Optimizer_Sgd(compute.Sgd(momentum, nesterov, weight_decay))


def kept(rule, shapes):
    """What it keeps: a momentum of each parameter, if there is one."""
    if rule.value.momentum == 0:
        return []
    momenta = [zeros(shape) for shape in shapes]
    for momentum in momenta:
        compute.keep(momentum)
    return momenta


def float32(number):
    return struct.unpack("<f", struct.pack("<f", number))[0]


def draw(n, bound):
    """The upper 24 bits of four bytes each, as a number within [-1, 1), times the bound."""
    drawn = struct.unpack(f"<{n}I", random.bytes(4 * n))
    values = (((number >> 8) / 8388608 - 1) * bound for number in drawn)
    return struct.pack(f"<{n}f", *values)


class Totals:
    """The mean loss over batches, weighted by rows."""

    def __init__(self):
        self.rows, self.sum = 0, 0.0

    def add(self, loss, rows):
        self.sum += loss * rows
        self.rows += rows

    def metrics(self):
        return [("loss", self.sum / self.rows)] if self.rows else []


def show(loss):
    """Reports the loss of a batch. A host takes only so many; training goes on without."""
    try:
        monitor.scalars([("loss", loss)])
    except Err as error:
        if error.value != types.AccessError.EXHAUSTED:
            raise


class Plan(exports.Plan):
    def describe(self):
        return wit.Metadata("mlp-python", "0.1.0", wit.Task_Classification(), ARGUMENTS, [])

    @exported
    def declare(self, arguments):
        sgd(arguments)
        model = parameters(arguments)
        dtype, shared = types.Dtype.FLOAT32, types.Scope.SHARED
        model = [types.TensorSpec(name, dtype, shape, True, shared) for name, shape, _ in model]
        inputs = [types.DataSpec("inputs", dtype, model[0].shape[1:])]
        targets = [types.DataSpec("targets", types.Dtype.INT64, [])]
        return wit.Declaration(inputs, targets, model, [], [], [])

    @exported
    def init(self, arguments):
        for index, (_, shape, fan_in) in enumerate(parameters(arguments)):
            bound = float32(1 / float32(math.sqrt(float32(fan_in))))
            length = math.prod(shape)
            for start in range(0, length, DRAWS):
                values = draw(min(DRAWS, length - start), bound)
                store.write(Slot.MODEL, index, 4 * start, values)

    @exported
    def train(self, arguments):
        shapes = [shape for _, shape, _ in parameters(arguments)]
        rate, rule = sgd(arguments)
        model = load(len(shapes), True)
        momenta = kept(rule, shapes)
        totals, steps = Totals(), 0
        for batch in batches():
            scores = forward(model, batch.inputs[0])
            loss = compute.apply(CROSS_ENTROPY, [scores, batch.targets[0]])
            value = compute.item(loss)
            if not math.isfinite(value):
                raise Err(types.PlanError_NonFinite(f"the loss of step {steps + 1} is {value}"))
            totals.add(value, batch.rows)
            show(value)
            compute.backward(loss)
            steps += 1
            compute.step(rule, rate, steps, model, momenta)
        for index, parameter in enumerate(model):
            compute.save(Slot.MODEL, index, parameter)
        return wit.Report(steps, totals.rows, [*totals.metrics(), ("optimizer.lr", rate)])

    @exported
    def predict(self, arguments):
        model = load(len(parameters(arguments)), False)
        for batch in batches():
            compute.emit(batch.index, forward(model, batch.inputs[0]))

    @exported
    def validate(self, arguments):
        model = load(len(parameters(arguments)), False)
        totals = Totals()
        for batch in batches():
            scores = forward(model, batch.inputs[0])
            loss = compute.apply(CROSS_ENTROPY, [scores, batch.targets[0]])
            totals.add(compute.item(loss), batch.rows)
        return wit.Report(0, totals.rows, totals.metrics())
