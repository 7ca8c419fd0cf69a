#!/usr/bin/env python3
"""BERT encoders for measuring: a folder as Hugging Face lays it out with seeded weights, or the ONNX file that
holds an existing folder's weights, so that other engines run the very model that we do.

usage: tools/make_bert_models.py folder mini|base|tiny|bench-tiny FOLDER     config.json, model.safetensors, mean pooling
       tools/make_bert_models.py onnx FOLDER FILE                  inputs input_ids, attention_mask [batch, sequence] i64,
                                                                   output embedding [batch, hidden]: the mean of the tokens,
                                                                   normalised where the folder's modules.json says so

Shapes: mini is MiniLM-L6's, base BERT-base's, tiny a toy for trying scripts. Needs numpy.
"""
import json
import os
import struct
import sys

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from make_bench_models import FLOAT, INT64, Model, field, number, varint  # noqa: E402

SEED = 20261129
SHAPES = {"mini": (384, 6, 12, 1536, 30522), "base": (768, 12, 12, 3072, 30522), "tiny": (128, 2, 4, 256, 1000), "bench-tiny": (64, 1, 4, 128, 500)}
POSITIONS = 512


def tensors(hidden, layers, inner, vocab):
    """(name, shape, scale, mean) of every tensor of BertModel."""
    norm = lambda name: [(name + ".weight", (hidden,), 0.05, 1.0), (name + ".bias", (hidden,), 0.05, 0.0)]
    linear = lambda name, out, into: [(name + ".weight", (out, into), into ** -0.5, 0.0), (name + ".bias", (out,), 0.02, 0.0)]
    yield from [("embeddings.word_embeddings.weight", (vocab, hidden), 0.05, 0.0), ("embeddings.position_embeddings.weight", (POSITIONS, hidden), 0.05, 0.0),
                ("embeddings.token_type_embeddings.weight", (2, hidden), 0.05, 0.0)] + norm("embeddings.LayerNorm")
    for i in range(layers):
        at = "encoder.layer.%d." % i
        for part in ("query", "key", "value"):
            yield from linear(at + "attention.self." + part, hidden, hidden)
        yield from linear(at + "attention.output.dense", hidden, hidden) + norm(at + "attention.output.LayerNorm")
        yield from linear(at + "intermediate.dense", inner, hidden) + linear(at + "output.dense", hidden, inner) + norm(at + "output.LayerNorm")


def write_safetensors(path, arrays):
    """arrays: {name: float32 array}."""
    head, at = {}, 0
    for name, a in arrays.items():
        head[name] = {"dtype": "F32", "shape": list(a.shape), "data_offsets": [at, at + a.nbytes]}
        at += a.nbytes
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for a in arrays.values():
            f.write(np.ascontiguousarray(a, np.float32).tobytes())


