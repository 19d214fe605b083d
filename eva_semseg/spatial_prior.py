"""The spatial prior module: a small convolutional network parallel to the ViT, for detail lost by 16-pixel patches."""

from torch import Tensor, nn

from .batch_norm import SyncBatchNorm


def _conv(dim_in: int, dim_out: int, stride: int) -> list[nn.Module]:
    conv = nn.Conv2d(dim_in, dim_out, 3, stride=stride, padding=1, bias=False)
    return [conv, SyncBatchNorm(dim_out), nn.ReLU(inplace=True)]


class SpatialPrior(nn.Module):
    """Features of an image at strides 4, 8, 16 and 32, all as wide as the ViT.

    Args:
        dim: Width of the ViT, C.
        width: Channels at stride 4; the next strides have 2, 4 and 4 times as many.
    """

    def __init__(self, dim: int, width: int = 64) -> None:
        super().__init__()
        stem = [*_conv(3, width, 2), *_conv(width, width, 1), *_conv(width, width, 1)]
        self.stem = nn.Sequential(*stem, nn.MaxPool2d(3, stride=2, padding=1))
        self.conv2 = nn.Sequential(*_conv(width, 2 * width, 2))
        self.conv3 = nn.Sequential(*_conv(2 * width, 4 * width, 2))
        self.conv4 = nn.Sequential(*_conv(4 * width, 4 * width, 2))
        self.fc1 = nn.Conv2d(width, dim, 1)
        self.fc2 = nn.Conv2d(2 * width, dim, 1)
        self.fc3 = nn.Conv2d(4 * width, dim, 1)
        self.fc4 = nn.Conv2d(4 * width, dim, 1)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Compute the features of images [B, 3, H, W], whose sides must be multiples of 32.

        Returns:
            A map [B, C, H / 4, W / 4], and tokens [B, N, C] at strides 8, 16 and 32, row by row.
        """
        c1 = self.stem(pixels)
        c2 = self.conv2(c1)
        c3 = self.conv3(c2)
        c4 = self.conv4(c3)
        tokens = [fc(c).flatten(2).transpose(1, 2) for fc, c in ((self.fc2, c2), (self.fc3, c3), (self.fc4, c4))]
        return self.fc1(c1), *tokens
