#!/usr/bin/env python3
"""Writes the committed denominators of ONNX's backend tests: which cases count for a target, and why the
others do not.

usage: tools/conformance_denominator.py DIR PREFIX [--limits FILE] [--check]

DIR holds cases (folders with a model); the lists are tests/conformance/PREFIX-{cpu,webgpu,webnn}.json,
{case: "in" or the reason for leaving it out}, read by onnx-conformance --list. The rule:
  cpu     every case that needs no training operator and no string, sequence, map, optional or sparse type,
          and no Dropout in training mode that draws its mask from NumPy's generator
  webgpu  of those, the cases whose graph inputs and outputs are all f32, f16, bool or an integer type
          (integers without a device type are narrowed with a range check)
  webnn   the same; with --limits (what MLContext.opSupportLimits() gives, as JSON) also within the float
          types and the ranks that it lists for inputs and outputs
Types are read from the model, its sub-graphs and local functions included; types of inner values come
from ONNX's own inference. Needs onnx. --check compares instead of writing, for a rerun by hand.
"""
import argparse
import json
import os
import sys

import onnx
import onnx.numpy_helper
import onnx.shape_inference

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LISTS = os.path.join(ROOT, "tests", "conformance")
TRAINING = {"ai.onnx.preview.training", "ai.onnx.training"}
# operators on the types that are left out, for models whose inner types inference cannot tell
SEQUENCE_OPS = {"SequenceAt", "SequenceConstruct", "SequenceEmpty", "SequenceErase", "SequenceInsert", "SequenceLength", "SequenceMap",
                "SplitToSequence", "ConcatFromSequence"}
OPTIONAL_OPS = {"Optional", "OptionalGetElement", "OptionalHasElement"}
STRING_OPS = {"StringNormalizer", "StringConcat", "StringSplit", "RegexFullMatch"}
T = onnx.TensorProto
INTEGERS = {getattr(T, n) for n in ("INT64", "INT32", "INT16", "INT8", "UINT64", "UINT32", "UINT16", "UINT8", "INT4", "UINT4", "INT2", "UINT2")
            if hasattr(T, n)}
FLOATS = {T.FLOAT: "float32", T.FLOAT16: "float16"}


def type_name(number):
    return T.DataType.Name(number).lower()


def kind_of(tp):
    """'' for a tensor of numbers, else what makes the type count as left out."""
    which = tp.WhichOneof("value")
    if which in ("sequence_type", "map_type", "optional_type", "sparse_tensor_type"):
        return {"sparse_tensor_type": "sparse tensor"}.get(which, which.replace("_type", "")) + " type"
    if which == "tensor_type" and tp.tensor_type.elem_type == T.STRING:
        return "string type"
    return ""


def graphs_of(graph):
    yield graph
    for n in graph.node:
        for a in n.attribute:
            for g in ([a.g] if a.HasField("g") else []) + list(a.graphs):
                yield from graphs_of(g)


def node_reason(n):
    if n.domain in TRAINING:
        return f"training operator: {n.op_type}"
    if n.domain == "ai.onnx.ml" and n.op_type in ("DictVectorizer", "CastMap", "ZipMap"):
        return f"map type: {n.op_type}"
    if n.domain in ("", "ai.onnx") and n.op_type in SEQUENCE_OPS:
        return f"sequence type: {n.op_type}"
    if n.domain in ("", "ai.onnx") and n.op_type in OPTIONAL_OPS:
        return f"optional type: {n.op_type}"
    if n.domain in ("", "ai.onnx") and n.op_type in STRING_OPS:
        return f"string type: {n.op_type}"
    return ""