def write_folder(folder, hidden, layers, heads, inner, vocab, arrays):
    os.makedirs(os.path.join(folder, "1_Pooling"), exist_ok=True)
    write_safetensors(os.path.join(folder, "model.safetensors"), arrays)
    files = {
        "config.json": {"architectures": ["BertModel"], "model_type": "bert", "hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads,
                        "intermediate_size": inner, "vocab_size": vocab, "hidden_act": "gelu", "layer_norm_eps": 1e-12, "max_position_embeddings": POSITIONS, "type_vocab_size": 2},
        "modules.json": [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
                         {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}],
        "1_Pooling/config.json": {"word_embedding_dimension": hidden, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": False},
    }
    for name, o in files.items():
        with open(os.path.join(folder, name), "w") as f:
            json.dump(o, f, indent=1)


def make_folder(name, folder):
    hidden, layers, heads, inner, vocab = SHAPES[name]
    rng = np.random.default_rng(SEED)
    arrays = {n: ((rng.random(shape, dtype=np.float32) - np.float32(0.5)) * np.float32(scale * 12 ** 0.5) + np.float32(mean)) for n, shape, scale, mean in tensors(hidden, layers, inner, vocab)}
    write_folder(folder, hidden, layers, heads, inner, vocab, arrays)


def read_safetensors(path):
    with open(path, "rb") as f:
        n, = struct.unpack("<Q", f.read(8))
        head = json.loads(f.read(n))
        data = f.read()
    kinds = {"F32": np.float32, "F16": np.float16, "I64": np.int64}
    return {k: np.frombuffer(data[v["data_offsets"][0]:v["data_offsets"][1]], kinds[v["dtype"]]).reshape(v["shape"]) for k, v in head.items() if k != "__metadata__" and v["dtype"] in kinds}


class Given(Model):
    """A graph whose weights are at hand."""

    def array(self, a):
        name = "w%d" % len(self.weights)
        self.weights.append((name, FLOAT, tuple(a.shape), np.ascontiguousarray(a, np.float32), None))
        return name

    def weight_bytes(self, w):
        if not isinstance(w[3], np.ndarray):
            return super().weight_bytes(w)
        raw = w[3].tobytes()
        return b"".join(number(1, d) for d in w[2]) + number(2, FLOAT) + field(8, w[0]) + varint(9 << 3 | 2) + varint(len(raw)), raw


def make_onnx(folder, path, output="embedding", dims=("batch", "sequence")):
    with open(os.path.join(folder, "config.json")) as f:
        c = json.load(f)
    hidden, heads, epsilon = c["hidden_size"], c["num_attention_heads"], c.get("layer_norm_eps", 1e-12)
    normalize = False
    if os.path.exists(os.path.join(folder, "modules.json")):
        with open(os.path.join(folder, "modules.json")) as f:
            normalize = any(x["type"].endswith("Normalize") for x in json.load(f))
    w = {k[5:] if k.startswith("bert.") else k: v for k, v in read_safetensors(os.path.join(folder, "model.safetensors")).items()}
    m = Given()
    linear = lambda x, name: m.node("Add", [m.node("MatMul", [x, m.array(w[name + ".weight"].T)]), m.array(w[name + ".bias"])])
    norm = lambda x, name: m.node("LayerNormalization", [x, m.array(w[name + ".weight"]), m.array(w[name + ".bias"])], axis=-1, epsilon=epsilon)
    floats = m.node("Cast", ["attention_mask"], to=FLOAT)
    mask = m.node("Mul", [m.node("Sub", [m.scalar(1.0), m.node("Unsqueeze", [floats, m.ints([1, 2])])]), m.scalar(-3.4028234663852886e38)])
    length = m.node("Slice", [m.node("Shape", ["input_ids"]), m.ints([1]), m.ints([2]), m.ints([0])])
    positions = m.node("Slice", [m.array(w["embeddings.position_embeddings.weight"] + w["embeddings.token_type_embeddings.weight"][0]), m.ints([0]), length, m.ints([0])])
    x = norm(m.node("Add", [m.node("Gather", [m.array(w["embeddings.word_embeddings.weight"]), "input_ids"], axis=0), positions]), "embeddings.LayerNorm")
    split, merge = m.ints([0, 0, heads, hidden // heads]), m.ints([0, 0, hidden])
    root, half, one, scale = m.scalar(2 ** 0.5), m.scalar(0.5), m.scalar(1.0), m.scalar((hidden // heads) ** 0.5)
    for i in range(c["num_hidden_layers"]):
        at = "encoder.layer.%d." % i
        q, k, v = (m.node("Transpose", [m.node("Reshape", [linear(x, at + "attention.self." + part), split])], perm=p)
                   for part, p in (("query", [0, 2, 1, 3]), ("key", [0, 2, 3, 1]), ("value", [0, 2, 1, 3])))
        a = m.node("MatMul", [m.node("Softmax", [m.node("Add", [m.node("Div", [m.node("MatMul", [q, k]), scale]), mask])], axis=-1), v])
        a = m.node("Reshape", [m.node("Transpose", [a], perm=[0, 2, 1, 3]), merge])
        x = norm(m.node("Add", [linear(a, at + "attention.output.dense"), x]), at + "attention.output.LayerNorm")
        h = linear(x, at + "intermediate.dense")
        h = m.node("Mul", [m.node("Mul", [h, m.node("Add", [m.node("Erf", [m.node("Div", [h, root])]), one])]), half])
        x = norm(m.node("Add", [linear(h, at + "output.dense"), x]), at + "output.LayerNorm")
    tokens = m.node("Unsqueeze", [floats, m.ints([2])])
    count = m.node("Max", [m.node("ReduceSum", [tokens, m.ints([1])], keepdims=0), m.scalar(1e-9)])
    x = m.node("Div", [m.node("ReduceSum", [m.node("Mul", [x, tokens]), m.ints([1])], keepdims=0), count])
    if normalize:
        x = m.node("Div", [x, m.node("Max", [m.node("ReduceL2", [x], axes=[1], keepdims=1), m.scalar(1e-12)])])
    m.nodes.append(field(1, x) + field(2, output) + field(4, "Identity"))
    ids = tuple(dims)
    m.save(path, [("input_ids", INT64, ids), ("attention_mask", INT64, ids)], [(output, FLOAT, (ids[0], hidden))], 17)


def main():
    if len(sys.argv) != 4 or sys.argv[1] not in ("folder", "onnx") or (sys.argv[1] == "folder" and sys.argv[2] not in SHAPES):
        sys.exit(__doc__)
    (make_folder if sys.argv[1] == "folder" else make_onnx)(sys.argv[2], sys.argv[3])


if __name__ == "__main__":
    main()
