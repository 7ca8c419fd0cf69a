#!/usr/bin/env python3
"""Makes small seeded cases of com.microsoft's sequence operators, in the layout of ONNX's backend tests, with
onnxruntime's results. Needs onnx, onnxruntime and numpy.

usage: tools/make_contrib_cases_seq.py OUT   (tests/data/contrib)
"""
import os, sys
import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

MS = "com.microsoft"
rng = np.random.default_rng(5)
f = lambda *d, s=1.0: (rng.standard_normal(d) * s).astype(np.float32)


def make_model(node, inputs, outputs):
    ins = [helper.make_tensor_value_info(k, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape) for k, v in inputs.items()]
    graph = helper.make_graph([node], "g", ins, [helper.make_tensor_value_info(k, t, None) for k, t in outputs])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid(MS, 1)], ir_version=8)


def run(node, inputs, outputs):
    return ort.InferenceSession(make_model(node, inputs, outputs).SerializeToString(), providers=["CPUExecutionProvider"]).run(None, inputs)


def write(out, name, node, inputs, outputs, got=None):
    """inputs: {name: array}; outputs: [(name, dtype)]; got: the results where onnxruntime's CPU lacks the form."""
    model = make_model(node, inputs, outputs)
    if got is None:
        got = run(node, inputs, outputs)
    for o, v in zip(model.graph.output, got):
        o.CopyFrom(helper.make_tensor_value_info(o.name, o.type.tensor_type.elem_type, v.shape))
    folder = os.path.join(out, name, "test_data_set_0")
    os.makedirs(folder, exist_ok=True)
    onnx.save(model, os.path.join(out, name, "model.onnx"))
    for kind, values in (("input", inputs.values()), ("output", got)):
        for i, v in enumerate(values):
            with open(os.path.join(folder, "%s_%d.pb" % (kind, i)), "wb") as file:
                names = list(inputs) if kind == "input" else [o[0] for o in outputs]
                file.write(numpy_helper.from_array(np.asarray(v), names[i]).SerializeToString())


def node(op, inputs, outputs, **attrs):
    return helper.make_node(op, inputs, outputs, domain=MS, **attrs)


def plain(name, op, arrays, attrs=None, outs=1):
    """All inputs given, f32 outputs."""
    inputs = {"x%d" % i: a for i, a in enumerate(arrays) if a is not None}
    names = ["x%d" % i if a is not None else "" for i, a in enumerate(arrays)]
    outputs = ["y%d" % i for i in range(outs)]
    return name, node(op, names, outputs, **(attrs or {})), inputs, [(o, TensorProto.FLOAT) for o in outputs]


def elementwise():
    yield plain("bias_gelu", "BiasGelu", [f(2, 5, 8), f(8)])
    yield plain("fast_gelu", "FastGelu", [f(2, 5, 8)])
    yield plain("fast_gelu_bias", "FastGelu", [f(2, 5, 8), f(8)])
    yield plain("gelu", "Gelu", [f(3, 7)])
    yield plain("quick_gelu", "QuickGelu", [f(3, 7)], dict(alpha=1.5))
    for name, axis, x, bias in (("inner", 3, f(2, 3, 4, 5), f(2, 1, 1, 5)), ("outer", 2, f(2, 3, 4, 5), f(1, 3, 4, 5))):
        e = np.exp((x + bias).reshape(int(np.prod(x.shape[:axis])), -1).astype(np.float64))
        y = (e / e.sum(axis=1, keepdims=True)).reshape(x.shape).astype(np.float32)
        yield *plain("bias_softmax_" + name, "BiasSoftmax", [x, bias], dict(axis=axis, is_inner_broadcast=int(name == "inner"))), [y]
    a, b = f(2, 3, 2), f(2, 3, 2)
    z = (a[..., 0] + 1j * a[..., 1]) * (b[..., 0] + 1j * b[..., 1])
    yield *plain("complex_mul", "ComplexMul", [a, b]), [np.stack([z.real, z.imag], -1).astype(np.float32)]
    spectrum = np.fft.rfft(a[..., 0].T @ np.ones((2, 8)) + f(3, 8))
    parts = np.stack([spectrum.real, spectrum.imag], -1).astype(np.float32)
    fft = dict(normalized=0, onesided=1, signal_ndim=1)
    yield *plain("irfft", "Irfft", [parts], fft), [np.fft.irfft(spectrum).astype(np.float32)]
    signal = f(3, 9)
    spectrum = np.fft.rfft(signal.astype(np.float64))
    yield *plain("rfft", "Rfft", [signal], fft), [np.stack([spectrum.real, spectrum.imag], -1).astype(np.float32)]
    yield plain("fused_matmul", "FusedMatMul", [f(2, 4, 3), f(2, 5, 4)], dict(transA=1, transB=1, alpha=0.5))
    yield plain("fused_matmul_batch", "FusedMatMul", [f(3, 2, 4), f(5, 2, 4)], dict(transBatchA=1, transBatchB=1, transB=1))
    yield plain("fused_gemm", "FusedGemm", [f(3, 4), f(5, 4), f(5)], dict(transB=1, activation="LeakyRelu", activation_alpha=0.2))


