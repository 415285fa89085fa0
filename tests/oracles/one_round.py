"""A round of a plan for engines that are not the host's: `jco/run.sh` and `wasmtime_py/run.sh`.

    python3 one_round.py prepare FEDWASM PLAN DIR
    python3 one_round.py compare DIR

`prepare` runs `fedwasm local` on the digits and writes DIR/round.json: arguments, the bytes that
`init` draws, and all batches of two epochs, shuffled here after docs/data.md. An engine writes
DIR/got.json, the parameters that the plan ends with; `compare` holds them against the host's, byte
by byte. Needs nothing but Python 3.
"""
import csv
import json
import pathlib
import struct
import subprocess
import sys

from seeds_and_shuffle import chacha20_words, seed, shuffle

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = ROOT / "examples/data/digits.csv"
SEED, EPOCHS, BATCH = 42, 2, 48
ARGS = f"""[data]
target = "digit"
standardize = false
[training]
epochs = {EPOCHS}
test_ratio = 0
loader_args = {{ batch_size = {BATCH} }}
optimizer_args = {{ lr = 0.02, momentum = 0.9, nesterov = true }}
[model]
hidden = 37
"""
GIVEN = {
    "model.hidden": 37,
    "optimizer.lr": 0.02,
    "optimizer.momentum": 0.9,
    "optimizer.nesterov": True,
}


def fedwasm(binary, *args):
    command = [binary, "--json", *map(str, args)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, (command, ended.stderr)
    return json.loads(ended.stdout.splitlines()[-1])


def arguments(binary, plan):
    """All that the plan announces, in ascending order, as variants of `value`."""
    from_data = {"input-columns": 64, "target-classes": 10}
    inspected = fedwasm(binary, "plan", "inspect", plan)
    assert inspected["world"] == "fedwasm:training-plan@0.1.0", "build the plan with --in-guest"
    values = []
    for argument in inspected["arguments"]:
        default = argument["default"]
        default = default["value"] if isinstance(default, dict) else from_data.get(default)
        value = GIVEN.get(argument["name"], default)
        values.append([argument["name"], {"tag": argument["kind"], "val": value}])
    return sorted(values)


def batches():
    rows = [line for line in csv.reader(open(DATA))][1:]
    words = chacha20_words(seed("shuffle", SEED, struct.pack("<I", 1)))
    made = []
    for _ in range(EPOCHS):
        order = shuffle(list(range(len(rows))), words)
        for start in range(0, len(order), BATCH):
            taken = [rows[row] for row in order[start : start + BATCH]]
            inputs = [float(value) for row in taken for value in row[:-1]]
            targets = [int(row[-1]) for row in taken]
            made.append(
                {
                    "index": len(made),
                    "rows": len(taken),
                    "inputs": struct.pack(f"<{len(inputs)}f", *inputs).hex(),
                    "targets": struct.pack(f"<{len(targets)}q", *targets).hex(),
                }
            )
    return made


def parameters(path):
    """Name and bytes of each tensor of a safetensors file."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header, body = json.loads(data[8 : 8 + length]), data[8 + length :]
    header.pop("__metadata__", None)
    return {name: body[slice(*spec["data_offsets"])] for name, spec in header.items()}


def prepare(binary, plan, folder):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "args.toml").write_text(ARGS)
    local = ["local", "--plan", plan, "--data", DATA, "--seed", SEED]
    local += ["--args", folder / "args.toml", "--out", folder / "run", "--force"]
    result = fedwasm(binary, *local)
    drawn = sum(len(data) for data in parameters(folder / "run/params.safetensors").values())
    words = chacha20_words(seed("init", SEED))
    random = b"".join(struct.pack("<I", next(words)) for _ in range(drawn // 4))
    asked = {"arguments": arguments(binary, plan), "random": random.hex(), "batches": batches()}
    assert len(asked["batches"]) == result["n_steps"], result
    (folder / "round.json").write_text(json.dumps(asked))


def compare(folder):
    folder = pathlib.Path(folder)
    expected = parameters(folder / "run/params.safetensors")
    got = json.loads((folder / "got.json").read_text())
    got = {name: bytes.fromhex(data) for name, data in got.items()}
    assert got.keys() == expected.keys(), (got.keys(), expected.keys())
    for name, data in expected.items():
        pairs = zip(data[i : i + 4] for i in range(0, len(data), 4))
        same = sum(got[name][4 * i : 4 * i + 4] == own for i, (own,) in enumerate(pairs))
        print(f"{name}: {same} of {len(data) // 4} numbers have the same bits")
    assert got == expected, "parameters differ"
    print("equal, bit for bit")


if __name__ == "__main__":
    {"prepare": prepare, "compare": compare}[sys.argv[1]](*sys.argv[2:])
