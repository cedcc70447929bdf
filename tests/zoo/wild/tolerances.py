"""Decides whether two outputs agree.

Labels, strings and integers are equal. Floats differ by at most a tolerance, absolute or relative:

- 1e-5, or 1e-3 for networks deeper than ten layers;
- 2e-3 if the model has 16-bit floats;
- one step of the output's quantization if the model computes with 8-bit integers, or the change of ONNX Runtime's
  own output when the weights change by a millionth, but at least the above.
"""

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

LAYERS = {
    "Conv", "ConvTranspose", "ConvInteger", "QLinearConv", "Gemm", "QGemm", "MatMul", "MatMulInteger", "QLinearMatMul",
    "MatMulNBits", "MatMulIntegerToFloat", "DynamicQuantizeMatMul", "FusedMatMul", "FusedConv", "FusedGemm", "LSTM",
    "GRU", "RNN", "DynamicQuantizeLSTM", "Attention", "Einsum",
}  # fmt: skip
DEEP = 10
HALF = {TensorProto.FLOAT16, TensorProto.BFLOAT16}
INTEGER = ("QLinear", "QuantizeLinear", "DynamicQuantize", "MatMulInteger", "ConvInteger", "QGemm")


def tolerances(model: onnx.ModelProto, hints: dict) -> dict:
    """Returns the tolerance, its reason, and the steps of quantized outputs by output name."""
    nodes = list(all_nodes(model.graph)) + [node for function in model.functions for node in function.node]
    kinds = {node.op_type for node in nodes}
    tensors = list(model.graph.initializer) + [attribute.t for node in nodes for attribute in node.attribute]
    if "tolerance" in hints:
        return {"tolerance": hints["tolerance"], "reason": hints["reason"]}
    if any(tensor.data_type in HALF for tensor in tensors):
        limit, reason = 2e-3, "16-bit floats"
    elif sum(node.op_type in LAYERS for node in nodes) > DEEP:
        limit, reason = 1e-3, "deeper than ten layers"
    else:
        limit, reason = 1e-5, ""
    found = {"tolerance": limit, "reason": reason}
    if any(kind.startswith(INTEGER) for kind in kinds):
        found["steps"] = {output.name: last_scale(model.graph, output.name) for output in model.graph.output}
        found["reason"] = "8-bit integers"
    return found


def all_nodes(graph: onnx.GraphProto):
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for body in [attribute.g, *attribute.graphs]:
                yield from all_nodes(body)


def last_scale(graph: onnx.GraphProto, name: str) -> float:
    """Returns the scale of the quantized output `name`, or 0 if its scale is not a constant."""
    node = next((node for node in graph.node if name in node.output), None)
    if node is None or node.op_type != "DequantizeLinear":
        return 0.0
    scale = next((tensor for tensor in graph.initializer if tensor.name == node.input[1]), None)
    return 0.0 if scale is None else float(numpy_helper.to_array(scale).max())


def difference(found: np.ndarray, expected: np.ndarray, limits: dict, name: str) -> str | None:
    """Returns a description of the first value that does not agree, or `None`."""
    if found.size != expected.size or found.shape != expected.shape and expected.ndim != 1:
        return f"`{name}`: expected the shape {list(expected.shape)}, found {list(found.shape)}"
    if found.dtype != expected.dtype:
        return f"`{name}`: expected the type {expected.dtype}, found {found.dtype}"
    found, expected = found.ravel(), expected.ravel()
    if expected.dtype.kind != "f":
        wrong = np.flatnonzero(found != expected)
    else:
        left, right = found.astype(np.float64), expected.astype(np.float64)
        with np.errstate(invalid="ignore"):
            near = np.abs(left - right) <= limit(limits, name, right) * np.maximum(1, np.abs(right))
        wrong = np.flatnonzero(~(near | (left == right) | np.isnan(left) & np.isnan(right)))
    if not len(wrong):
        return None
    at = wrong[0]
    return (
        f"`{name}`: expected {expected[at]}, found {found[at]} at element {at}; "
        f"{len(wrong)} of {len(expected)} values differ"
    )


def limit(limits: dict, name: str, expected: np.ndarray) -> float:
    """Returns the tolerance of an output. If its scale is computed, a step is 1/255 of its range."""
    if "steps" not in limits:
        return limits["tolerance"]
    finite = expected[np.isfinite(expected)]
    step = limits["steps"][name] or (np.ptp(finite) / 255 if len(finite) else 0)
    return max(limits["tolerance"], step * 1.001, limits.get("changes", {}).get(name, 0))
