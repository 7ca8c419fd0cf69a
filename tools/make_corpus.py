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


def branch(name, nodes, outputs, inputs=(), init=()):
    return helper.make_graph(nodes, name, list(inputs), outputs, list(init))


def open_info(name):
    v = onnx.ValueInfoProto()
    v.name = name
    return v


def make_subgraphs():
    """If in Loop in the model: captured values of both graphs around, a shadowing name, a child's initialiser, a
    child output that is a captured value and one that is a constant."""
    n = helper.make_node
    two = numpy_helper.from_array(np.float32(2), "two")
    then = branch("then", [n("Mul", ["v", "two"], ["t"]), n("Add", ["t", "x"], ["r"])], [info("r", None), info("x", None)], init=[two])
    other = branch("else", [n("Constant", [], ["k"], value_float=3.0)], [info("v", None), info("k", None)])
    body = branch("body", [n("Less", ["i", "limit"], ["small"]), n("If", ["small"], ["w", "e"], name="pick", then_branch=then, else_branch=other),
                           n("Identity", ["c"], ["more"])], [open_info("more"), open_info("w"), open_info("e")],
                  [info("i", [], TensorProto.INT64), info("c", [], TensorProto.BOOL), open_info("v")])
    limit = numpy_helper.from_array(np.int64(1), "limit")
    trips = numpy_helper.from_array(np.int64(2), "trips")
    put("onnx", "subgraphs", model([n("Loop", ["trips", "", "x"], ["y", "all"], name="loop", body=body)], [info("x", [2])],
                                   [info("y", [2]), info("all", None)], [limit, trips]))
    step = branch("body", [n("Add", ["s", "a"], ["q"]), n("Identity", ["q"], ["o"])], [info("q", [2]), info("o", [2])], [info("s", [2]), info("a", [2])])
    put("onnx", "scan", model([n("Scan", ["z", "x"], ["y", "all"], body=step, num_scan_inputs=1, scan_input_axes=[1], scan_output_directions=[1])],
                              [info("z", [2]), info("x", [2, 3])], [info("y", [2]), info("all", [3, 2])]))


def make_functions():
    """A function of functions: attributes by reference, a default, an input left out, one result unused."""
    n = helper.make_node
    sets = [helper.make_opsetid("", 17), helper.make_opsetid("my", 1)]

    def ref(node, name, to, kind):
        a = node.attribute.add()
        a.name, a.ref_attr_name, a.type = name, to, kind
        return node
    leaky = ref(n("LeakyRelu", ["a"], ["b"]), "alpha", "slope", onnx.AttributeProto.FLOAT)
    const = ref(n("Constant", [], ["k"]), "value_float", "bias", onnx.AttributeProto.FLOAT)
    clip = n("Clip", ["b", "low"], ["d"])
    inner = helper.make_function("my", "Inner", ["a", "low"], ["e", "b"], [leaky, const, clip, n("Add", ["d", "k"], ["e"])], sets, ["slope"],
                                 [helper.make_attribute("bias", 0.5)])
    call = ref(n("Inner", ["p"], ["q", "unused"], domain="my"), "slope", "s", onnx.AttributeProto.FLOAT)
    outer = helper.make_function("my", "Outer", ["p"], ["q", "p"], [call], sets, ["s"])
    g = helper.make_graph([n("Outer", ["x"], ["y", "x2"], domain="my", s=0.25), n("Outer", ["y"], ["z"], domain="my", s=0.125)], "g", [info("x", [2])],
                          [info("z", [2]), info("x2", [2])])
    put("onnx", "functions", helper.make_model(g, opset_imports=sets, functions=[inner, outer], ir_version=8).SerializeToString())
    me = helper.make_function("my", "Me", ["p"], ["q"], [n("Me", ["p"], ["q"], domain="my")], sets)
    g = helper.make_graph([n("Me", ["x"], ["y"], domain="my")], "g", [info("x", [2])], [info("y", [2])])
    put("onnx", "recursion", helper.make_model(g, opset_imports=sets, functions=[me], ir_version=8).SerializeToString())


