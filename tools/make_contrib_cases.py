#!/usr/bin/env python3
"""Small seeded cases of com.microsoft operators, with onnxruntime's results, in the layout of ONNX's
backend tests: tests/data/contrib/<case>/{model.onnx,test_data_set_0/*.pb}.

usage: python tools/make_contrib_cases.py [case...]   (needs onnx, onnxruntime, numpy, ml_dtypes)

To add a case: a function that returns (operator, {input: array or None}, attributes, constants: names of
inputs that are initializers, number of outputs), marked @case. It is called with a seeded generator.
"""
import os, shutil, sys
import ml_dtypes
import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

ROOT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tests", "data", "contrib")
CASES = {}


def case(f):
    CASES[f.__name__] = f
    return f


def f32(*x):
    return np.array(x[0] if len(x) == 1 else x, np.float32)


def u8(rng, *shape):
    return rng.integers(0, 256, shape).astype(np.uint8)


def i8(rng, *shape):
    return rng.integers(-128, 128, shape).astype(np.int8)


@case
def ms_quantize_axis(rng):
    return "QuantizeLinear", {"x": rng.normal(0, 3, (3, 4)).astype(np.float32), "s": f32([0.1, 0.2, 0.05]), "z": np.array([3, 0, 200], np.uint8)}, {"axis": 0}, ["s", "z"], 1


@case
def ms_dequantize_axis(rng):
    return "DequantizeLinear", {"x": i8(rng, 3, 4), "s": f32([0.1, 0.2, 0.05]), "z": np.array([3, 0, -20], np.int8)}, {"axis": 0}, ["s", "z"], 1


