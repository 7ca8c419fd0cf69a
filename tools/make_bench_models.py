#!/usr/bin/env python3
"""Writes the large models that bench/ measures, with seeded random weights. Not committed: made when needed.

usage: tools/make_bench_models.py resnet50|transformer FILE

resnet50: the shape of ResNet-50 with batch norms folded into its convolutions, as exporters write it
(input x [batch, 3, 224, 224], output y [batch, 1000], 98 MiB). transformer: the shape of a BERT with 18
layers of 1024 (input_ids, attention_mask [batch, sequence], output last_hidden_state, 1.0 GB in one
file), for the time of compiling. Needs numpy only: the file is written by hand.
"""
import os
import struct
import sys

import numpy as np

SEED = 20261124
FLOAT, INT64 = 1, 7


# ---- protobuf ----
def varint(n):
    out = bytearray()
    n &= (1 << 64) - 1
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def number(field, n):
    return varint(field << 3) + varint(n)


def field(f, data):
    data = data.encode() if isinstance(data, str) else data
    return varint(f << 3 | 2) + varint(len(data)) + data


def attribute(name, v):
    head = field(1, name)
    if isinstance(v, float):
        return head + varint(2 << 3 | 5) + struct.pack("<f", v) + number(20, 1)
    if isinstance(v, int):
        return head + number(3, v) + number(20, 2)
    return head + b"".join(number(8, x) for x in v) + number(20, 7)


def value_info(name, dtype, dims):
    shape = b"".join(field(1, field(2, d) if isinstance(d, str) else number(1, d)) for d in dims)
    return field(1, name) + field(2, field(1, number(1, dtype) + field(2, shape)))


class Model:
    """A graph being written: nodes in memory, weights made when the file is, one at a time."""

    def __init__(self):
        self.nodes, self.weights, self.names = [], [], 0
        self.rng = np.random.default_rng(SEED)

    def node(self, op, inputs, **attributes):
        self.names += 1
        out = f"v{self.names}"
        self.nodes.append(b"".join(field(1, i) for i in inputs) + field(2, out) + field(4, op) +
                          b"".join(field(5, attribute(k, v)) for k, v in attributes.items()))
        return out

    def weight(self, dims, scale, mean=0.0):
        self.weights.append((f"w{len(self.weights)}", FLOAT, tuple(dims), scale, mean))
        return self.weights[-1][0]

    def ints(self, values):
        self.weights.append((f"w{len(self.weights)}", INT64, (len(values),), values, None))
        return self.weights[-1][0]

    def scalar(self, value):
        self.weights.append((f"w{len(self.weights)}", FLOAT, (), 0.0, value))
        return self.weights[-1][0]

    def weight_bytes(self, w):
        name, dtype, dims, scale, mean = w
        head = b"".join(number(1, d) for d in dims) + number(2, dtype) + field(8, name)
        if dtype == INT64:
            data = np.array(scale, np.int64)
        else:
            data = (self.rng.random(dims, dtype=np.float32) - np.float32(0.5)) * np.float32(scale * 12 ** 0.5) + np.float32(mean)
        raw = np.ascontiguousarray(data).view(np.uint8).reshape(-1).data if data.shape else data.tobytes()
        return head + varint(9 << 3 | 2) + varint(len(raw)), raw

    def save(self, path, inputs, outputs, opset):
        """inputs and outputs: (name, type, dims); the last results are renamed to the outputs by Identity."""
        tail = b"".join(field(11, value_info(*i)) for i in inputs) + b"".join(field(12, value_info(*o)) for o in outputs)
        nodes = b"".join(field(1, n) for n in self.nodes) + field(2, "main")
        sizes = []
        for name, dtype, dims, scale, mean in self.weights:
            count = int(np.prod(dims, dtype=np.int64)) if dims else 1
            raw = count * (8 if dtype == INT64 else 4)
            head = len(b"".join(number(1, d) for d in dims) + number(2, dtype) + field(8, name))
            sizes.append(head + 1 + len(varint(raw)) + raw)
        total = len(nodes) + len(tail) + sum(1 + len(varint(s)) + s for s in sizes)
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        with open(path + ".part", "wb") as f:
            f.write(number(1, 8) + field(2, "make_bench_models") + field(8, number(2, opset)))
            f.write(varint(7 << 3 | 2) + varint(total) + nodes)
            for w, size in zip(self.weights, sizes):
                head, raw = self.weight_bytes(w)
                f.write(varint(5 << 3 | 2) + varint(size) + head)
                f.write(raw)
            f.write(tail)
        os.replace(path + ".part", path)


