"""Networks of PyTorch and Keras. Each PyTorch network is exported by both exporters of PyTorch, with a dynamic batch size
and with a batch size of 1."""

import os

os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy as np
import torch
import torchvision
from data import noise, rows
from model import Model
from torch import nn
from torch.nn import functional

DEEP = {"tolerance": 1e-3, "reason": "deeper than ten layers"}


class Mlp(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Linear(64, 128), nn.ReLU(), nn.Dropout(0.1), nn.Linear(128, 10), nn.Softmax(-1)
        )


class Cnn(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            nn.Linear(32, 10),
        )  # fmt: skip


class Recurrent(nn.Module):
    def __init__(self, kind, **options):
        super().__init__()
        self.recurrent = kind(8, 32, batch_first=True, **options)
        self.head = nn.Linear(64 if options.get("bidirectional") else 32, 3)

    def forward(self, x):
        return self.head(self.recurrent(x)[0][:, -1])


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(100, 64)
        self.position = nn.Parameter(torch.randn(1, 16, 64) / 50)
        layer = nn.TransformerEncoderLayer(64, 4, 128, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(64, 5)

    def forward(self, ids):
        return self.head(self.layers(self.embedding(ids) + self.position).mean(1))


class Attention(nn.Module):
    """A causal block with `scaled_dot_product_attention`."""

    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(64)
        self.qkv = nn.Linear(64, 192)
        self.out = nn.Linear(64, 64)

    def forward(self, x):
        heads = self.qkv(self.norm(x)).unflatten(-1, (3, 4, 16)).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(*heads.unbind(0), is_causal=True)
        return x + self.out(functional.gelu(mixed.transpose(1, 2).flatten(2)))


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.up = nn.ConvTranspose2d(8, 8, 2, stride=2)
        self.head = nn.Conv2d(8, 1, 1)

    def forward(self, x):
        low = functional.silu(self.down(x))
        resized = functional.interpolate(low, scale_factor=2.0, mode="bilinear")
        return torch.sigmoid(self.head(self.up(low) + resized))


class Outputs(nn.Module):
    """Returns a label, the scores, and the three highest scores with their classes."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, 10)

    def forward(self, x):
        scores = self.linear(x)
        best, classes = scores.topk(3)
        return scores.argmax(1), scores.softmax(1), best, classes


def digits(count):
    return rows("digits", count) / 16


def words(count):
    return np.random.default_rng(count).integers(0, 100, (count, 16))


def shaped(*shape):
    return lambda count: noise(shape, count)


IMAGES = {"rows": (1, 7), **DEEP}
TORCH = [
    ("mlp", Mlp, digits, {}),
    ("cnn", Cnn, shaped(1, 28, 28), {}),
    ("resnet18", torchvision.models.resnet18, shaped(3, 224, 224), IMAGES),
    ("mobilenet_v2", torchvision.models.mobilenet_v2, shaped(3, 224, 224), IMAGES),
    ("lstm", lambda: Recurrent(nn.LSTM, num_layers=2), shaped(12, 8), {}),
    ("lstm_bidirectional", lambda: Recurrent(nn.LSTM, bidirectional=True), shaped(12, 8), {}),
    ("gru", lambda: Recurrent(nn.GRU, num_layers=2), shaped(12, 8), {}),
    ("rnn", lambda: Recurrent(nn.RNN), shaped(12, 8), {}),
    ("encoder", Encoder, words, {}),
    ("attention", Attention, shaped(16, 64), {}),
    ("unet", UNet, shaped(3, 32, 32), {}),
    ("outputs", Outputs, digits, {}),
]


def models() -> list[Model]:
    made = []
    for name, module, inputs, unusual in TORCH:
        for exporter, dynamo in [("torchscript", False), ("dynamo", True)]:
            made.append(torch_model(f"torch_{name}-{exporter}", module, inputs, dynamo, True, unusual))
            static = {**unusual, "rows": (1,)}
            made.append(torch_model(f"torch_{name}-{exporter}_static", module, inputs, dynamo, False, static))
    return made + [
        keras_model("dense", digits, (64,), [
            keras.layers.Dense(64, "relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(10, "softmax"),
        ]),
        keras_model("conv", shaped(28, 28, 1), (28, 28, 1), [
            keras.layers.Conv2D(16, 3, activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Flatten(),
            keras.layers.Dense(10, "softmax"),
        ]),
    ]  # fmt: skip


def torch_model(name, module, inputs, dynamo, dynamic, unusual) -> Model:
    def export(path):
        torch.manual_seed(0)
        network = module().eval()
        example = (torch.from_numpy(inputs(2 if dynamic else 1)),)
        options = {}
        if dynamic and dynamo:
            options = {"dynamic_shapes": ({0: torch.export.Dim("batch")},)}
        elif dynamic:
            options = {"dynamic_axes": {"x": {0: "batch"}}}
        torch.onnx.export(network, example, path, input_names=["x"], dynamo=dynamo, **options)

    return Model(name, "PyTorch", export, lambda count: {None: inputs(count)}, **unusual)


def keras_model(name, inputs, shape, layers) -> Model:
    def export(path):
        keras.utils.set_random_seed(0)
        network = keras.Sequential([keras.layers.Input(shape), *layers])
        network(inputs(1))
        network.export(str(path), format="onnx", verbose=False)

    return Model(f"keras_{name}", "Keras", export, lambda count: {None: inputs(count)})
