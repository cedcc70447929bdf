"""Networks after ONNX Runtime's quantizers and optimizer, and networks with 16-bit floats."""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import images
import inputs
import language
import onnx
import torch
from model import Wild
from onnxconverter_common import float16
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
from onnxruntime.quantization.shape_inference import quant_pre_process
from onnxruntime.transformers.optimizer import optimize_model
from torch import nn

HINTS = {"high": language.HIGH}


class Mlp(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 64), nn.Sigmoid(), nn.Linear(64, 5), nn.Softmax(1))


class Cnn(nn.Module):
    """A residual network with the activations and poolings that the quantizer treats specially."""

    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.Hardswish())
        self.depth = nn.Sequential(nn.Conv2d(16, 16, 3, 1, 1, groups=16), nn.ReLU6(), nn.Conv2d(16, 16, 1), nn.LeakyReLU())
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(16, 16, 1), nn.Hardsigmoid())
        self.pool = nn.AvgPool2d(2)
        self.head = nn.Linear(32, 10)

    def forward(self, x):
        x = self.first(x)
        x = x + self.depth(x)
        x = torch.cat([x * self.gate(x), torch.sigmoid(x)], 1)
        return self.head(nn.functional.max_pool2d(self.pool(x), 2).mean((2, 3))).softmax(1)


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.recurrent = nn.LSTM(8, 32, batch_first=True, bidirectional=True)
        self.head = nn.Linear(64, 3)

    def forward(self, x):
        return self.head(self.recurrent(x)[0][:, -1])


class Reader(CalibrationDataReader):
    """Gives the quantizer the inputs of a few batches."""

    def __init__(self, path: Path):
        session = inputs.open_session(path)
        self.batches = iter([given for _, given, _ in inputs.data_sets(session, HINTS)])

    def get_next(self):
        return next(self.batches, None)


def own(kind: type[nn.Module], *shape: int) -> Callable[[Path], None]:
    def export(path: Path, dtype=torch.float32) -> None:
        torch.manual_seed(0)
        network = kind().eval().to(dtype)
        torch.onnx.export(network, (torch.randn(2, *shape).to(dtype),), path, input_names=["x"], dynamo=False,
                          dynamic_axes={"x": {0: "batch"}})  # fmt: skip

    return export


def transformer(name: str) -> Callable[[Path], None]:
    _, kind, options, names, shape, axes = next(row for row in language.NETWORKS if row[0] == name)
    return partial(language.export, language.build(kind, options, names), names, shape, axes, dynamo=False)


def vision(name: str) -> Callable[[Path], None]:
    return partial(images.export, partial(images.build, name), 224, False, dynamo=False)


FLOATS = {
    "mlp": own(Mlp, 20), "cnn": own(Cnn, 3, 32, 32), "lstm": own(Recurrent, 12, 8), "bert": transformer("bert"),
    "distilbert": transformer("distilbert"), "gpt2": transformer("gpt2"), "vit": transformer("vit"),
    "resnet50": vision("resnet50"), "mobilenet_v3_small": vision("mobilenet_v3_small"),
    "squeezenet1_1": vision("squeezenet1_1"),
}  # fmt: skip
CONVOLUTIONAL = ("cnn", "resnet50", "mobilenet_v3_small", "squeezenet1_1")


def models(folder: Path, _errors: list[str]) -> list[Wild]:
    folder.mkdir(exist_ok=True)
    made = []

    def add(family: str, suffix: str, names, convert) -> None:
        for name in names:
            source = partial(converted, folder / f"{name}.onnx", FLOATS[name], convert)
            made.append(Wild(f"{name}-{suffix}", family, source, HINTS))

    unsigned = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8}
    signed = {"activation_type": QuantType.QInt8, "weight_type": QuantType.QInt8}
    static = ("mlp", "bert", "vit", *CONVOLUTIONAL)
    for form in (QuantFormat.QDQ, QuantFormat.QOperator):
        family = f"int8, static, {form.name}"
        add(family, f"{form.name.lower()}_u8s8", static, partial(quantize, form=form, **unsigned))
        channels = partial(quantize, form=form, per_channel=True, **signed)
        add(family, f"{form.name.lower()}_s8s8_channels", static, channels)
    dynamic = ("mlp", "cnn", "lstm", "bert", "distilbert", "gpt2", "vit")
    for kind in (QuantType.QInt8, QuantType.QUInt8):
        convert = partial(quantize_dynamic, weight_type=kind)
        add("int8, dynamic", f"dynamic_{kind.name.lower()}", dynamic, convert)
    channels = partial(quantize_dynamic, weight_type=QuantType.QInt8, per_channel=True)
    add("int8, dynamic", "dynamic_channels", ("bert", "mlp"), channels)
    for symmetric in (True, False):
        suffix = "int4" if symmetric else "int4_zero_points"
        add("int4", suffix, ("mlp", "bert", "gpt2"), partial(four_bits, is_symmetric=symmetric))
    for kind, heads in [("bert", ("bert", "distilbert")), ("gpt2", ("gpt2",)), ("vit", ("vit",))]:
        add("ONNX Runtime's optimizer", "optimized", heads, partial(optimize, model_type=kind))
        add("16-bit floats", "optimized_half", heads, partial(optimize, model_type=kind, half=True))
    add("16-bit floats", "half_inside", FLOATS, partial(half, keep_io_types=True))
    add("16-bit floats", "half", ("mlp", "cnn", "bert", "resnet50"), partial(half, keep_io_types=False))
    for name in ("mlp", "cnn", "bert", "distilbert", "vit"):
        source = partial(FLOATS[name], dtype=torch.float16)
        made.append(Wild(f"{name}-exported_half", "16-bit floats", source, HINTS))
    return made


def converted(base: Path, export: Callable, convert: Callable, path: Path) -> None:
    """Writes the result of a converter to `path`. The converter reads the network with floats at `base`."""
    if not base.exists():
        export(base)
    convert(base, path)


def quantize(base: Path, path: Path, *, form: QuantFormat, **options) -> None:
    """Quantizes a network after the quantizer's own preprocessing, as ONNX Runtime's documentation recommends."""
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(base, prepared, skip_symbolic_shape=True)
        quantize_static(prepared, path, Reader(prepared), quant_format=form, **options)


def four_bits(base: Path, path: Path, is_symmetric: bool) -> None:
    quantizer = MatMulNBitsQuantizer(onnx.load(base), block_size=32, is_symmetric=is_symmetric)
    quantizer.process()
    quantizer.model.save_model_to_file(str(path))


def optimize(base: Path, path: Path, *, model_type: str, half: bool = False) -> None:
    optimized = optimize_model(str(base), model_type, num_heads=4, hidden_size=64)
    if half:
        optimized.convert_float_to_float16()
    optimized.save_model_to_file(str(path))


def half(base: Path, path: Path, *, keep_io_types: bool) -> None:
    onnx.save(float16.convert_float_to_float16(onnx.load(base), keep_io_types=keep_io_types), path)