# ---- models ----
def resnet50(path):
    m = Model()

    def conv(x, cin, cout, kernel, stride=1, gain=1.0):
        w = m.weight((cout, cin, kernel, kernel), gain * (2.0 / (cin * kernel * kernel)) ** 0.5)
        pad = kernel // 2
        return m.node("Conv", [x, w, m.weight((cout,), 0.05)], kernel_shape=[kernel, kernel], strides=[stride, stride],
                      pads=[pad] * 4, dilations=[1, 1], group=1)

    x = m.node("Relu", [conv("x", 3, 64, 7, 2)])
    x = m.node("MaxPool", [x], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    cin = 64
    for stage, (width, blocks) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3))):
        for b in range(blocks):
            stride = 2 if b == 0 and stage else 1
            y = m.node("Relu", [conv(x, cin, width, 1)])
            y = m.node("Relu", [conv(y, width, width, 3, stride)])
            y = conv(y, width, 4 * width, 1, gain=0.3)
            skip = conv(x, cin, 4 * width, 1, stride, 0.7) if b == 0 else x
            x = m.node("Relu", [m.node("Add", [y, skip])])
            cin = 4 * width
    x = m.node("Flatten", [m.node("GlobalAveragePool", [x])], axis=1)
    x = m.node("Gemm", [x, m.weight((1000, 2048), 0.02), m.weight((1000,), 0.02)], alpha=1.0, beta=1.0, transB=1)
    m.nodes.append(field(1, x) + field(2, "y") + field(4, "Identity"))
    m.save(path, [("x", FLOAT, ("batch", 3, 224, 224))], [("y", FLOAT, ("batch", 1000))], 13)


def transformer(path, layers=18, hidden=1024, heads=16, vocab=30522):
    m = Model()

    def linear(x, rows, cols):
        return m.node("Add", [m.node("MatMul", [x, m.weight((rows, cols), rows ** -0.5)]), m.weight((cols,), 0.02)])

    def norm(x):
        return m.node("LayerNormalization", [x, m.weight((hidden,), 0.05, 1.0), m.weight((hidden,), 0.05)], axis=-1, epsilon=1e-12)

    mask = m.node("Unsqueeze", ["attention_mask", m.ints([1, 2])])
    mask = m.node("Sub", [m.scalar(1.0), m.node("Cast", [mask], to=FLOAT)])
    mask = m.node("Mul", [mask, m.scalar(-3.4028234663852886e38)])
    length = m.node("Slice", [m.node("Shape", ["input_ids"]), m.ints([1]), m.ints([2]), m.ints([0])])
    positions = m.node("Slice", [m.weight((512, hidden), 0.05), m.ints([0]), length, m.ints([0])])
    x = norm(m.node("Add", [m.node("Gather", [m.weight((vocab, hidden), 0.05), "input_ids"], axis=0), positions]))
    split, merge = m.ints([0, 0, heads, hidden // heads]), m.ints([0, 0, hidden])
    root, half, one, scale = m.scalar(2 ** 0.5), m.scalar(0.5), m.scalar(1.0), m.scalar((hidden // heads) ** 0.5)
    for _ in range(layers):
        q, k, v = (m.node("Transpose", [m.node("Reshape", [linear(x, hidden, hidden), split])], perm=p)
                   for p in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]))
        scores = m.node("Add", [m.node("Div", [m.node("MatMul", [q, k]), scale]), mask])
        a = m.node("MatMul", [m.node("Softmax", [scores], axis=-1), v])
        a = m.node("Reshape", [m.node("Transpose", [a], perm=[0, 2, 1, 3]), merge])
        x = norm(m.node("Add", [linear(a, hidden, hidden), x]))
        h = linear(x, hidden, 4 * hidden)
        erf = m.node("Add", [m.node("Erf", [m.node("Div", [h, root])]), one])
        h = m.node("Mul", [m.node("Mul", [h, erf]), half])
        x = norm(m.node("Add", [linear(h, 4 * hidden, hidden), x]))
    m.nodes.append(field(1, x) + field(2, "last_hidden_state") + field(4, "Identity"))
    ids = ("batch", "sequence")
    m.save(path, [("input_ids", INT64, ids), ("attention_mask", INT64, ids)],
           [("last_hidden_state", FLOAT, ("batch", "sequence", hidden))], 17)


def main():
    makers = {"resnet50": resnet50, "transformer": transformer}
    if len(sys.argv) != 3 or sys.argv[1] not in makers:
        sys.exit(__doc__)
    makers[sys.argv[1]](sys.argv[2])


if __name__ == "__main__":
    main()
