"""The same head, built from transformers' modules, with the weights of ours."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from transformers import Mask2FormerConfig
from transformers.models.mask2former.modeling_mask2former import (
    Mask2FormerPixelDecoder,
    Mask2FormerTransformerModule,
)

from eva_semseg.head import Mask2FormerHead

# our prefix -> theirs; self-attention is also split into query, key and value
_RULES = (
    (r"pixel_decoder\.input_convs\.(\d)\.conv\.", r"pixel.input_projections.\1.0."),
    (r"pixel_decoder\.input_convs\.(\d)\.norm\.", r"pixel.input_projections.\1.1."),
    (r"pixel_decoder\.layers\.(\d+)\.attn\.", r"pixel.encoder.layers.\1.self_attn."),
    (r"pixel_decoder\.layers\.(\d+)\.ffn\.", r"pixel.encoder.layers.\1."),
    (r"pixel_decoder\.layers\.(\d+)\.norm1\.", r"pixel.encoder.layers.\1.self_attn_layer_norm."),
    (r"pixel_decoder\.layers\.(\d+)\.norm2\.", r"pixel.encoder.layers.\1.final_layer_norm."),
    (r"pixel_decoder\.level_embed\.weight", "pixel.level_embed"),
    (r"pixel_decoder\.lateral_conv\.conv\.", "pixel.adapter_1.0."),
    (r"pixel_decoder\.lateral_conv\.norm\.", "pixel.adapter_1.1."),
    (r"pixel_decoder\.output_conv\.conv\.", "pixel.layer_1.0."),
    (r"pixel_decoder\.output_conv\.norm\.", "pixel.layer_1.1."),
    (r"pixel_decoder\.mask_conv\.", "pixel.mask_projection."),
    (r"transformer_decoder\.layers\.(\d+)\.cross_attn\.qkv\.", r"decoder.decoder.layers.\1.cross_attn.in_proj_"),
    (r"transformer_decoder\.layers\.(\d+)\.cross_attn\.proj\.", r"decoder.decoder.layers.\1.cross_attn.out_proj."),
    (r"transformer_decoder\.layers\.(\d+)\.self_attn\.proj\.", r"decoder.decoder.layers.\1.self_attn.out_proj."),
    (r"transformer_decoder\.layers\.(\d+)\.ffn\.", r"decoder.decoder.layers.\1."),
    (r"transformer_decoder\.layers\.(\d+)\.norm1\.", r"decoder.decoder.layers.\1.cross_attn_layer_norm."),
    (r"transformer_decoder\.layers\.(\d+)\.norm2\.", r"decoder.decoder.layers.\1.self_attn_layer_norm."),
    (r"transformer_decoder\.layers\.(\d+)\.norm3\.", r"decoder.decoder.layers.\1.final_layer_norm."),
    (r"transformer_decoder\.layers\.", "decoder.decoder.layers."),
    (r"transformer_decoder\.post_norm\.", "decoder.decoder.layernorm."),
    (r"query_embed\.", "decoder.queries_embedder."),
    (r"query_feat\.", "decoder.queries_features."),
    (r"level_embed\.", "decoder.level_embed."),
    (r"cls_embed\.", "classifier."),
    (r"mask_embed\.0\.", "decoder.decoder.mask_predictor.mask_embedder.0.0."),
    (r"mask_embed\.2\.", "decoder.decoder.mask_predictor.mask_embedder.1.0."),
    (r"mask_embed\.4\.", "decoder.decoder.mask_predictor.mask_embedder.2.0."),
)


def _their_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    renamed = {}
    for name, value in weights.items():
        pattern, replacement = next(rule for rule in _RULES if re.match(rule[0], name))
        name = re.sub(f"^{pattern}", replacement, name)
        if ".self_attn.qkv." in name:
            stem, kind = name.split(".qkv.")
            parts = zip("qkv", value.chunk(3), strict=True)
            renamed |= {f"{stem}.{part}_proj.{kind}": chunk for part, chunk in parts}
        else:
            renamed[name] = value
    return renamed


class TransformersHead(nn.Module):
    """A module with the inputs and outputs of `Mask2FormerHead`.

    Raises:
        RuntimeError: the two implementations do not have the same weights.
    """

    def __init__(self, ours: Mask2FormerHead, in_channels: int, **options: int) -> None:
        super().__init__()
        self.config = Mask2FormerConfig(
            feature_size=options["dim"],
            mask_feature_size=options["dim"],
            hidden_dim=options["dim"],
            encoder_feedforward_dim=options["hidden"],
            dim_feedforward=options["hidden"],
            encoder_layers=options["encoder_layers"],
            decoder_layers=options["decoder_layers"] + 1,
            num_attention_heads=options["num_heads"],
            num_queries=options["num_queries"],
            num_labels=ours.num_classes,
            dropout=0.0,
        )
        self.pixel = Mask2FormerPixelDecoder(self.config, [in_channels] * 4)
        self.decoder = Mask2FormerTransformerModule(options["dim"], self.config)
        self.classifier = nn.Linear(options["dim"], ours.num_classes + 1)
        self.load_state_dict(_their_weights(ours.state_dict()))

    def forward(self, features: Mapping[str, Tensor]) -> list[tuple[Tensor, Tensor]]:
        pixel = self.pixel(list(features.values()), output_attentions=False, output_hidden_states=False)
        out = self.decoder(pixel.multi_scale_features, pixel.mask_features)
        classes = [self.classifier(x.transpose(0, 1)) for x in out.intermediate_hidden_states]
        return list(zip(classes, out.masks_queries_logits, strict=True))


def drawn_features(batch: int, channels: int, side: int) -> dict[str, Tensor]:
    """Maps for an image of `side` x 1.5 `side` pixels."""
    shapes = [(stride, side // stride, side * 3 // 2 // stride) for stride in (4, 8, 16, 32)]
    return {f"res{i + 2}": torch.randn(batch, channels, *shape[1:]) for i, shape in enumerate(shapes)}
