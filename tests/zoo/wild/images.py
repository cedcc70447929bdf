"""Networks of timm and torchvision with random weights, exported by PyTorch's exporters."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import timm
import torch
import torchvision
from model import Wild
from torch import nn

TORCHVISION = (
    "mobilenet_v3_small", "efficientnet_b0", "densenet121", "convnext_tiny", "regnet_y_400mf", "shufflenet_v2_x1_0",
    "squeezenet1_1", "mnasnet0_5", "googlenet", "resnet50", "swin_t", "resnext50_32x4d",
)  # fmt: skip
TIMM = (
    "repvgg_a0", "vit_tiny_patch16_224", "mobilevit_xxs", "ghostnet_100", "levit_128s", "edgenext_xx_small",
    "efficientformerv2_s0", "fastvit_t8", "pvt_v2_b0", "crossvit_tiny_240", "mobilenetv4_conv_small",
    "tf_efficientnet_lite0", "tiny_vit_5m_224", "poolformer_s12", "hrnet_w18_small", "convmixer_1024_20_ks9_p14",
)  # fmt: skip
SEGMENTATION = ("deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large")
DETECTION = ("ssdlite320_mobilenet_v3_large", "fasterrcnn_mobilenet_v3_large_320_fpn")
DYNAMO = (
    "resnet50", "mobilenet_v3_small", "shufflenet_v2_x1_0", "convnext_tiny", "swin_t", "vit_tiny_patch16_224",
    "mobilevit_xxs", "levit_128s", "ghostnet_100", "repvgg_a0", "lraspp_mobilenet_v3_large",
)  # fmt: skip
"""Networks that are also exported by the slower exporter."""
PIXELS = {"repvgg_a0", "mobilenet_v3_small", "resnet50", "densenet121", "efficientnet_b0", *SEGMENTATION}
"""Networks whose height and width are dynamic."""
SIZES = {"height": [128, 160], "width": [128, 192]}


class Segmentation(nn.Module):
    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, x):
        return self.network(x)["out"]


class Detection(nn.Module):
    """Takes one image, and returns the boxes, labels and scores of the objects in it."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, image):
        found = self.network([image])[0]
        return found["boxes"], found["labels"], found["scores"]


def models(_folder: Path, _errors: list[str]) -> list[Wild]:
    made = []
    for exporter, dynamo in [("TorchScript", False), ("dynamo", True)]:
        family = f"timm and torchvision, {exporter}"
        for name in DYNAMO if dynamo else (*TORCHVISION, *TIMM, *SEGMENTATION):
            source = partial(export, partial(build, name), side(name), name in PIXELS, dynamo=dynamo)
            hints = {"axes": SIZES} if name in PIXELS else {}
            made.append(Wild(f"{name}-{exporter.lower()}", family, source, hints))
    for name in DETECTION:
        source = partial(export_detection, name)
        made.append(Wild(f"{name}-torchscript", "timm and torchvision, TorchScript", source))
    return made


def side(name: str) -> int:
    return 240 if name == "crossvit_tiny_240" else 224


def build(name: str) -> nn.Module:
    """Returns a network whose batch normalizations have the statistics of its random weights."""
    torch.manual_seed(0)
    options = {"init_weights": True} if name == "googlenet" else {}
    if name in SEGMENTATION:
        options |= {"weights_backbone": None, "num_classes": 4}
        network = Segmentation(getattr(torchvision.models.segmentation, name)(**options))
    elif name in TIMM:
        network = timm.create_model(name, pretrained=False)
    else:
        network = getattr(torchvision.models, name)(weights=None, **options)
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = 1.0
    with torch.no_grad():
        network.train()(torch.rand(2, 3, side(name), side(name)))
    return network.eval()


def export(make: Callable[[], nn.Module], size: int, sized: bool, path: Path, *, dynamo: bool) -> None:
    axes = {0: "batch"} | ({2: "height", 3: "width"} if sized else {})
    options = {"dynamic_shapes": (axes,)} if dynamo else {"dynamic_axes": {"x": axes}}
    example = (torch.rand(2, 3, size, size),)
    with torch.no_grad():
        torch.onnx.export(make(), example, path, input_names=["x"], dynamo=dynamo, **options)


def export_detection(name: str, path: Path) -> None:
    torch.manual_seed(0)
    options = {"score_thresh": 0.011} if name.startswith("ssd") else {"box_score_thresh": 0.011}
    network = getattr(torchvision.models.detection, name)(weights=None, weights_backbone=None, **options)
    names = ["boxes", "labels", "scores"]
    axes = {output: {0: "found"} for output in names}
    example = (torch.rand(3, 320, 320),)
    with torch.no_grad():
        torch.onnx.export(Detection(network).eval(), example, path, input_names=["image"], output_names=names,
                          dynamic_axes=axes, dynamo=False)  # fmt: skip
