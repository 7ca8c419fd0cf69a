#!/usr/bin/env python3
"""Small seeded chains of images operators, with onnxruntime's results, in the layout of ONNX's backend tests:
tests/data/layout/<case>/{model.onnx,test_data_set_0/*.pb}. A target that keeps images with their channels last
(WebNN) must give the same whatever follows a window: every operator with axes, every shape that broadcasts.

usage: python tools/make_layout_cases.py [case...]   (needs onnx, onnxruntime, numpy)

To add a case: a function marked @case that builds on `m`: m.x is the input, m.op(...) a node and its result,
m.const(array) an initializer, m.conv(x, channels, ...) a convolution; m.out(x) makes x an output.
"""
import os, shutil, sys
import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

ROOT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tests", "data", "layout")
CASES = {}


def case(f):
    CASES[f.__name__] = f
    return f


class Model:
    def __init__(self, dims=(2, 3, 9, 11)):
        self.rng, self.dims, self.nodes, self.consts, self.outputs, self.count = np.random.default_rng(7), dims, [], [], [], 0
        self.x = "x"

    def name(self, kind):
        self.count += 1
        return "%s_%d" % (kind, self.count)

    def const(self, array):
        name = self.name("c")
        self.consts.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def noise(self, *dims):
        return self.const(self.rng.normal(0, 0.5, dims).astype(np.float32))

    def ints(self, *v):
        return self.const(np.array(v, np.int64))

    def op(self, kind, *inputs, outputs=1, **attrs):
        names = [self.name(kind.lower()) for _ in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, **attrs))
        return names[0] if outputs == 1 else names

    def conv(self, x, out, into, kernel=3, group=1, bias=True, **attrs):
        w = self.noise(out, into // group, kernel, kernel)
        return self.op("Conv", x, w, *([self.noise(out)] if bias else []), group=group, **attrs)

    def out(self, *names):
        self.outputs += names

    def save(self, folder):
        graph = helper.make_graph(self.nodes, "layout", [helper.make_tensor_value_info("x", TensorProto.FLOAT, self.dims)],
                                  [helper.make_tensor_value_info(n, TensorProto.UNDEFINED, None) for n in self.outputs], self.consts)
        for o in graph.output:
            o.ClearField("type")
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
        model = onnx.shape_inference.infer_shapes(model, strict_mode=True)
        onnx.checker.check_model(model)
        x = self.rng.normal(0, 1, self.dims).astype(np.float32)
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        got = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"]).run(self.outputs, {"x": x})
        data = os.path.join(folder, "test_data_set_0")
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(data)
        onnx.save(model, os.path.join(folder, "model.onnx"))
        for name, array in [("input_0", x)] + [("output_%d" % i, y) for i, y in enumerate(got)]:
            with open(os.path.join(data, name + ".pb"), "wb") as f:
                f.write(numpy_helper.from_array(np.asarray(array), self.outputs[int(name[7:])] if name[0] == "o" else "x").SerializeToString())


@case
def residual_block(m):
    """Convolutions of every kind, joined by additions and a number a channel."""
    a = m.op("Relu", m.conv(m.x, 8, 3, pads=[1, 1, 1, 1]))
    b = m.op("Clip", m.conv(a, 8, 8, group=8, pads=[1, 1, 1, 1]), m.const(np.float32(0)), m.const(np.float32(6)))
    c = m.conv(b, 8, 8, kernel=1, bias=False)
    d = m.op("Relu", m.op("Add", a, c))
    e = m.op("BatchNormalization", d, m.noise(8), m.noise(8), m.noise(8), m.const(np.full(8, 1.5, np.float32)))
    f = m.conv(e, 6, 8, group=2, strides=[2, 2], pads=[1, 0, 2, 1], dilations=[1, 1])
    m.out(m.op("Sigmoid", f), m.op("Mul", e, m.noise(8, 1, 1)))


@case
def broadcasts(m):
    """Operands of every rank against an image held with its channels last."""
    a = m.conv(m.x, 4, 3, pads=[1, 1, 1, 1])
    for dims in [(), (1,), (11,), (9, 11), (9, 1), (4, 1, 1), (4, 9, 11), (1, 4, 1, 1), (1, 1, 9, 11), (2, 1, 1, 1), (2, 4, 9, 11), (1, 4, 9, 1)]:
        a = m.op("Add", a, m.noise(*dims))
    b = m.op("Where", m.op("Greater", a, m.noise(4, 1, 1)), a, m.op("Mul", a, m.noise(9, 1)))
    c = m.op("PRelu", b, m.noise(4, 1, 1))
    wide = m.op("Sub", c, m.op("GlobalAveragePool", c))
    m.out(m.op("Tanh", wide), m.op("Add", m.op("ReduceMean", c, m.ints(1), keepdims=1), m.noise(3, 2, 4, 9, 11)))


@case
def axes(m):
    """Operators with axes, each along each of them."""
    a = m.conv(m.x, 6, 3, pads=[1, 1, 1, 1])
    for axis in (0, 1, 2, 3):
        m.out(m.op("Softmax", a, axis=axis))
        m.out(m.op("Concat", a, m.op("Neg", a), axis=axis))
    for mask in ([1], [2], [3], [1, 2], [2, 3], [1, 3], [0, 2, 3], [-1, -2, -3]):
        m.out(m.op("ReduceSum", a, m.ints(*mask), keepdims=1), m.op("ReduceMax", a, m.ints(*mask), keepdims=0))
    first, second = m.op("Split", a, m.ints(2, 4), outputs=2, axis=1)
    m.out(m.op("Relu", first), m.op("Slice", second, m.ints(1, -1, 2), m.ints(4, -12, 8), m.ints(1, 3, 2), m.ints(2, -2, 3)))
    m.out(m.op("Pad", a, m.ints(0, 1, 2, 0, 0, 0, 1, 3), m.const(np.float32(0.5))), m.op("Pad", a, m.ints(2, 1, 0, 1), "", m.ints(3, 2), mode="reflect"))


@case
def orders(m):
    """What wants the graph's own order: transposes, reshapes, products; two outputs of one value."""
    a = m.conv(m.x, 6, 3, pads=[1, 1, 1, 1])
    m.out(a, m.op("Transpose", a, perm=[0, 2, 3, 1]), m.op("Transpose", a, perm=[3, 1, 0, 2]))
    m.out(m.op("Reshape", a, m.ints(2, 6, 99)), m.op("MatMul", a, m.noise(11, 5)))
    pooled = m.op("GlobalMaxPool", a)
    m.out(m.op("Flatten", pooled), m.op("Gemm", m.op("Reshape", pooled, m.ints(2, 6)), m.noise(4, 6), m.noise(4), transB=1))
    tokens = m.op("Transpose", m.op("Reshape", m.conv(a, 8, 6, kernel=4, strides=[4, 4]), m.ints(2, 8, -1)), perm=[0, 2, 1])
    m.out(m.op("LayerNormalization", tokens, m.noise(8), m.noise(8)))
    m.out(m.op("Conv", m.op("Squeeze", m.op("ReduceMean", a, m.ints(2), keepdims=1), m.ints(2)), m.noise(3, 6, 3)))


@case
def pools(m):
    a = m.conv(m.x, 5, 3, pads=[1, 1, 1, 1])
    m.out(m.op("MaxPool", a, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]), m.op("MaxPool", a, kernel_shape=[2, 3], dilations=[2, 1]))
    m.out(m.op("AveragePool", a, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]), m.op("AveragePool", a, kernel_shape=[3, 2], pads=[0, 1, 2, 0], count_include_pad=1))
    m.out(m.op("AveragePool", a, kernel_shape=[4, 4], strides=[3, 3], ceil_mode=1), m.op("LpPool", a, kernel_shape=[2, 2], p=2), m.op("GlobalLpPool", a, p=2))
    m.out(*m.op("MaxPool", a, outputs=2, kernel_shape=[2, 2], strides=[2, 2]))
    m.out(m.op("MaxPool", m.op("Relu", a), kernel_shape=[2, 2], strides=[2, 2], auto_pad="SAME_UPPER"))


