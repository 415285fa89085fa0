#!/bin/sh
# Builds mlp.wasm by the commands of docs/other-languages.md.
set -eu
cd "$(dirname "$0")"
python3 -m venv venv
venv/bin/pip install --quiet --require-hashes -r requirements.txt
venv/bin/componentize-py -d ../../../wit -w training-plan componentize --stub-wasi mlp -o mlp.wasm