def attention(heads=2, size=4):
    h = heads * size
    w, b, x = f(6, 3 * h, s=0.4), f(3 * h, s=0.4), f(2, 5, 6)
    past = f(2, 2, heads, 3, size)
    m = lambda *v: np.array(v, np.int32)
    raw = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], np.int32)
    a = dict(num_heads=heads)
    yield plain("attention", "Attention", [x, w, b], a)
    yield plain("attention_causal", "Attention", [x, w, b], dict(num_heads=heads, unidirectional=1))
    yield plain("attention_ends", "Attention", [x, w, b, m(3, 5)], a)
    yield plain("attention_ends_starts", "Attention", [x, w, b, m(3, 5, 0, 2)], a)
    yield plain("attention_mask_2d", "Attention", [x, w, b, raw], a)
    yield plain("attention_mask_3d", "Attention", [x, w, b, np.tril(np.ones((2, 5, 5), np.int32))], a)
    yield plain("attention_past", "Attention", [x, w, b, None, past], dict(num_heads=heads, unidirectional=1), 2)
    yield plain("attention_bias", "Attention", [x, w, b, None, None, f(1, heads, 5, 5)], a)
    yield plain("attention_sizes", "Attention", [x, f(6, 2 * h + 4), f(2 * h + 4)], dict(num_heads=heads, qkv_hidden_sizes=[h, h, 4], scale=0.3))


def multi_head(heads=2, size=4):
    h = heads * size
    q, k, v, b = f(2, 3, h), f(2, 5, h), f(2, 5, h), f(3 * h)
    a = dict(num_heads=heads)
    yield plain("mha", "MultiHeadAttention", [q, k, v], a)
    yield plain("mha_bias", "MultiHeadAttention", [q, k, v, b], a)
    k3 = q * 0.5 + 0.1
    apart = lambda *x: run(*plain("", "MultiHeadAttention", list(x), a)[1:])
    pack = lambda *x: np.stack([y.reshape(2, -1, heads, size) for y in x], 3)
    yield *plain("mha_packed_qkv", "MultiHeadAttention", [pack(q, k3, k3)], a), apart(q, k3, k3)
    yield *plain("mha_packed_kv", "MultiHeadAttention", [q, pack(k, v)], a), apart(q, k, v)
    yield plain("mha_mask_1d", "MultiHeadAttention", [q, k, v, None, np.array([2, 5], np.int32)], a)
    yield plain("mha_mask_2d", "MultiHeadAttention", [q, k, v, b, np.array([[1, 1, 0, 0, 0], [1, 1, 1, 1, 1]], np.int32)], a)
    yield plain("mha_attention_bias", "MultiHeadAttention", [q, k, v, None, None, f(1, heads, 3, 5)], a)
    yield plain("mha_causal", "MultiHeadAttention", [f(2, 5, h), k, v], dict(num_heads=heads, unidirectional=1))
    yield plain("mha_cross_cache", "MultiHeadAttention", [q, f(2, heads, 5, size), f(2, heads, 5, size)], a)
    yield plain("mha_past", "MultiHeadAttention", [f(2, 1, h), f(2, 1, h), f(2, 1, h), None, None, None, f(2, heads, 4, size), f(2, heads, 4, size)], a, 3)


