"""The front door: load a trained model by name, folder or file, and use it from Python:

    import eva_vision

    model = eva_vision.load("eva02_L_coco_det_sys_o365")
    results = model.predict("photo.jpg")
    results[0].plot().save("out.png")

Nothing heavy is imported before a model is loaded.
"""

from typing import TYPE_CHECKING

from eva_backbone.errors import InputError
from eva_backbone.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from .embedding import Embeddings, embed
    from .loading import load
    from .model import Model

__all__ = ["Embeddings", "InputError", "Model", "embed", "load"]


__getattr__ = lazy_exports(
    __name__, {"Embeddings": "embedding", "Model": "model", "embed": "embedding", "load": "loading"}
)
