"""The video classifier: joint space-time attention over the patches of all frames, one feature per clip, a head."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from eva_classification import Classifier

from .state_dict_adapter import VideoStateDictAdapter


class VideoClassifier(Classifier):
    """Classify clips with the image classifier, applied to tubelets: patches that span one or several frames.

    Every tubelet attends to all tubelets of all frames, and each frame, row and column has its own position embedding.
    One class token for the entire clip precedes them; with mean pooling it takes part in attention only.

    Args:
        num_classes: Number of outputs of the head, K.
        num_frames: Frames per clip, T. Clips of other lengths are accepted too; the positions are resized in time.
        tubelet_size: Frames per patch.
        state_dict_adapter: Describes weight files of other models, whose positions and head are adapted to this model
            when they are loaded.
        options: Other arguments of `Classifier` and of the backbone.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        num_frames: int,
        tubelet_size: int = 1,
        state_dict_adapter: VideoStateDictAdapter | None = None,
        **options: Any,
    ) -> None:
        super().__init__(num_classes, num_frames=num_frames, tubelet_size=tubelet_size, **options)
        self.state_dict_adapter = state_dict_adapter or VideoStateDictAdapter()

    def forward(self, batch: Tensor | Mapping[str, Any]) -> Tensor | dict[str, Tensor]:
        """Return logits [B, K], or the losses in training mode.

        Args:
            batch: Normalised clips [B, 3, T, H, W], which always give logits; or {"video": clips, "label": class
                indices [B] or mixed targets [B, K]}, which gives the losses in training mode. In evaluation mode it
                gives logits and needs no label.

        Raises:
            InputError: Labels on the CPU do not fit the number of classes.
        """
        if not isinstance(batch, Tensor):
            batch = {**batch, "image": batch["video"]}
        return super().forward(batch)

    def adapt_state_dict(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return new values for the entries of `weights` that come from an image model or from other clips or classes.

        Called when a file is loaded; see `VideoStateDictAdapter.adapt`.

        Raises:
            InputError: The grid of the position table cannot be determined.
        """
        num_steps, rows, columns = self.pos_grid
        return self.state_dict_adapter.adapt(weights, self.state_dict(keep_vars=True), (num_steps, rows, columns))
