#!/usr/bin/env python3
"""Makes tests/data/kernel_cases.bin: the ONNX project's own single-node test cases for the operators
of schema/ops.json, plus cases at old opsets computed by onnx.reference, in the small format that
tests/unit/test_kernels_onnx.c replays. Needs onnx and numpy.

usage: tools/gen_kernel_cases.py OUT

Format, little-endian: "WAKC" u32 count, then per case: text name, u32 op, i32 opset, u32 attrs, u32
inputs, u32 outputs; attrs {text name, u32 kind (1 int, 2 float, 3 ints, 4 floats, 5 string), value};
tensors {u32 dtype, u32 rank, i64 dims.., bytes}. A text is u32 length and bytes; dtype 0: omitted.
"""
import json, os, struct, sys, warnings
import numpy as np
import onnx
from onnx import helper, numpy_helper, TensorProto
from onnx.reference import ReferenceEvaluator

warnings.filterwarnings("ignore")
root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
OPS = {o[0]: o for o in json.load(open(root + "/schema/ops.json"))["ops"] if o[2] == ""}
DTYPES = {t[3]: (t[1], t[2]) for t in json.load(open(root + "/schema/dtypes.json"))["types"] if t[2] >= 8}
MAX_TENSOR_BYTES = 1500


def text(s):
    b = s.encode() if isinstance(s, str) else s
    return struct.pack("<I", len(b)) + b


def tensor(t, opaque_bf16=False):
    if t is None:
        return struct.pack("<II", 0, 0)
    if isinstance(t, onnx.TensorProto):
        kind, dims = t.data_type, list(t.dims)
        a = numpy_helper.to_array(t)
    else:
        a = np.asarray(t)
        kind, dims = helper.np_dtype_to_tensor_dtype(a.dtype), list(a.shape)
    if kind not in DTYPES or len(dims) > 8:
        raise ValueError("type")
    raw = np.ascontiguousarray(a).tobytes()
    if len(raw) != int(np.prod(dims)) * DTYPES[kind][1] // 8:
        raise ValueError("size")
    if len(raw) > MAX_TENSOR_BYTES:
        raise ValueError("large")
    return struct.pack("<II", DTYPES[kind][0], len(dims)) + struct.pack("<%dq" % len(dims), *dims) + raw


def attribute(node, a):
    if node.op_type == "Cast" and a.name == "to":
        if a.i not in DTYPES:
            raise ValueError("type")
        return text("to") + struct.pack("<Iq", 1, DTYPES[a.i][0])
    if node.op_type == "ConstantOfShape" and a.name == "value":
        v = numpy_helper.to_array(a.t).reshape(-1)[0]
        floating = np.issubdtype(numpy_helper.to_array(a.t).dtype, np.floating)
        first = text("value_f") + struct.pack("<If", 2, float(v)) if floating else text("value_i") + struct.pack("<Iq", 1, int(v))
        return first + text("dtype") + struct.pack("<Iq", 1, DTYPES[a.t.data_type][0])
    if a.type == onnx.AttributeProto.INT:
        return text(a.name) + struct.pack("<Iq", 1, a.i)
    if a.type == onnx.AttributeProto.FLOAT:
        return text(a.name) + struct.pack("<If", 2, a.f)
    if a.type == onnx.AttributeProto.INTS:
        return text(a.name) + struct.pack("<II%dq" % len(a.ints), 3, len(a.ints), *a.ints)
    if a.type == onnx.AttributeProto.STRING:
        return text(a.name) + struct.pack("<I", 5) + text(a.s)
    raise ValueError("attribute " + a.name)


def case(name, node, opset, inputs, outputs):
    it, ot = iter(inputs), iter(outputs)
    ins = [next(it) if n else None for n in node.input]
    outs = [next(ot) if n else None for n in node.output]
    attrs = [attribute(node, a) for a in node.attribute if not (node.op_type == "Cast" and a.name in ("saturate", "round_mode"))]
    count = len(attrs) + (node.op_type == "ConstantOfShape" and len(attrs) == 1)
    head = text(name) + struct.pack("<IiIII", OPS[node.op_type][1], opset, count, len(ins), len(outs))
    return head + b"".join(attrs) + b"".join(tensor(t) for t in ins) + b"".join(tensor(t) for t in outs)


def onnx_cases():
    from onnx.backend.test.case.node import collect_testcases
    for c in collect_testcases(None):
        g = c.model.graph
        if len(g.node) != 1 or g.node[0].op_type not in OPS or g.node[0].domain not in ("", "ai.onnx"):
            continue
        if g.node[0].op_type == "Dropout" and ("_train" in c.name or "training" in c.name):
            continue
        opset = [o.version for o in c.model.opset_import if o.domain in ("", "ai.onnx")][0]
        for ins, outs in c.data_sets:
            yield c.name, g.node[0], opset, ins, outs


