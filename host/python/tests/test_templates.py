"""`plan new --language python`: every template builds, keeps the promises of plans, and trains to the
parameters of the plan in Rust, bit for bit."""

import json
import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from fedwasm._program import program

SHIPPED = Path(__file__).resolve().parents[3] / "plugins" / "dist"


def fedwasm(directory, *args, code=0):
    environment = {**os.environ, "FEDWASM_PYTHON": sys.executable}
    ended = subprocess.run([program(), *map(str, args)], cwd=directory, env=environment, capture_output=True, text=True)
    assert ended.returncode == code, ended.stderr
    return ended


def templates():
    ended = subprocess.run(
        [program(), "plan", "new", "x", "--language", "python", "--template", "none-such"],
        capture_output=True, text=True,
    )
    return re.findall("`([a-z-]+)`", ended.stderr.split("help: ")[1])


def elements(path):
    """The bytes of all tensors, in the order of their names."""
    content = path.read_bytes()
    (length,) = struct.unpack_from("<Q", content)
    header = json.loads(content[8:8 + length])
    header.pop("__metadata__", None)
    data = content[8 + length:]
    return [data[slice(*header[name]["data_offsets"])] for name in sorted(header)]


@pytest.mark.parametrize("template", templates())
def test_template_trains_as_the_plan_in_rust(tmp_path, template):
    fedwasm(tmp_path, "plan", "new", "heart-risk", "--language", "python", "--template", template)
    fedwasm(tmp_path, "plan", "build", "heart-risk/plan.py")
    fedwasm(tmp_path, "plan", "build", "heart-risk/plan.py", "--reproduce", "heart-risk.wasm")
    fedwasm(tmp_path, "plan", "test", "heart-risk.wasm", "--args", "heart-risk/args.toml")
    found = []
    for plan in ("heart-risk.wasm", SHIPPED / f"{template}.wasm"):
        out = f"run-{len(found)}"
        fedwasm(tmp_path, "local", "--plan", plan, "--data", "heart-risk/data.csv", "--args", "heart-risk/args.toml",
                "--out", out)
        found.append(elements(tmp_path / out / "params.safetensors"))
    assert found[0] == found[1]
    text = fedwasm(tmp_path, "plan", "inspect", "heart-risk.wasm").stdout
    assert "plan heart-risk 0.1.0: " in text and "training_step" in text


def test_mistake_of_the_author_is_the_error(tmp_path):
    plan = tmp_path / "plan.py"
    plan.write_text("import fedwasm as fw\nprint('words of the author')\nx = 1\n")
    ended = fedwasm(tmp_path, "--json", "plan", "build", "plan.py", code=2)
    assert all(json.loads(line) for line in ended.stdout.splitlines())
    assert "words of the author" in ended.stderr
    assert not list(tmp_path.glob(".plan*"))
