"""The video classifier: joint space-time attention over the patches of all frames, one feature per clip, a head."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from eva_classification import Classifier

from .state_dict_adapter import VideoStateDictAdapter


class VideoClassifier(Classifier):
    """The image classifier over clips: patches of some frames each, a position for every frame, row and column.

    Every patch attends to all patches of all frames. One class token stands in front of them for the whole clip; with
    mean pooling it takes part in attention only.

    Args:
        num_classes: outputs of the head, K.
        num_frames: length of a clip, T. Other lengths are taken too, with positions resized in time.
        tubelet_size: frames per patch.
        starting: how weights of other clips and other classes are brought to this model.
        options: further arguments of `Classifier` and of the backbone.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        num_frames: int,
        tubelet_size: int = 1,
        starting: VideoStateDictAdapter | None = None,
        **options: Any,
    ) -> None:
        super().__init__(num_classes, num_frames=num_frames, tubelet_size=tubelet_size, **options)
        self.starting = starting or VideoStateDictAdapter()

    def forward(self, batch: Tensor | Mapping[str, Any]) -> Tensor | dict[str, Tensor]:
        """Logits [B, K], or in training the losses.

        Args:
            batch: normalised clips [B, 3, T, H, W], for logits; or {"video": clips, "label": class numbers [B] or mixed
                targets [B, K]}, for the losses in training and logits in evaluation, where no label is needed.

        Raises:
            InputError: labels of another number of classes, as far as they are on the CPU.
        """
        if not isinstance(batch, Tensor):
            batch = {**batch, "image": batch["video"]}
        return super().forward(batch)

    def adapt_state_dict(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """New values for entries of `weights`, of an image model or another clip, that do not fit this model as they
        are; called when a file is loaded.

        Raises:
            InputError: a position table whose frames and rows cannot be told.
        """
        times, rows, columns = self.pos_grid
        return self.starting.adapt(weights, self.state_dict(keep_vars=True), (times, rows, columns))