def make_types():
    """Every element type as a constant, packed ones as raw bytes and in int32_data; sparse tensors; inputs of no shape."""
    n = helper.make_node
    kinds = [TensorProto.FLOAT, TensorProto.UINT8, TensorProto.INT8, TensorProto.UINT16, TensorProto.INT16, TensorProto.INT32, TensorProto.INT64,
             TensorProto.BOOL, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.UINT32, TensorProto.UINT64, TensorProto.BFLOAT16,
             TensorProto.FLOAT8E4M3FN, TensorProto.FLOAT8E4M3FNUZ, TensorProto.FLOAT8E5M2, TensorProto.FLOAT8E5M2FNUZ, TensorProto.UINT4,
             TensorProto.INT4, TensorProto.FLOAT4E2M1, TensorProto.FLOAT8E8M0, TensorProto.UINT2, TensorProto.INT2]
    init = [helper.make_tensor(f"t{k}", k, [3], [1, 0, 1]) for k in kinds]
    raw = onnx.TensorProto()
    raw.name, raw.data_type, raw.raw_data = "raw", TensorProto.INT4, b"\x21\x03"
    raw.dims.append(3)
    nodes = [n("Identity", [f"t{k}"], [f"y{k}"]) for k in kinds]
    outputs = [info(f"y{k}", [3], k) for k in kinds]
    for k in (TensorProto.DOUBLE, TensorProto.FLOAT8E5M2, TensorProto.INT4):
        nodes += [n("ConstantOfShape", ["shape"], [f"f{k}"], value=helper.make_tensor("v", k, [1], [1])), n("Cast", ["x"], [f"c{k}"], to=k)]
        outputs += [info(f"f{k}", [2], k), info(f"c{k}", None, k)]
    init += [raw, numpy_helper.from_array(np.array([2], np.int64), "shape")]
    put("onnx", "types", model(nodes, [info("x", None), info("in4", [3], TensorProto.INT4)], outputs, init, opset=23))
    values = helper.make_tensor("sparse", TensorProto.FLOAT, [2], [1.5, -2.0])
    flat = helper.make_sparse_tensor(values, helper.make_tensor("i", TensorProto.INT64, [2], [1, 5]), [2, 3])
    pairs = helper.make_sparse_tensor(helper.make_tensor("", TensorProto.INT64, [1], [7]), helper.make_tensor("i", TensorProto.INT64, [1, 2], [1, 0]), [2, 2])
    put("onnx", "sparse", model([n("Identity", ["sparse"], ["y"]), n("Constant", [], ["z"], sparse_value=pairs)], [],
                                [info("y", [2, 3]), info("z", [2, 2], TensorProto.INT64)], sparse=[flat]))


def make_old():
    """Opset 5 and before: broadcasting by attributes, lists and types in attributes."""
    n = helper.make_node
    w = numpy_helper.from_array(np.arange(3, dtype=np.float32), "w")
    s = numpy_helper.from_array(np.ones(3, np.float32), "s")
    nodes = [n("Add", ["x", "w"], ["a"], broadcast=1, axis=1, consumed_inputs=[0, 0]), n("PRelu", ["a", "s"], ["b"]), n("Cast", ["b"], ["c"], to="DOUBLE"),
             n("Cast", ["c"], ["d"], to="FLOAT"), n("Pad", ["d"], ["e"], pads=[0] * 8, mode="constant", value=0.0), n("Reshape", ["e"], ["f"], shape=[0, -1]),
             n("Concat", ["f", "f"], ["g"]), n("Dropout", ["g"], ["y"], is_test=1)]
    put("onnx", "old", model(nodes, [info("x", [2, 3, 2, 2])], [info("y", [2, 24])], [w, s], opset=3))


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
make_subgraphs()
make_functions()
make_types()
make_old()
make_safetensors()
make_config()