@case
def transposed(m):
    """Transposed convolutions: exact, cut by padding, grown by output padding, in groups, dilated, no window over a place."""
    a = m.conv(m.x, 4, 3, pads=[1, 1, 1, 1])
    b = m.op("ConvTranspose", a, m.noise(4, 6, 2, 2), m.noise(6), strides=[2, 2])
    m.out(m.op("Relu", b), m.op("ConvTranspose", a, m.noise(4, 5, 3, 3), m.noise(5), strides=[2, 2], pads=[1, 1, 1, 1]))
    m.out(m.op("ConvTranspose", a, m.noise(4, 5, 3, 3), m.noise(5), strides=[2, 3], pads=[1, 0, 0, 2], output_padding=[1, 1]))
    m.out(m.op("ConvTranspose", a, m.noise(4, 3, 3, 2), strides=[1, 1], pads=[2, 1, 0, 1]), m.op("ConvTranspose", a, m.noise(4, 1, 1, 1), m.noise(1), strides=[2, 3]))
    m.out(m.op("ConvTranspose", a, m.noise(4, 2, 2, 3), m.noise(4), group=2, strides=[2, 1]), m.op("ConvTranspose", a, m.noise(4, 2, 2, 2), dilations=[2, 1]))
    m.out(m.op("ConvTranspose", a, m.noise(4, 2, 3, 3), m.noise(2), strides=[2, 2], output_shape=[19, 20]))


