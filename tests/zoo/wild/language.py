"""Small transformers with random weights, exported by both of PyTorch's exporters. No weights are downloaded."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import transformers
from model import Wild
from torch import nn

SMALL = {
    "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128, "vocab_size": 200,
    "max_position_embeddings": 160,
}  # fmt: skip
MINI_LM = SMALL | {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
DECODER = SMALL | {"num_key_value_heads": 2, "use_cache": False, "pad_token_id": 0}
DISTIL = {"dim": 64, "n_layers": 2, "n_heads": 4, "hidden_dim": 128, "vocab_size": 200}
GPT2 = {"n_embd": 64, "n_layer": 2, "n_head": 4, "vocab_size": 200, "n_positions": 160, "use_cache": False}
T5 = {"d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2, "num_heads": 4, "vocab_size": 200}
CLIP = SMALL | {"projection_dim": 32, "eos_token_id": 199}
IMAGE = {key: SMALL[key] for key in ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")}
VIT = IMAGE | {"image_size": 64, "patch_size": 16}
SWIN = {"image_size": 64, "embed_dim": 24, "depths": [1, 1], "num_heads": [2, 4], "window_size": 4}
SEGFORMER = {"hidden_sizes": [16, 32, 40, 64], "depths": [1, 1, 1, 1], "decoder_hidden_size": 32}
MOBILE_VIT = {"image_size": 64, "hidden_sizes": [36, 48, 60], "neck_hidden_sizes": [8, 16, 24, 32, 40, 48, 96]}
WAV2VEC = IMAGE | {"vocab_size": 32, "conv_dim": [32] * 7, "num_conv_pos_embedding_groups": 4}
WHISPER = {
    "d_model": 64, "encoder_layers": 2, "encoder_attention_heads": 4, "encoder_ffn_dim": 128, "num_mel_bins": 80,
    "decoder_layers": 1, "decoder_attention_heads": 4, "decoder_ffn_dim": 128, "vocab_size": 200, "pad_token_id": 0,
    "max_source_positions": 100,
}  # fmt: skip

IDS = ("input_ids", "attention_mask")
TYPED = (*IDS, "token_type_ids")
SEQUENCE = {0: "batch_size", 1: "sequence_length"}
BATCH = {0: "batch_size"}
SIZES = {0: "batch_size", 2: "height", 3: "width"}
PIXELS = ("pixel_values",)

# name, class, configuration, inputs, shape of the example, dynamic axes
NETWORKS = [
    ("bert", "BertModel", SMALL, TYPED, (2, 9), SEQUENCE),
    ("bert_classifier", "BertForSequenceClassification", SMALL, TYPED, (2, 9), SEQUENCE),
    ("bert_tagger", "BertForTokenClassification", SMALL, TYPED, (2, 9), SEQUENCE),
    ("bert_answers", "BertForQuestionAnswering", SMALL, TYPED, (2, 9), SEQUENCE),
    ("mini_lm", "BertModel", MINI_LM, TYPED, (2, 9), SEQUENCE),
    ("roberta", "RobertaModel", SMALL, IDS, (2, 9), SEQUENCE),
    ("xlm_roberta", "XLMRobertaModel", SMALL, IDS, (2, 9), SEQUENCE),
    ("distilbert", "DistilBertModel", DISTIL, IDS, (2, 9), SEQUENCE),
    ("distilbert_classifier", "DistilBertForSequenceClassification", DISTIL, IDS, (2, 9), SEQUENCE),
    ("electra", "ElectraModel", SMALL | {"embedding_size": 32}, TYPED, (2, 9), SEQUENCE),
    ("albert", "AlbertModel", SMALL | {"embedding_size": 32}, TYPED, (2, 9), SEQUENCE),
    ("deberta_v2", "DebertaV2Model", SMALL | {
        "relative_attention": True, "position_buckets": 16, "pos_att_type": ["p2c", "c2p"],
    }, IDS, (2, 9), SEQUENCE),
    ("mpnet", "MPNetModel", SMALL, IDS, (2, 9), SEQUENCE),
    ("modernbert", "ModernBertModel", SMALL | {"pad_token_id": 0}, IDS, (2, 9), SEQUENCE),
    ("gpt2", "GPT2LMHeadModel", GPT2, IDS, (2, 9), SEQUENCE),
    ("llama", "LlamaForCausalLM", DECODER, IDS, (2, 9), SEQUENCE),
    ("qwen2", "Qwen2ForCausalLM", DECODER, IDS, (2, 9), SEQUENCE),
    ("t5_encoder", "T5EncoderModel", T5, IDS, (2, 9), SEQUENCE),
    ("clip_text", "CLIPTextModelWithProjection", CLIP, IDS, (2, 9), SEQUENCE),
    ("clip_vision", "CLIPVisionModelWithProjection", VIT | {"projection_dim": 32}, PIXELS, (2, 3, 64, 64), BATCH),
    ("vit", "ViTForImageClassification", VIT, PIXELS, (2, 3, 64, 64), BATCH),
    ("deit", "DeiTForImageClassification", VIT, PIXELS, (2, 3, 64, 64), BATCH),
    ("swin", "SwinForImageClassification", SWIN, PIXELS, (2, 3, 64, 64), BATCH),
    ("convnext", "ConvNextForImageClassification", {"hidden_sizes": [16, 24, 32, 48], "depths": [1, 1, 2, 1]}, PIXELS,
     (2, 3, 64, 64), SIZES),
    ("mobilevit", "MobileViTForImageClassification", MOBILE_VIT, PIXELS, (2, 3, 64, 64), SIZES),
    ("segformer", "SegformerForSemanticSegmentation", SEGFORMER, PIXELS, (2, 3, 64, 64), SIZES),
    ("wav2vec2", "Wav2Vec2ForCTC", WAV2VEC, ("input_values",), (2, 4000), SEQUENCE),
    ("whisper_encoder", "WhisperEncoder", WHISPER, ("input_features",), (2, 80, 200), BATCH),
]  # fmt: skip
HIGH = 190
LENGTHS = {"height": [64, 96], "width": [64, 128]}


class Wrapper(nn.Module):
    """Takes the inputs by position, and returns the tensors of the outputs."""

    def __init__(self, network: nn.Module, names: tuple[str, ...]):
        super().__init__()
        self.network, self.names = network, names

    def forward(self, *inputs):
        outputs = self.network(**dict(zip(self.names, inputs, strict=True)), return_dict=True)
        return tuple(value for value in outputs.values() if torch.is_tensor(value))


def models(_folder: Path, _errors: list[str]) -> list[Wild]:
    made = []
    for name, kind, options, names, shape, axes in NETWORKS:
        hints = {"high": HIGH, "axes": {key: LENGTHS[key] for key in axes.values() if key in LENGTHS}}
        if name == "wav2vec2":
            hints["axes"]["sequence_length"] = [4000, 5600]
        for exporter, dynamo in [("TorchScript", False), ("dynamo", True)]:
            source = partial(export, build(kind, options, names), names, shape, axes, dynamo=dynamo)
            made.append(Wild(f"{name}-{exporter.lower()}", f"transformers, {exporter}", source, hints))
    return made


def build(kind: str, options: dict, names: tuple[str, ...]) -> Callable[[], nn.Module]:
    """Returns a function that makes a network."""
    def make() -> nn.Module:
        torch.manual_seed(0)
        if kind == "WhisperEncoder":
            network = transformers.WhisperModel(transformers.WhisperConfig(**options)).get_encoder()
        else:
            network = getattr(transformers, kind)
            network = network(network.config_class(**options))
        return Wrapper(network.eval(), names)

    return make


def export(make, names, shape, axes, path: Path, *, dynamo: bool, dtype=torch.float32) -> None:
    """Writes the ONNX file of a network with the given dynamic axes."""
    network = make().to(dtype)
    random = torch.Generator().manual_seed(0)
    if "input_ids" in names:
        example = tuple(torch.randint(2, HIGH, shape, generator=random) if name == "input_ids" else
                        torch.full(shape, int("mask" in name)) for name in names)  # fmt: skip
    else:
        example = (torch.randn(shape, generator=random).to(dtype),)
    options = {"dynamic_axes": dict.fromkeys(names, axes)}
    if dynamo:
        options = {"dynamic_shapes": (tuple(axes for _ in names),)}
    with torch.no_grad():
        torch.onnx.export(network, example, path, input_names=list(names), dynamo=dynamo, **options)
