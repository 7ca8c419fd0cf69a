#!/usr/bin/env python3
"""Seeds the importers' fuzz corpora: small models and configs, each under 20 KB.

usage: tools/make_corpus.py      (needs onnx and numpy)
"""
import json
import os
import struct

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ROOT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "fuzz", "corpus")


def put(folder, name, data):
    os.makedirs(os.path.join(ROOT, folder), exist_ok=True)
    with open(os.path.join(ROOT, folder, name), "wb") as f:
        f.write(data)


def model(nodes, inputs, outputs, init=(), opset=17, sparse=()):
    g = helper.make_graph(nodes, "g", inputs, outputs, list(init), sparse_initializer=list(sparse))
    return helper.make_model(g, opset_imports=[helper.make_opsetid("", opset)], ir_version=8).SerializeToString()


def info(name, dims, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, dims)


def without_weights(path):
    """A real export, each large weight cut to one element: the importer does not look at shapes' sense."""
    m = onnx.load(path)
    for t in m.graph.initializer:
        if len(t.raw_data) > 256:
            del t.dims[:]
            t.dims.append(1)
            t.raw_data = b"\0" * 4
    return m.SerializeToString()


def make_onnx():
    n = helper.make_node
    w = numpy_helper.from_array(np.arange(4, dtype=np.float32).reshape(2, 2), "w")
    put("onnx", "matmul", model([n("MatMul", ["x", "w"], ["y"], name="m")], [info("x", ["n", 2])], [info("y", ["n", 2])], [w]))
    typed = [helper.make_tensor(f"t{i}", k, [2], v) for i, (k, v) in enumerate(
        [(TensorProto.FLOAT, [1, 2]), (TensorProto.INT64, [1, -2]), (TensorProto.INT32, [1, 2]), (TensorProto.DOUBLE, [1, 2]),
         (TensorProto.UINT64, [1, 2]), (TensorProto.BOOL, [1, 0]), (TensorProto.FLOAT16, [1, 2])])]
    put("onnx", "typed", model([n("Identity", ["t0"], ["y"])], [info("x", [None, "n"]), info("t1", [2], TensorProto.INT64)],
                               [info("y", [2]), info("t1", [2], TensorProto.INT64)], typed))
    consts = [n("Constant", [], ["a"], value_ints=[2, 3]), n("Constant", [], ["b"], value_float=1.5), n("Constant", [], ["c"], value_int=3),
              n("Constant", [], ["d"], value_floats=[1.0, 2.0]), n("Constant", [], ["e"], value=w),
              n("ConstantOfShape", ["a"], ["f"], value=helper.make_tensor("v", TensorProto.INT64, [1], [7])),
              n("Cast", ["f"], ["g"], to=TensorProto.FLOAT), n("Add", ["g", "b"], ["y"]),
              n("Clip", ["y", "", "b"], ["z"], name="clip"), n("Transpose", ["z"], ["q"], perm=[1, 0])]
    put("onnx", "constants", model(consts, [], [info("q", [3, 2])]))
    external = numpy_helper.from_array(np.ones(2, np.float32), "w")
    external.ClearField("raw_data")
    external.data_location = TensorProto.EXTERNAL
    for k, v in (("location", "model.onnx.data"), ("offset", "8"), ("length", "8")):
        e = external.external_data.add()
        e.key, e.value = k, v
    put("onnx", "external", model([n("Add", ["x", "w"], ["y"])], [info("x", [2])], [info("y", [2])], [external]))
    sub = helper.make_graph([n("Identity", ["x"], ["s"])], "sub", [], [info("s", [2])])
    put("onnx", "unknown", model([n("If", ["c"], ["y"], then_branch=sub, else_branch=sub), n("Odd", ["y"], ["z"], domain="com.example", k="v")],
                                 [info("x", [2]), info("c", [], TensorProto.BOOL)], [info("z", [2])]))
    put("onnx", "tiny14", without_weights(os.path.join(ROOT, "..", "..", "tests", "fixtures", "bert-tiny", "opset14.onnx")))


def make_safetensors():
    def file(header, data=b""):
        h = json.dumps(header).encode() if not isinstance(header, bytes) else header
        return struct.pack("<Q", len(h)) + h + data
    put("safetensors", "two", file({"__metadata__": {"format": "pt"}, "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
                                    "b": {"dtype": "BF16", "shape": [1, 2], "data_offsets": [8, 12]}}, bytes(12)))
    put("safetensors", "empty", file({}))
    put("safetensors", "overlap", file({"a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}, "b": {"dtype": "I8", "shape": [4], "data_offsets": [2, 6]}}, bytes(8)))
    put("safetensors", "header", json.dumps({"a": {"dtype": "F16", "shape": [2, 2], "data_offsets": [0, 8]},
                                             "b": {"dtype": "BOOL", "shape": [], "data_offsets": [8, 9]}}).encode())
    put("safetensors", "deep", file(b'{"a":' + b"[" * 70 + b"]" * 70 + b"}"))
    put("safetensors", "index", b'{"metadata":{"total_size":8},"weight_map":{"a":"s.safetensors"}}')
    put("safetensors", "escape", b'{"weight_map":{"a":"../s.safetensors"}}')


def make_config():
    small = {"architectures": ["BertModel"], "model_type": "bert", "hidden_size": 2, "num_hidden_layers": 1, "num_attention_heads": 1,
             "intermediate_size": 3, "vocab_size": 4, "max_position_embeddings": 4, "type_vocab_size": 2, "hidden_act": "gelu",
             "layer_norm_eps": 1e-12, "position_embedding_type": "absolute"}
    put("config", "bert", json.dumps(small).encode())
    put("config", "silu", json.dumps(dict(small, hidden_act="silu", architectures=["BertForMaskedLM"])).encode())
    put("config", "refused", json.dumps(dict(small, hidden_act="mish", is_decoder=True, position_embedding_type="relative_key",
                                             quantization_config={"bits": 4})).encode())
    put("config", "heads", json.dumps(dict(small, num_attention_heads=3)).encode())
    put("config", "bare", b'{"model_type":"bert","num_hidden_layers":0}')
    put("config", "llama", b'{"architectures":["LlamaForCausalLM"],"model_type":"llama"}')


make_onnx()
make_safetensors()
make_config()
