#!/bin/sh
# A round of plugins/mlp in V8, against the host: run.sh FEDWASM. Needs node, npm and python3; by hand.
set -eu
fedwasm=$(realpath "$(command -v "$1")")
cd "$(dirname "$0")"
work=$(mktemp -d)
npm ci --silent
"$fedwasm" plan build ../../../plugins/mlp --in-guest -o "$work/mlp.wasm"
npx jco transpile "$work/mlp.wasm" --name plan --instantiation sync -o transpiled --quiet
python3 -B ../one_round.py prepare "$fedwasm" "$work/mlp.wasm" "$work"
node host.js "$work"
python3 -B ../one_round.py compare "$work"
rm -r "$work"
