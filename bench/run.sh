#!/bin/sh
# Ours against onnxruntime on the CPU and onnxruntime-web (wasm, WebGPU plain and captured, WebNN) in the
# same Chromium, same machine, same run, same models and inputs, in 32 and 8 bits. Prints a table, keeps the JSON
# under bench/results. The peers are fetched once, pinned, into build/deps/peers.
# usage: bench/run.sh WEBACCEL [bench.py's options]
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
command=$1
shift
peers=$root/build/deps/peers
if [ ! -e "$peers/.done-2" ]; then
    echo "bench: fetching the peers (onnxruntime, onnxruntime-web)"
    rm -rf "$peers"
    mkdir -p "$peers"
    pip=$(command -v pip3 || echo "python3 -m pip")
    $pip install -q --no-cache-dir --disable-pip-version-check --root-user-action=ignore --target "$peers/python" onnxruntime==1.32.0 numpy==2.4.6 onnx==1.22.0
    (cd "$peers" && npm pack --silent --cache "$peers/npm" --no-update-notifier onnxruntime-web@1.30.0 >/dev/null && tar xzf onnxruntime-web-*.tgz && mv package onnxruntime-web && rm -rf npm ./*.tgz)
    : >"$peers/.done-2"
fi
PYTHONPATH=$peers/python exec python3 "$root/bench/bench.py" --command "$command" --peers "$peers" --deps "$root/build/deps" "$@"
