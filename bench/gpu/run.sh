#!/bin/sh
# On a GPU machine: ours beside onnxruntime-web in all its forms, encoders of 128 tokens, one JSON. run.py tells the rest.
# usage: bench/gpu/run.sh WEBACCEL PEERS OUT.json [run.py's options]
#   WEBACCEL  the command; the libraries of a bundle (tools/gpu_bundle.sh) are found beside it
#   PEERS     folder with onnx_bert.py, pages.js, pages.html, browser.py and ort.tar.xz (onnxruntime-web's dist)
# $CHROME is the browser of both; the peers get $GPU_FLAGS, ours finds its flags itself.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
command=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
libraries=$(dirname "$command")/../lib
[ ! -d "$libraries" ] || LD_LIBRARY_PATH=$(cd "$libraries" && pwd)${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export LD_LIBRARY_PATH="${LD_LIBRARY_PATH:-}"
peers=$2 out=$3
shift 3
exec python3 "$here/run.py" --command "$command" --peers "$peers" --out "$out" "$@"