def group_query(heads=2, kv=1, size=16):
    def case(name, s, past, lengths, total, packed=False, batch=None, **attrs):
        batch = batch or len(lengths)
        q = f(batch, s, (heads + 2 * kv) * size if packed else heads * size)
        new = [None, None] if packed else [f(batch, s, kv * size), f(batch, s, kv * size)]
        old = [f(batch, kv, past, size), f(batch, kv, past, size)] if past else [None, None]
        used = attrs.pop("used", past)
        for a in old if past else []:
            a[:, :, used:] = 0  # a buffer: nothing stands behind the tokens so far
        more = attrs.pop("more", [])
        rotary = [f(16, size // 2), f(16, size // 2)] if attrs.get("do_rotary") else [None, None] if more else []
        arrays = [q] + new + old + [np.array(lengths, np.int32), np.array([total], np.int32)] + rotary + more
        return plain(name, "GroupQueryAttention", arrays, dict(num_heads=heads, kv_num_heads=kv, **attrs), 3)

    yield case("gqa_prompt", 4, 0, [3, 3], 4)
    yield case("gqa_packed_rotary", 4, 0, [3], 4, packed=True, do_rotary=1)
    yield case("gqa_decode", 1, 5, [5], 6, do_rotary=1)
    yield case("gqa_decode_interleaved", 1, 5, [5], 6, do_rotary=1, rotary_interleaved=1)
    yield case("gqa_decode_batch", 1, 5, [3, 5], 6, do_rotary=1)
    yield case("gqa_buffer", 1, 8, [5], 6, do_rotary=1, used=5)
    yield case("gqa_buffer_prompt", 4, 8, [3], 4, do_rotary=1, used=0)
    yield case("gqa_buffer_chunk", 2, 8, [5], 6, used=4, local_window_size=3)
    yield case("gqa_window", 6, 0, [5], 6, local_window_size=2)
    yield case("gqa_softcap", 3, 4, [6], 7, softcap=2.0)
    yield case("gqa_smooth", 3, 0, [2], 3, smooth_softmax=1)


def rotary():
    ids = np.array([[0, 1, 2], [3, 4, 5]], np.int64)
    yield plain("rotary_3d", "RotaryEmbedding", [f(2, 3, 16), ids, f(8, 4), f(8, 4)])
    yield plain("rotary_4d_interleaved", "RotaryEmbedding", [f(2, 2, 3, 8), ids, f(8, 4), f(8, 4)], dict(interleaved=1))
    yield plain("rotary_offset", "RotaryEmbedding", [f(2, 3, 16), np.array([2], np.int64), f(8, 4), f(8, 4)])
    yield plain("rotary_partial", "RotaryEmbedding", [f(2, 3, 16), ids, f(8, 2), f(8, 2)], dict(num_heads=2, rotary_embedding_dim=4))


def embed():
    ids, types, mask = np.array([[1, 3, 2], [4, 0, 5]], np.int32), np.array([[0, 1, 1], [0, 0, 1]], np.int32), np.array([[1, 1, 0], [1, 1, 1]], np.int32)
    tables = [f(6, 8), f(4, 8), f(2, 8), f(8), f(8)]
    name, n, inputs, outs = plain("embed_layer_norm", "EmbedLayerNormalization", [ids, types] + tables + [mask], dict(epsilon=1e-5), 2)
    yield name, n, inputs, [outs[0], (outs[1][0], TensorProto.INT32)]
    name, n, inputs, outs = plain("embed_layer_norm_untyped", "EmbedLayerNormalization", [ids, None, tables[0], tables[1], None, tables[3], tables[4]], dict(epsilon=1e-5), 2)
    yield name, n, inputs, [outs[0], (outs[1][0], TensorProto.INT32)]


def main():
    for group in (elementwise, attention, multi_head, group_query, rotary, embed):
        for name, *rest in group():
            try:
                write(sys.argv[1], name, *rest)
            except Exception as e:  # this onnxruntime's CPU lacks the form
                print("left out:", name, str(e).splitlines()[0][:200], file=sys.stderr)


main()
