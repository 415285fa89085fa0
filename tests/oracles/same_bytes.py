"""Compares two builds of fedwasm: equal digests of the demo, of local runs of all shipped plans, and
of a run that one build stops and the other goes on with.

    python3 tests/oracles/same_bytes.py OLD NEW [PLANS]

OLD and NEW are binaries, PLANS the directory of components (plugins/dist). Run by hand before and
after a change that must change nothing.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
OLD, NEW = sys.argv[1:3]
PLANS = pathlib.Path(sys.argv[3]) if len(sys.argv) > 3 else ROOT / "plugins/dist"
DATA = ROOT / "examples/data"
TABLE = {
    "logistic-regression": ("breast_cancer.csv", "benign"),
    "mlp": ("breast_cancer.csv", "benign"),
    "linear-svm": ("breast_cancer.csv", "benign"),
    "linear-regression": ("diabetes.csv", "progression"),
}


def result(binary, *args):
    command = [binary, "--json", *map(str, args)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert ended.returncode == 0, (command, ended.stderr)
    return json.loads(ended.stdout.splitlines()[-1])


def same(name, of):
    old, new = of(OLD), of(NEW)
    assert old == new, f"{name}: {old} before, {new} after"
    print(f"{name}: equal ({str(old)[:76]})")


def local(plan, file, target):
    def run(binary):
        with tempfile.TemporaryDirectory() as out:
            told = result(binary, "local", "--plan", PLANS / f"{plan}.wasm", "--data", DATA / file,
                          "--target", target, "--seed", 7, "--out", f"{out}/run")
            files = sorted(pathlib.Path(out, "run").glob("params.*"))
            return told["params_sha256"], [file.read_bytes()[-64:].hex() for file in files]
    return run


def demo(binary):
    told = result(binary, "demo")
    return told["params_sha256"], told["metrics"], [row["accuracy"] for row in told["table"]]


def resumed(first, second):
    """Ten epochs by one build, ten more by the other."""
    with tempfile.TemporaryDirectory() as out:
        for epochs, binary, rest in [(10, first, []), (20, second, ["--resume"])]:
            args = pathlib.Path(out, "args.toml")
            args.write_text(f"[training]\nepochs = {epochs}\n")
            told = result(binary, "local", "--plan", PLANS / "mlp.wasm", "--data",
                          DATA / "breast_cancer.csv", "--target", "benign", "--seed", 7,
                          "--args", args, "--out", f"{out}/run", *rest)
        return told["params_sha256"]


for plan, (file, target) in TABLE.items():
    same(plan, local(plan, file, target))
same("demo", demo)
same("resumed by the other build", lambda binary: resumed(binary, NEW if binary == OLD else OLD))
