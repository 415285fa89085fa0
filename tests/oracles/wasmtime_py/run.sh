#!/bin/sh
# A round of plugins/mlp in wasmtime-py, against the host: run.sh FEDWASM. Needs python3; by hand.
set -eu
fedwasm=$(realpath "$(command -v "$1")")
cd "$(dirname "$0")"
work=$(mktemp -d)
python3 -m venv venv
venv/bin/pip install --quiet -r requirements.txt
"$fedwasm" plan build ../../../plugins/mlp --in-guest -o "$work/mlp.wasm"
python3 -B ../one_round.py prepare "$fedwasm" "$work/mlp.wasm" "$work"
venv/bin/python host.py "$work/mlp.wasm" "$work"
python3 -B ../one_round.py compare "$work"
rm -r "$work"