def excluded(model):
    """Why no target counts the case, or ''."""
    for v in list(model.graph.input) + list(model.graph.output):
        if kind_of(v.type):
            return f"{kind_of(v.type)}: {v.name}"
    nodes = [n for g in graphs_of(model.graph) for n in g.node] + [n for f in model.functions for n in f.node]
    for n in nodes:
        if node_reason(n):
            return node_reason(n)
    try:
        model = onnx.shape_inference.infer_shapes(model)
    except Exception:  # a type that inference does not know: what the operators say has been looked at
        return ""
    for g in graphs_of(model.graph):
        for v in list(g.value_info) + list(g.input) + list(g.output):
            if kind_of(v.type):
                return f"{kind_of(v.type)} inside: {v.name}"
        for t in g.initializer:
            if t.data_type == T.STRING:
                return f"string type inside: {t.name}"
    return ""


def not_expressible(model, limits):
    """Why the API cannot express an input or output of the graph, or ''."""
    given = {t.name for t in model.graph.initializer}
    for side, values in (("input", model.graph.input), ("output", model.graph.output)):
        lists = (limits or {}).get(side, {})
        for v in values:
            if side == "input" and v.name in given:
                continue
            e = v.type.tensor_type.elem_type
            if e not in INTEGERS and e not in FLOATS and e != T.BOOL:
                return f"{side} {v.name} is {type_name(e)}"
            if e in FLOATS and lists and FLOATS[e] not in lists.get("dataTypes", [FLOATS[e]]):
                return f"{side} {v.name} is {type_name(e)}, which opSupportLimits() does not list"
            rank = len(v.type.tensor_type.shape.dim) if v.type.tensor_type.HasField("shape") else 0
            top = lists.get("rankRange", {}).get("max")
            if top is not None and rank > top:
                return f"{side} {v.name} has rank {rank}, opSupportLimits() goes to {top}"
    return ""


def random_dropout(model, folder):
    """Whether the case trains a Dropout: training_mode true and a ratio above 0 among its data."""
    names = [v.name for v in model.graph.input]
    data = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}

    def value(node, i, default):
        name = node.input[i] if len(node.input) > i else ""
        path = os.path.join(folder, "test_data_set_0", f"input_{names.index(name)}.pb") if name in names else ""
        if path and os.path.exists(path):
            return onnx.numpy_helper.to_array(onnx.load_tensor(path)).item()
        return data[name].item() if name in data else default

    return any(n.op_type == "Dropout" and value(n, 2, False) and value(n, 1, 0.5) != 0 for n in model.graph.node)


def model_of(folder):
    files = sorted(f for f in os.listdir(folder) if f.endswith(".onnx"))
    if not files:
        return None
    return onnx.load(os.path.join(folder, "model.onnx" if "model.onnx" in files else files[0]), load_external_data=False)


def lists_of(folder, limits):
    lists = {"cpu": {}, "webgpu": {}, "webnn": {}}
    for case in sorted(os.listdir(folder)):
        path = os.path.join(folder, case)
        model = model_of(path) if os.path.isdir(path) else None
        if model is None:
            continue
        why = excluded(model)
        if not why and random_dropout(model, path):
            why = "training: the mask of Dropout is drawn from NumPy's generator"
        lists["cpu"][case] = why or "in"
        lists["webgpu"][case] = why or not_expressible(model, None) or "in"
        lists["webnn"][case] = why or not_expressible(model, limits) or "in"
    return lists


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("dir")
    ap.add_argument("prefix")
    ap.add_argument("--limits")
    ap.add_argument("--check", action="store_true")
    args = ap.parse_args()
    limits = None
    if args.limits:
        with open(args.limits, encoding="utf-8") as f:
            limits = json.load(f)
    drift = 0
    for target, cases in lists_of(args.dir, limits).items():
        path = os.path.join(LISTS, f"{args.prefix}-{target}.json")
        text = json.dumps(cases, indent=0, sort_keys=True) + "\n"
        print(f"{args.prefix} {target}: {sum(x == 'in' for x in cases.values())} of {len(cases)} in")
        if args.check:
            with open(path, encoding="utf-8") as f:
                drift |= f.read() != text
        else:
            with open(path, "w", encoding="utf-8") as f:
                f.write(text)
    if drift:
        print("the committed lists differ", file=sys.stderr)
    return 1 if drift else 0


if __name__ == "__main__":
    sys.exit(main())
