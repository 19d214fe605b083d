from detectron2.config import LazyCall as L

from eva_classification import MODELS
from eva_classification.mim import BlockMasking, MaskedImageModel
from eva_clip.teacher import EvaClipTeacher

model = L(MaskedImageModel)(
    img_size=224,
    # Any module that gives patch features [images, patches, teacher_dim]; it is frozen. This one is the image tower of
    # EVA-CLIP.
    teacher=L(EvaClipTeacher)(weights="eva_clip_psz14.pt", img_size="${model.img_size}"),
    teacher_dim=1024,
    masking=L(BlockMasking)(
        grid=(16, 16),
        # At most 105 of 256 patches are masked, a few less if no further block fits.
        num_masked=105,
        min_block=16,
        min_aspect=0.3,
    ),
    # Scale the gradient of the patch embedding by 0.1.
    slow_patch_embed=True,
    init="xavier",
)


def use_eva02(size, **options):
    """Choose "tiny", "small", "base" or "large", and other options of the model."""
    model.update({**MODELS[f"eva02_{size}_patch14"], **options})
