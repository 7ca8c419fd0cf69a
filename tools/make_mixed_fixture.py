"""Writes tests/fixtures/mixed/: a small ONNX graph whose running sum is in 64-bit floats, which WebGPU
lacks, so that its plan has a CPU segment between two WebGPU ones, with an input and onnxruntime's output.

usage: make_mixed_fixture.py     needs onnx, onnxruntime, numpy
"""
import os
import numpy as np, onnx, onnxruntime
from onnx import TensorProto, helper

out = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tests", "fixtures", "mixed")
os.makedirs(out, exist_ok=True)
w = np.random.default_rng(5).standard_normal((12, 16)).astype(np.float32)
nodes = [helper.make_node("MatMul", ["x", "w"], ["a"]), helper.make_node("Tanh", ["a"], ["b"]), helper.make_node("Cast", ["b"], ["b64"], to=TensorProto.DOUBLE),
         helper.make_node("CumSum", ["b64", "axis"], ["c64"], name="running_sum"), helper.make_node("Cast", ["c64"], ["c"], to=TensorProto.FLOAT),
         helper.make_node("MatMul", ["c", "v"], ["d"]), helper.make_node("Sigmoid", ["d"], ["y"])]
graph = helper.make_graph(nodes, "mixed", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 12])], [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 8])],
                          [onnx.numpy_helper.from_array(w, "w"), onnx.numpy_helper.from_array(np.ascontiguousarray(w[:8].T)[:16], "v"), onnx.numpy_helper.from_array(np.array(1, dtype=np.int64), "axis")])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
onnx.checker.check_model(model)
onnx.save(model, out + "/model.onnx")
x = np.random.default_rng(6).standard_normal((5, 12)).astype(np.float32)
np.save(out + "/x.npy", x)
np.save(out + "/y.npy", onnxruntime.InferenceSession(out + "/model.onnx", providers=["CPUExecutionProvider"]).run(None, {"x": x})[0])