def old_cases():
    """Forms that today's test set no longer has."""
    r = np.random.default_rng(1)
    f = lambda *d: r.standard_normal(d).astype(np.float32)
    i = lambda *d: r.integers(-9, 9, d)
    rows = [("Softmax", 11, dict(axis=1), [f(2, 3, 4)]), ("Softmax", 11, {}, [f(2, 3, 4)]), ("LogSoftmax", 11, dict(axis=0), [f(2, 3)]),
            ("Squeeze", 11, dict(axes=[0, 2]), [f(1, 3, 1)]), ("Unsqueeze", 11, dict(axes=[0, -1]), [f(3)]),
            ("ReduceSum", 11, dict(axes=[1], keepdims=0), [f(2, 3, 4)]), ("ReduceMean", 13, dict(axes=[-1]), [f(2, 3, 4)]),
            ("ReduceMax", 13, dict(axes=[0]), [f(2, 3)]), ("Clip", 6, dict(min=-0.5, max=0.25), [f(2, 5)]),
            ("Split", 11, dict(axis=1, split=[1, 3]), [f(2, 4)]), ("Slice", 9, dict(starts=[1, -2], ends=[100, -1], axes=[0, 1]), [f(3, 4)]),
            ("Div", 14, {}, [np.array([-7, 7, -7, 9], np.int64), np.array([2, -2, -2, 4], np.int64)]),
            ("Mean", 13, {}, [f(2, 3), f(3), f(2, 1)]), ("Equal", 13, {}, [i(3, 4), i(4)]), ("Sign", 13, {}, [i(5)]),
            ("PRelu", 16, {}, [f(2, 3, 4), f(3, 1)]), ("IsInf", 10, dict(detect_negative=0), [np.array([1, np.inf, -np.inf, np.nan], np.float32)]),
            ("Flatten", 13, dict(axis=-1), [f(2, 3, 4)]), ("MatMul", 13, {}, [i(2, 3), i(3, 4)]), ("MatMul", 13, {}, [f(3), f(2, 3, 4)]),
            ("MatMul", 13, {}, [f(2, 1, 3, 4), f(5, 4, 2)]), ("Gemm", 13, dict(transA=1, alpha=0.5, beta=2.0), [f(3, 2), f(3, 4), f(2, 1)]),
            ("Identity", 13, {}, [i(2, 2)]), ("Range", 11, {}, [np.int64(10), np.int64(4), np.int64(-2)]), ("Range", 11, {}, [np.float32(1), np.float32(2), np.float32(0.3)]),
            ("Erf", 13, {}, [f(3, 7) * 2]), ("Tile", 13, {}, [f(2, 1, 3), np.array([2, 3, 2])]), ("Slice", 13, {}, [f(4, 5), np.array([1]), np.array([3])]),
            ("Slice", 13, {}, [f(4, 5, 3), np.array([-1, 4]), np.array([-100, 0]), np.array([0, -2]), np.array([-1, -2])]),
            ("Slice", 13, {}, [f(4, 5), np.array([1000]), np.array([1000]), np.array([0])]),
            ("Slice", 13, {}, [f(20, 2), np.array([20, 0]), np.array([0, 2]), np.array([0, 1]), np.array([-3, 1])]),
            ("Trilu", 14, dict(upper=0), [f(3, 4), np.int64(-1)]), ("Size", 13, {}, [f(2, 3, 4)]), ("Expand", 13, {}, [f(3, 1), np.array([2, 1, 4])])]
    for op, opset, attrs, ins in rows:
        outs = attrs.get("split") and len(attrs["split"]) or 1
        node = helper.make_node(op, ["i%d" % k for k in range(len(ins))], ["o%d" % k for k in range(outs)], **attrs)
        infos = [helper.make_tensor_value_info("i%d" % k, helper.np_dtype_to_tensor_dtype(np.asarray(t).dtype), np.asarray(t).shape) for k, t in enumerate(ins)]
        graph = helper.make_graph([node], "g", infos, [helper.make_tensor_value_info(o, TensorProto.UNDEFINED, None) for o in node.output])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
        if "oftmax" in op and opset < 13:  # onnx.reference knows today's meaning only
            axis, x = attrs.get("axis", 1), ins[0]
            flat = x.reshape(int(np.prod(x.shape[:axis])), -1).astype(np.float64)
            y = np.exp(flat) / np.exp(flat).sum(axis=1, keepdims=True)
            y = (np.log(y) if op == "LogSoftmax" else y).astype(np.float32).reshape(x.shape)
            yield "%s_opset%d" % (op, opset), node, opset, ins, [y]
            continue
        yield "%s_opset%d" % (op, opset), node, opset, ins, ReferenceEvaluator(model).run(None, {"i%d" % k: np.asarray(t) for k, t in enumerate(ins)})


def main():
    cases, skipped, seen = [], [], set()
    for name, node, opset, ins, outs in list(onnx_cases()) + list(old_cases()):
        try:
            cases.append(case(name, node, opset, ins, outs))
            seen.add(node.op_type)
        except (ValueError, StopIteration, KeyError, TypeError) as e:
            skipped.append("%s (%s)" % (name, e))
    with open(sys.argv[1], "wb") as f:
        f.write(b"WAKC" + struct.pack("<I", len(cases)) + b"".join(cases))
    print(len(cases), "cases,", os.path.getsize(sys.argv[1]), "bytes;", len(skipped), "left out:", " ".join(skipped), file=sys.stderr)
    print("without a case:", sorted(set(OPS) - seen), file=sys.stderr)


main()
