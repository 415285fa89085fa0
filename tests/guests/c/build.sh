#!/bin/sh
# Builds mlp.wasm by the commands of docs/other-languages.md; the same compiler gives the same bytes.
set -eu
cd "$(dirname "$0")"
command -v clang-22 >/dev/null ||
    apt-get install --yes --no-install-recommends clang-22 lld-22 wasi-libc libclang-rt-22-dev-wasm32
python3 -m venv venv
venv/bin/pip install --quiet --require-hashes -r requirements.txt
clang-22 --target=wasm32-wasi -mexec-model=reactor -std=c17 -Wall -Wextra -Werror -O2 \
    -Wno-deprecated mlp.c bindings/*.c bindings/*.o -Ibindings -Wl,--strip-all -o mlp.core.wasm
venv/bin/wasm-tools component new mlp.core.wasm -o mlp.wasm