@case
def matmul_integer_to_float(rng):
    return "MatMulIntegerToFloat", {"a": u8(rng, 2, 3, 8), "b": (i8(rng, 8, 5) // 4).astype(np.int8), "as": f32(0.02), "bs": f32([0.01, 0.02, 0.03, 0.04, 0.05]), "az": np.array(120, np.uint8),
                                    "bz": np.array([0, 1, -2, 3, 4], np.int8), "bias": rng.normal(0, 1, 5).astype(np.float32)}, {}, ["b", "bs", "bz", "bias"], 1


@case
def dynamic_quantize_matmul(rng):
    return "DynamicQuantizeMatMul", {"a": rng.normal(0, 1, (2, 8)).astype(np.float32), "b": u8(rng, 8, 5), "bs": f32(0.03), "bz": np.array(117, np.uint8),
                                     "bias": rng.normal(0, 1, 5).astype(np.float32)}, {}, ["b", "bs", "bz", "bias"], 1


@case
def qlinear_add(rng):
    return "QLinearAdd", {"a": u8(rng, 2, 7), "as": f32(0.05), "az": np.array(100, np.uint8), "b": u8(rng, 7), "bs": f32(0.03), "bz": np.array(12, np.uint8), "cs": f32(0.07),
                          "cz": np.array(90, np.uint8)}, {}, ["as", "az", "bs", "bz", "cs", "cz"], 1


@case
def qlinear_mul(rng):
    return "QLinearMul", {"a": i8(rng, 2, 7), "as": f32(0.05), "az": np.array(10, np.int8), "b": i8(rng, 2, 1), "bs": f32(0.03), "bz": np.array(-12, np.int8), "cs": f32(0.11),
                          "cz": np.array(5, np.int8)}, {}, ["as", "az", "bs", "bz", "cs", "cz"], 1


@case
def qlinear_sigmoid(rng):
    return "QLinearSigmoid", {"x": u8(rng, 4, 5), "xs": f32(0.04), "xz": np.array(128, np.uint8), "ys": f32(1 / 256), "yz": np.array(0, np.uint8)}, {}, ["xs", "xz", "ys", "yz"], 1


@case
def qlinear_leaky_relu(rng):
    return "QLinearLeakyRelu", {"x": i8(rng, 4, 5), "xs": f32(0.04), "xz": np.array(4, np.int8), "ys": f32(0.05), "yz": np.array(-3, np.int8)}, {"alpha": 0.2}, ["xs", "xz", "ys", "yz"], 1


@case
def qlinear_softmax(rng):
    return "QLinearSoftmax", {"x": u8(rng, 2, 3, 5), "xs": f32(0.1), "xz": np.array(128, np.uint8), "ys": f32(1 / 256), "yz": np.array(0, np.uint8)}, {"axis": -1, "opset": 13}, ["xs", "xz", "ys", "yz"], 1


@case
def qlinear_global_average_pool(rng):
    return "QLinearGlobalAveragePool", {"x": u8(rng, 1, 3, 5, 7), "xs": f32(0.1), "xz": np.array(28, np.uint8), "ys": f32(0.05), "yz": np.array(7, np.uint8)}, {"channels_last": 0}, ["xs", "xz", "ys", "yz"], 1


@case
def qlinear_average_pool(rng):
    return "QLinearAveragePool", {"x": u8(rng, 1, 2, 6, 6), "xs": f32(0.1), "xz": np.array(28, np.uint8), "ys": f32(0.09), "yz": np.array(7, np.uint8)}, {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}, ["xs", "xz", "ys", "yz"], 1


@case
def qlinear_average_pool_last(rng):
    return "QLinearAveragePool", {"x": u8(rng, 1, 6, 6, 2), "xs": f32(0.1), "xz": np.array(28, np.uint8), "ys": f32(0.0931), "yz": np.array(7, np.uint8)}, {"kernel_shape": [2, 2], "channels_last": 1}, ["xs", "xz", "ys", "yz"], 1


@case
def qlinear_concat(rng):
    return "QLinearConcat", {"ys": f32(0.08), "yz": np.array(60, np.uint8), "a": u8(rng, 2, 3), "as": f32(0.05), "az": np.array(100, np.uint8), "b": u8(rng, 2, 4), "bs": f32(0.08), "bz": np.array(60, np.uint8)}, {"axis": 1}, ["ys", "yz", "as", "az", "bs", "bz"], 1


@case
def qgemm(rng):
    return "QGemm", {"a": u8(rng, 4, 6), "as": f32(0.02), "az": np.array(120, np.uint8), "b": i8(rng, 3, 6), "bs": f32([0.01, 0.02, 0.03]), "bz": np.array([0, 1, 2], np.int8),
                     "c": rng.integers(-500, 500, 3).astype(np.int32), "ys": f32(0.9), "yz": np.array(110, np.uint8)}, {"transB": 1, "alpha": 1.5}, ["as", "az", "b", "bs", "bz", "c", "ys", "yz"], 1


@case
def qgemm_float(rng):
    return "QGemm", {"a": u8(rng, 4, 6), "as": f32(0.02), "az": np.array(120, np.uint8), "b": u8(rng, 6, 3), "bs": f32(0.01), "bz": np.array(7, np.uint8)}, {}, ["as", "az", "b", "bs", "bz"], 1


@case
def qattention(rng):
    return "QAttention", {"x": u8(rng, 2, 3, 8), "w": u8(rng, 8, 24), "bias": rng.normal(0, 1, 24).astype(np.float32), "xs": f32(0.02), "ws": f32(0.01), "mask": None, "xz": np.array(120, np.uint8),
                          "wz": np.array(127, np.uint8)}, {"num_heads": 2}, ["w", "bias", "xs", "ws", "xz", "wz"], 1


def nbits(rng, bits, n, k, block, zeros=None, groups=False, bias=False):
    blocks, a = -(-k // block), {}
    a["a"] = rng.normal(0, 1, (2, 3, k)).astype(np.float32)
    a["b"] = u8(rng, n, blocks, block * bits // 8)
    a["s"] = rng.uniform(0.01, 0.1, (n, blocks)).astype(np.float32)
    a["z"] = None if zeros is None else u8(rng, n, -(-blocks * bits // 8)) if zeros == "packed" else rng.uniform(0, 2**bits - 1, (n, blocks)).astype(np.float32)
    a["g"] = rng.permutation(np.arange(k) // block).astype(np.int32) if groups else None
    a["bias"] = rng.normal(0, 1, n).astype(np.float32) if bias else None
    return "MatMulNBits", a, {"K": k, "N": n, "bits": bits, "block_size": block}, ["b", "s", "z", "g", "bias"], 1


@case
def matmul_4bits(rng):
    return nbits(rng, 4, 6, 48, 16)


@case
def matmul_4bits_zeros_bias(rng):
    return nbits(rng, 4, 5, 80, 16, "packed", False, True)


@case
def matmul_4bits_float_zeros(rng):
    return nbits(rng, 4, 5, 64, 32, "float")


@case
def matmul_4bits_groups(rng):
    return nbits(rng, 4, 5, 64, 16, None, True)


@case
def matmul_8bits(rng):
    return nbits(rng, 8, 4, 40, 32, "packed")


@case
def matmul_2bits(rng):
    return nbits(rng, 2, 4, 64, 16, "packed")


def bnb4(rng, kind):
    n, k, block = 6, 20, 16
    return "MatMulBnb4", {"a": rng.normal(0, 1, (3, k)).astype(np.float32), "b": u8(rng, n * k // 2), "absmax": rng.uniform(0.5, 2, -(-n * k // block)).astype(np.float32)}, {
        "K": k, "N": n, "block_size": block, "quant_type": kind}, ["b", "absmax"], 1


@case
def matmul_fp4(rng):
    return bnb4(rng, 0)


@case
def matmul_nf4(rng):
    return bnb4(rng, 1)


@case
def gather_block_int4(rng):
    return "GatherBlockQuantized", {"x": rng.integers(-8, 8, (5, 32)).astype(ml_dtypes.int4), "i": np.array([[1, 4], [0, 1]], np.int64), "s": rng.uniform(0.1, 1, (5, 2)).astype(np.float32),
                                    "z": rng.integers(-8, 8, (5, 2)).astype(ml_dtypes.int4)}, {"gather_axis": 0, "quantize_axis": 1, "block_size": 16}, ["x", "s", "z"], 1


@case
def gather_block_uint8(rng):
    return "GatherBlockQuantized", {"x": u8(rng, 5, 16), "i": np.array([3, 0, 4], np.int64), "s": rng.uniform(0.1, 1, (5, 2)).astype(np.float32)}, {"gather_axis": 0, "quantize_axis": 1, "block_size": 16, "bits": 4}, ["x", "s"], 1


def experts(rng, act, fused, **attrs):
    e, h, i = 4, 8, 6
    w = lambda *shape: rng.normal(0, 0.3, shape).astype(np.float32)
    return "MoE", {"x": w(3, h) * 3, "router": w(3, e) * 4, "w1": w(e, i * fused, h), "b1": w(e, i * fused), "w2": w(e, h, i), "b2": w(e, h)}, {
        "k": 2, "activation_type": act, **attrs}, ["w1", "b1", "w2", "b2"], 1


@case
def moe_silu(rng):
    return experts(rng, "silu", 1, normalize_routing_weights=1)


@case
def moe_gelu(rng):
    return experts(rng, "gelu", 1)


@case
def moe_swiglu(rng):
    return experts(rng, "swiglu", 2, swiglu_fusion=1, activation_alpha=1.7, activation_beta=1.0, swiglu_limit=0.9)


def quantized_experts(rng, bits):
    e, h, i, per = 4, 32, 32, 8 // bits
    scale = lambda *shape: rng.uniform(0.02, 0.06, shape).astype(np.float32)
    return "QMoE", {"x": rng.normal(0, 1, (3, h)).astype(np.float32), "router": rng.normal(0, 1, (3, e)).astype(np.float32), "w1": u8(rng, e, i, h // per), "s1": scale(e, i), "b1": scale(e, i),
                    "w2": u8(rng, e, h, i // per), "s2": scale(e, h), "b2": scale(e, h)}, {"k": 2, "activation_type": "silu", "expert_weight_bits": bits, "normalize_routing_weights": 1}, ["w1", "s1", "b1", "w2", "s2", "b2"], 1


@case
def qmoe_4bits(rng):
    return quantized_experts(rng, 4)


@case
def qmoe_8bits(rng):
    return quantized_experts(rng, 8)


def tensor(name, x):
    return numpy_helper.from_array(x, name)


def build(name):
    rng = np.random.default_rng(sum(name.encode()))
    op, inputs, attrs, constants, outputs = CASES[name](rng)
    given = {k: v for k, v in inputs.items() if v is not None}
    names = [k if v is not None else "" for k, v in inputs.items()]
    while names and not names[-1]:
        names.pop()
    outs = [f"y{i}" for i in range(outputs)]
    node = helper.make_node(op, names, outs, domain="com.microsoft", **attrs)
    live = [k for k in given if k not in constants]
    graph = helper.make_graph([node], name, [helper.make_tensor_value_info(k, tensor(k, given[k]).data_type, given[k].shape) for k in live],
                              [onnx.ValueInfoProto(name=o) for o in outs], [tensor(k, given[k]) for k in constants if k in given])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)], ir_version=10)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    results = session.run(None, {k: given[k] for k in live})
    for o, r in zip(graph.output, results):
        o.CopyFrom(helper.make_tensor_value_info(o.name, tensor(o.name, r).data_type, r.shape))
    del model.graph.output[:]
    model.graph.output.extend(graph.output)
    folder = os.path.join(ROOT, name)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(os.path.join(folder, "test_data_set_0"))
    onnx.save(model, os.path.join(folder, "model.onnx"))
    for kind, listed in (("input", [(k, given[k]) for k in live]), ("output", list(zip(outs, results)))):
        for i, (k, x) in enumerate(listed):
            with open(os.path.join(folder, "test_data_set_0", f"{kind}_{i}.pb"), "wb") as f:
                f.write(tensor(k, x).SerializeToString())


for name in sys.argv[1:] or CASES:
    try:
        build(name)
    except Exception as e:  # one that this onnxruntime cannot run must not hide the others
        print(f"{name}: {str(e).splitlines()[0][:200]}")
