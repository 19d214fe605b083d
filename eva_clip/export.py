"""Exports of EVA-CLIP: a graph for each tower, whose features have length 1."""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eva_classification.export import check_fixed_size, describe_transform, transformed_shape
from eva_deploy.exported_model import ExportedModel
from eva_deploy.graph import ExportGraph, GraphInput
from eva_deploy.task_export import Agreement, ExportOptions, TaskExport
from eva_engine.prediction.predictor import Predictor

from .tokenizer import Tokenizer

IMAGE, TEXT = "image_tower", "text_tower"
# Texts whose features are compared: short and long ones, of one and of several sentences.
_TEXTS = (
    "a photo of a cat.",
    "two people on a beach",
    "an aerial photo of a city at night, with a river.",
    "a diagram",
    "a close-up of a yellow flower. there are leaves behind it.",
    "",
)


class ClipExport(TaskExport):
    """Export both towers of EVA-CLIP; texts are tokenized outside."""

    tolerances: ClassVar = {
        "float32": {"image feature": 1e-3, "text feature": 1e-3},
        "float16": {"image feature": 0.01, "text feature": 0.01},
        "bfloat16": {"image feature": 0.05, "text feature": 0.05},
    }
    example = "eva_clip.export_example"

    def graphs(self, predictor: Predictor[Any, Any], options: ExportOptions) -> Sequence[ExportGraph]:
        """Return the graphs of the image tower and of the text tower."""
        shape = transformed_shape(predictor.transform)  # type: ignore[attr-defined]
        check_fixed_size(options, shape[-1])
        length = predictor.context_length  # type: ignore[attr-defined]
        batch: int | str = options.batch_size or "batch"
        size = options.batch_size or 2
        ids = torch.zeros(size, length, dtype=torch.int64)
        image = GraphInput("pixels", (batch, *shape))
        text = GraphInput("token_ids", (batch, length), "int64")
        model: Any = predictor.model
        return [
            ExportGraph(IMAGE, _Normalised(model.visual), (image,), ("features",), (torch.zeros(size, *shape),)),
            ExportGraph(TEXT, _Normalised(model.text), (text,), ("features",), (ids,)),
        ]

    def settings(self, predictor: Predictor[Any, Any], options: ExportOptions) -> dict[str, Any]:  # noqa: ARG002
        """Return the preprocessing, the context length, the factor from cosines to logits, and texts for examples."""
        length = predictor.context_length  # type: ignore[attr-defined]
        ids, _ = Tokenizer(length).tokenize(_TEXTS)
        return {
            "transform": describe_transform(predictor.transform),  # type: ignore[attr-defined]
            "context_length": length,
            "logit_scale": float(predictor.model.logit_scale.detach()),  # type: ignore[operator]
            "texts": [{"text": text, "ids": row} for text, row in zip(_TEXTS, ids.tolist(), strict=True)],
        }

    def stand_in(self, exported: ExportedModel, cfg: Any) -> nn.Module:  # noqa: ARG002
        """Return a module with the interface of `Clip`."""
        return ExportedClip(exported)

    def store_names(self, cfg: Any, predictor: Predictor[Any, Any]) -> None:
        """Store nothing: labels are given for each prediction."""

    def compare(
        self, original: Predictor[Any, Any], exported: Predictor[Any, Any], samples: Sequence[Any]
    ) -> Agreement:
        """Compare the features of images and texts, and for each image the text that fits best."""
        both = []
        for predictor in (original, exported):
            embedder: Any = predictor
            both.append((embedder.embed_images(samples), embedder.embed_texts(_TEXTS)))
        (images, texts), (other_images, other_texts) = both
        best, other_best = (images @ texts.T).argmax(1), (other_images @ other_texts.T).argmax(1)
        differences = {
            "image feature": float(abs(images - other_images).max()),
            "text feature": float(abs(texts - other_texts).max()),
        }
        return Agreement(differences, int((best == other_best).sum()), len(samples))


class _Normalised(nn.Module):
    """A tower whose embeddings are scaled to length 1, in float32."""

    def __init__(self, tower: nn.Module) -> None:
        super().__init__()
        self.tower = tower

    def forward(self, inputs: Tensor) -> Tensor:
        return F.normalize(self.tower(inputs).float(), dim=-1)


class ExportedClip(nn.Module):
    """Both exported towers in place of a `Clip`; embeddings always have length 1."""

    def __init__(self, exported: ExportedModel) -> None:
        super().__init__()
        self._image, self._text = exported.graphs[IMAGE], exported.graphs[TEXT]
        self.logit_scale = nn.Parameter(torch.tensor(float(exported.settings["logit_scale"])), requires_grad=False)
        length, size = int(exported.settings["context_length"]), self._image.shapes[0][-1]
        self.text = SimpleNamespace(context_length=length)
        # What `LabelPredictor` computes the size of its images from if the recipe has no transform.
        self.visual = SimpleNamespace(pos_grid=(size, size), patch_size=1)

    def encode_image(self, pixels: Tensor, normalize: bool = True) -> Tensor:  # noqa: ARG002
        """Embed normalised pixels [B, 3, H, W] as [B, D], of length 1."""
        return self._image(pixels)["features"]

    def encode_text(self, token_ids: Tensor, normalize: bool = True) -> Tensor:  # noqa: ARG002
        """Embed token ids [B, L] as [B, D], of length 1."""
        missing = self.text.context_length - token_ids.shape[1]
        return self._text(F.pad(token_ids, (0, missing)))["features"]

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return "image_features" and "text_features" for the inputs that the batch has."""
        features = {}
        if batch.get("image") is not None:
            features["image_features"] = self.encode_image(batch["image"])
        if batch.get("text") is not None:
            features["text_features"] = self.encode_text(batch["text"])
        return features
