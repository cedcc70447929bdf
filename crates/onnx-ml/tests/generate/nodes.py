"""Models of a single node."""

import numpy as np
from common import write
from onnx import helper


def node(
    topic,
    name,
    operator,
    data_sets,
    output=np.float32,
    version=4,
    constants=(),
    domain="ai.onnx.ml",
    opset=18,
    **attributes,
):
    """Writes the case `name`: `operator` with the inputs of the data sets, followed by `constants`.

    A constant that is `None` is an optional input that is left out.
    """
    inputs = [
        helper.make_tensor_value_info(f"X{index}", kind(x.dtype), [None, *x.shape[1:]])
        for index, x in enumerate(data_sets[0])
    ]
    if len({x.ndim for data in data_sets for x in data}) > 1:
        for spec in inputs:
            spec.type.tensor_type.ClearField("shape")
    initializers = [
        helper.make_tensor(f"C{index}", kind(x.dtype), x.shape, x.ravel().tolist())
        for index, x in enumerate(constants)
        if x is not None
    ]
    # An optional input that is left out has an empty name.
    names = [spec.name for spec in inputs]
    names += ["" if x is None else f"C{index}" for index, x in enumerate(constants)]
    outputs = [helper.make_tensor_value_info("Y", kind(np.dtype(output)), None)]
    made = helper.make_node(operator, names, ["Y"], domain=domain, **attributes)
    graph = helper.make_graph([made], name, inputs, outputs, initializers)
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", version)]
    write(topic, name, helper.make_model(graph, opset_imports=opsets, ir_version=9), data_sets)


def kind(dtype):
    return helper.np_dtype_to_tensor_dtype(dtype)
