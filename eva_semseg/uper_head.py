"""UperNet's heads: the decode head with pooled context and a feature pyramid, and the auxiliary head of training.

Source: Xiao et al., "Unified perceptual parsing for scene understanding", 2018.
"""

from collections.abc import Mapping, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eva_backbone.errors import check_num_classes

from .batch_norm import SyncBatchNorm
from .feature_maps import FEATURE_NAMES, STRIDES


class ConvNormRelu(nn.Module):
    """Convolution without bias that keeps the size of a map, batch normalisation and ReLU."""

    def __init__(self, dim_in: int, dim_out: int, kernel_size: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(dim_in, dim_out, kernel_size, padding=kernel_size // 2, bias=False)
        self.bn = SyncBatchNorm(dim_out)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, dim_in, H, W] to [B, dim_out, H, W]."""
        return F.relu(self.bn(self.conv(x)), inplace=True)


class PixelClassifier(nn.Module):
    """Base of the heads: predicts the classes of the pixels of a map with one linear layer, `conv_seg`.

    Args:
        num_classes: Number of classes, K.
        channels: Channels of the map.
        dropout_ratio: Fraction of channels that are dropped before the layer in training.
    """

    float32_parts = ("conv_seg",)

    def __init__(self, num_classes: int, channels: int, dropout_ratio: float) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.conv_seg = _classifier(channels, num_classes)
        self.dropout = nn.Dropout2d(dropout_ratio)

    def reset_classifier(self, num_classes: int) -> None:
        """Replace `conv_seg` with a new layer for `num_classes` classes."""
        check_num_classes(num_classes)
        self.num_classes = num_classes
        new = _classifier(self.conv_seg.in_channels, num_classes)
        self.conv_seg = new.to(self.conv_seg.weight)  # same device and dtype

    def classify(self, x: Tensor) -> Tensor:
        """Return logits [B, K, H, W] of a map [B, channels, H, W]."""
        return self.conv_seg(self.dropout(x))


class UPerHead(PixelClassifier):
    """Predicts class logits at stride 4 from the four maps of the backbone.

    The coarsest map is joined with averages over regions of several sizes, so that a pixel sees the scene around it.
    From there, maps are added top-down to the finer ones; all four levels together give the logits.

    Args:
        num_classes: Number of classes, K.
        in_channels: Channels of the backbone's maps.
        channels: Width of the head.
        pool_scales: Numbers of rows and columns of the averaged regions.
        dropout_ratio: See `PixelClassifier`.
    """

    stride = STRIDES[0]

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        *,
        channels: int,
        pool_scales: Sequence[int] = (1, 2, 3, 6),
        dropout_ratio: float = 0.1,
    ) -> None:
        super().__init__(num_classes, channels, dropout_ratio)
        self.psp_modules = nn.ModuleList()
        for scale in pool_scales:
            pool = AdaptiveAveragePool(scale)
            self.psp_modules.append(nn.Sequential(pool, ConvNormRelu(in_channels, channels, 1)))
        self.bottleneck = ConvNormRelu(in_channels + len(pool_scales) * channels, channels, 3)
        self.lateral_convs = nn.ModuleList()
        self.fpn_convs = nn.ModuleList()
        for _ in FEATURE_NAMES[:-1]:
            self.lateral_convs.append(ConvNormRelu(in_channels, channels, 1))
            self.fpn_convs.append(ConvNormRelu(channels, channels, 3))
        self.fpn_bottleneck = ConvNormRelu(len(FEATURE_NAMES) * channels, channels, 3)

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """Return logits [B, K, H / 4, W / 4] of maps "res2" to "res5" [B, in_channels, H / s, W / s]."""
        *fine, coarsest = (features[name] for name in FEATURE_NAMES)
        pooled = [_resize(module(coarsest), coarsest) for module in self.psp_modules]
        level = self.bottleneck(torch.cat([coarsest, *pooled], dim=1))
        outputs = [level]
        convs = zip(fine, self.lateral_convs, self.fpn_convs, strict=True)
        for feature, lateral_conv, fpn_conv in reversed(list(convs)):
            lateral = lateral_conv(feature)
            level = lateral + _resize(level, lateral)
            outputs.insert(0, fpn_conv(level))
        outputs = [_resize(output, outputs[0]) for output in outputs]
        return self.classify(self.fpn_bottleneck(torch.cat(outputs, dim=1)))


class AdaptiveAveragePool(nn.AdaptiveAvgPool2d):
    """PyTorch's layer, which exported programs for maps of any size compute as two matrix products.

    ONNX has no such operator, and the exporter replaces it correctly only if it knows the size of the map.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, H, W] to [B, C, output_size, output_size]."""
        if not torch.compiler.is_exporting() or type(x.shape[2]) is int:  # unknown ones are `SymInt`
            return super().forward(x)
        rows, columns = (averaging_matrix(size, cast(int, self.output_size), x) for size in x.shape[2:])
        return rows @ x @ columns.T


def averaging_matrix(length: int, num_parts: int, like: Tensor) -> Tensor:
    """Return the matrix [num_parts, length] of adaptive average pooling along an axis, in the type of `like`.

    Part i is the mean from floor(i * length / num_parts) to ceil((i + 1) * length / num_parts), exclusive.
    """
    part = torch.arange(num_parts, device=like.device)[:, None]
    start = part * length // num_parts
    stop = ((part + 1) * length + num_parts - 1) // num_parts
    position = torch.arange(length, device=like.device)
    inside = (position >= start) & (position < stop)
    return (inside / (stop - start)).to(like.dtype)


class FCNHead(PixelClassifier):
    """Predicts class logits at stride 16; an additional loss on them helps the backbone in training.

    Args:
        num_classes: Number of classes, K.
        in_channels: Channels of the backbone's maps.
        channels: Width of the head.
        dropout_ratio: See `PixelClassifier`.
    """

    stride = STRIDES[2]

    def __init__(self, num_classes: int, in_channels: int, *, channels: int = 256, dropout_ratio: float = 0.1) -> None:
        super().__init__(num_classes, channels, dropout_ratio)
        self.convs = nn.Sequential(ConvNormRelu(in_channels, channels, 3))

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """Return logits [B, K, H / 16, W / 16] of the map "res4" [B, in_channels, H / 16, W / 16]."""
        return self.classify(self.convs(features[FEATURE_NAMES[2]]))


def _classifier(channels: int, num_classes: int) -> nn.Conv2d:
    layer = nn.Conv2d(channels, num_classes, 1)
    nn.init.normal_(layer.weight, std=0.01)
    nn.init.zeros_(cast("Tensor", layer.bias))
    return layer


def _resize(x: Tensor, target: Tensor) -> Tensor:
    """Resize a map [B, C, h, w] bilinearly to the size of `target` [B, C, H, W]."""
    return F.interpolate(x, size=target.shape[2:], mode="bilinear", align_corners=False)
