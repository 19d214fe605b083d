"""Initial weights of EVA-02: classifiers, pre-training models and both towers of CLIP."""

from collections.abc import Collection
from typing import Any

from torch import nn

from eva_classification import Classifier
from eva_classification.mim import MaskedImageModel
from eva_clip import ImageTower, TextTransformer

from ..case import GoldenCase, family
from .classification_backbone import backbone_options
from .classification_initial import compare_statistics

NUM_DRAWS = 4


def build(name: str, spec: dict[str, Any], parameters: Collection[str]) -> nn.Module:
    text = spec["clip_text"]
    if name == "clip_text":
        sizes = {"width": text["width"], "num_heads": text["heads"], "num_layers": text["layers"]}
        lengths = {option: text[option] for option in ("context_length", "vocab_size")}
        return TextTransformer(text["output_dim"], logit_scale=False, **sizes, **lengths)
    options = backbone_options({"pt_hw_seq_len": None, **spec["config"]}, parameters)
    if name.startswith("clip_vision"):
        return ImageTower(text["output_dim"], **options)
    if name.startswith("mim"):
        return MaskedImageModel(teacher_dim=spec["mim"]["predict_feature_dim"], init="xavier", **options)
    return Classifier(spec["finetune"]["num_classes"], **options)


@family("eva02_init_stats")
def check_initial_weights(case: GoldenCase) -> None:
    for name, expected in case.spec["stats"].items():
        models = [build(name, case.spec, expected) for _ in range(NUM_DRAWS)]
        assert {parameter for parameter, _ in models[0].named_parameters()} == set(expected), name
        compare_statistics(name, models, expected)