@case
def resized(m):
    """Nearest and linear, up and down, one axis and both, and forms that no method has."""
    a = m.conv(m.x, 4, 3, pads=[1, 1, 1, 1])
    up = m.const(np.array([1, 1, 2, 3], np.float32))
    m.out(m.op("Resize", a, "", up, mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"))
    m.out(m.op("Relu", m.op("Resize", a, "", up, mode="nearest")), m.op("Resize", a, "", up, mode="linear"))
    m.out(m.op("Resize", a, "", "", m.ints(2, 4, 5, 6), mode="linear"), m.op("Resize", a, "", "", m.ints(2, 4, 9, 17), mode="linear"))
    m.out(m.op("Resize", a, "", "", m.ints(2, 4, 13, 17), mode="linear", coordinate_transformation_mode="align_corners"))
    m.out(m.op("Resize", a, "", "", m.ints(2, 4, 13, 22), mode="nearest"), m.op("Resize", a, "", up, mode="cubic"))
    once = m.op("Resize", a, "", m.const(np.array([1, 1, 2, 1], np.float32)), mode="nearest")
    m.out(m.op("Add", once, m.noise(4, 1, 1)), m.op("Resize", once, "", m.const(np.array([1, 1, 1, 2], np.float32)), mode="nearest"))
    m.out(m.op("DepthToSpace", a, blocksize=2))


@case
def swishes(m):
    """Hard swishes as exporters write them, and near misses."""
    a = m.conv(m.x, 4, 3, pads=[1, 1, 1, 1])
    three, six, low, top = m.const(np.float32(3)), m.const(np.float32(6)), m.const(np.float32(0)), m.const(np.float32(6))
    lifted = m.op("Clip", m.op("Add", a, three), low, top)
    m.out(m.op("Div", m.op("Mul", a, lifted), six))
    b = m.conv(a, 4, 4, pads=[1, 1, 1, 1])
    m.out(m.op("Mul", m.op("Mul", m.op("Clip", m.op("Add", three, b), low, top), b), m.const(np.float32(1 / 6))))
    m.out(m.op("Div", m.op("Mul", a, m.op("Clip", m.op("Add", b, three), low, top)), six))
    m.out(m.op("Div", m.op("Mul", b, m.op("Clip", m.op("Add", b, three), low, m.const(np.float32(5)))), six))
    m.out(m.op("HardSwish", a), m.op("Mul", a, m.op("HardSigmoid", m.op("GlobalAveragePool", b), alpha=0.2, beta=0.5)))


for name in sys.argv[1:] or CASES:
    m = Model()
    CASES[name](m)
    m.save(os.path.join(ROOT, name))
    print(name, len(m.outputs), "outputs")
