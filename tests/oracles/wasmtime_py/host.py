"""A host of the contract 0.1.0 in wasmtime-py, as far as a round needs it: `host.py PLAN DIR` does
DIR/round.json and writes DIR/got.json. See one_round.py."""
import json
import pathlib
import sys

from wasmtime import Config, Engine, Store
from wasmtime.component import Component, Linker, Record, Variant

PACKAGE, VERSION = "fedwasm:training-plan", "0.1.0"
PLAN, FOLDER = sys.argv[1], pathlib.Path(sys.argv[2])
ROUND = json.loads((FOLDER / "round.json").read_text())
ARGUMENTS = [(name, Variant(value["tag"], value["val"])) for name, value in ROUND["arguments"]]

engine = Engine(Config())
component = Component.from_file(engine, PLAN)

model = []  # What `declare` announces, each a bytearray.
random = bytearray.fromhex(ROUND["random"])
batches = list(ROUND["batches"])


def record(**fields):
    made = Record()
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def read(_, slot, index, offset, length):
    assert slot == "model", slot
    return bytes(model[index][offset : offset + length])


def write(_, slot, index, offset, data):
    assert slot == "model" and offset + len(data) <= len(model[index])
    model[index][offset : offset + len(data)] = bytes(data)


def tensor(dtype, shape, data):
    return record(dtype=dtype, shape=shape, data=bytes.fromhex(data))


def next_batch(_):
    if not batches:
        return None
    batch = batches.pop(0)
    rows = batch["rows"]
    inputs = [("inputs", tensor("float32", [rows, 64], batch["inputs"]))]
    targets = [("targets", tensor("int64", [rows], batch["targets"]))]
    return record(index=batch["index"], rows=rows, inputs=inputs, targets=targets)


def draw(_, length):
    drawn = bytes(random[:length])
    assert len(drawn) == length, "the plan draws more than its parameters"
    del random[:length]
    return drawn


def unused(*_):
    raise AssertionError("a round of training emits no predictions")


IMPORTS = {
    "store": {"read": read, "write": write},
    "loader": {"next": next_batch},
    "predictions": {"emit": unused},
    "monitor": {"log": lambda _, level, text: print(level, text), "scalars": lambda _, values: None},
    "random": {"bytes": draw},
}


def call(name):
    """Calls an export in a fresh instance, as the contract says."""
    linker = Linker(engine)
    with linker.root() as root:
        for interface, functions in IMPORTS.items():
            with root.add_instance(f"{PACKAGE}/{interface}@{VERSION}") as instance:
                for function, does in functions.items():
                    instance.add_func(function, does)
    linker.allow_shadowing = True
    store = Store(engine)
    instance = linker.instantiate(store, component)
    plan = instance.get_export_index(store, f"{PACKAGE}/plan@{VERSION}")
    function = instance.get_func(store, instance.get_export_index(store, name, plan))
    result = function(store, ARGUMENTS)
    return result.payload if isinstance(result, Variant) else result


declaration = call("declare")
for spec in declaration.model:
    size = 4
    for axis in spec.shape:
        size *= axis
    model.append(bytearray(size))
call("init")
assert not random, f"the plan left {len(random)} bytes"
report = call("train")
print(f"{report.steps} steps, {report.rows} rows, {report.metrics}")
got = {spec.name: bytes(data).hex() for spec, data in zip(declaration.model, model)}
(FOLDER / "got.json").write_text(json.dumps(got))
