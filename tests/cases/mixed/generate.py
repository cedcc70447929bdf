"""Makes the mixed case: an untrained model with inputs of every element type, one of them an image.

    score = x0 + x1 / 2 + count / 4 + 2 * flag - mean(image)
    echo  = city

Writes model.onnx, and golden.json with ONNX Runtime's predictions for random rows.
"""

import json
from pathlib import Path

import numpy as np
import onnxruntime
from onnx import TensorProto, checker, helper, numpy_helper

HERE = Path(__file__).resolve().parent
CITIES = ["Oslo", "São Paulo", "東京", "Saint-Étienne", "", 'a "quoted", city']
ROWS = 20

float32, int64 = TensorProto.FLOAT, TensorProto.INT64


def constant(name: str, value) -> TensorProto:
    return numpy_helper.from_array(np.array(value, np.float32), name)


graph = helper.make_graph(
    [
        helper.make_node("MatMul", ["x", "weights"], ["from_x"]),
        helper.make_node("Cast", ["count"], ["count_float"], to=float32),
        helper.make_node("Mul", ["count_float", "per_count"], ["from_count"]),
        helper.make_node("Cast", ["flag"], ["flag_float"], to=float32),
        helper.make_node("Mul", ["flag_float", "per_flag"], ["from_flag"]),
        helper.make_node("ReduceMean", ["image"], ["mean"], axes=[1, 2], keepdims=0),
        helper.make_node("Reshape", ["mean", "column"], ["from_image"]),
        helper.make_node("Add", ["from_x", "from_count"], ["numbers"]),
        helper.make_node("Add", ["numbers", "from_flag"], ["scalars"]),
        helper.make_node("Sub", ["scalars", "from_image"], ["score"]),
        helper.make_node("Identity", ["city"], ["echo"]),
    ],
    "mixed",
    [
        helper.make_tensor_value_info("x", float32, ["N", 2]),
        helper.make_tensor_value_info("count", int64, ["N", 1]),
        helper.make_tensor_value_info("flag", TensorProto.BOOL, ["N", 1]),
        helper.make_tensor_value_info("city", TensorProto.STRING, ["N", 1]),
        helper.make_tensor_value_info("image", float32, ["N", 2, 2]),
    ],
    [
        helper.make_tensor_value_info("score", float32, ["N", 1]),
        helper.make_tensor_value_info("echo", TensorProto.STRING, ["N", 1]),
    ],
    [
        constant("weights", [[1], [0.5]]),
        constant("per_count", 0.25),
        constant("per_flag", 2),
        numpy_helper.from_array(np.array([-1, 1], np.int64), "column"),
    ],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
checker.check_model(model, full_check=True)
content = model.SerializeToString(deterministic=True)

random = np.random.default_rng(555)
x = random.uniform(-10, 10, (ROWS, 2)).round(2)
count = random.integers(-5, 1000, (ROWS, 1))
flag = random.integers(0, 2, (ROWS, 1)).astype(bool)
city = np.array([[CITIES[row % len(CITIES)]] for row in range(ROWS)], object)
image = random.uniform(0, 1, (ROWS, 2, 2)).round(2)

session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
score, echo = session.run(
    ["score", "echo"],
    {"x": x.astype(np.float32), "count": count, "flag": flag, "city": city, "image": image.astype(np.float32)},
)

golden = [
    {
        "input": {
            "x0": x[row, 0],
            "x1": x[row, 1],
            "count": count[row, 0].item(),
            "flag": flag[row, 0].item(),
            "city": city[row, 0],
            "image": image[row].tolist(),
        },
        "output": {"score": float(str(score[row, 0])), "echo": echo[row, 0]},
    }
    for row in range(ROWS)
]
(HERE / "model.onnx").write_bytes(content)
lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in golden)
(HERE / "golden.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")
