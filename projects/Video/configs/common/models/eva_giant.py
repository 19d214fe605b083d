from detectron2.config import LazyCall as L

from eva_video import MODELS, VideoClassifier, VideoStateDictAdapter

model = L(VideoClassifier)(
    **MODELS["eva_giant_patch14_video"],
    img_size=224,
    # Frames per clip; the data loaders use the same number.
    num_frames=16,
    num_classes=400,
    # "mean" normalises the mean patch token of all frames; "class" takes the class token after the final norm.
    pooling="mean",
    # Label smoothing of the loss. The targets of mixup and CutMix have their own.
    smoothing=0.1,
    # Stochastic depth rate of the last block; it grows linearly from 0 at the first block.
    drop_path_rate=0.2,
    # Describes the weight file to start from. A head of num_classes gives its rows head_rows to this model's classes;
    # any other head is initialised randomly. num_frames and img_size are needed only if the number of positions in the
    # file is ambiguous.
    state_dict_adapter=L(VideoStateDictAdapter)(num_frames=None, img_size=None, num_classes=None, head_rows=None),
)
