#!/bin/sh
# Builds mlp.wasm by the commands of docs/other-languages.md. Needs node and npm.
set -eu
cd "$(dirname "$0")"
npm ci
npx componentize-qjs --wit ../../../wit --js mlp.js -n training-plan --sync --stub-wasi -o mlp.wasm
