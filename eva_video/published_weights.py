"""The published weight files of video classification.

Names and folders are those that the tables of the original release link to; licences, sizes and SHA-256 are those that
the repositories state. What is left out was not known.
"""

from eva_engine.published_weights.table import PublishedFile

BAAI = ("BAAI/EVA", "MIT")

FILES = (
    PublishedFile(
        "eva_video_k400.pth", *BAAI, "4.07 GB", "756be59e7a9622f429117e5adbe10aadd19963cef2e0faf1c00ab803ea45fe74"
    ),
    PublishedFile(
        "eva_video_k600.pth", *BAAI, "4.07 GB", "6203cb02547d6342ecc4c6c7e1f8ee95d8e30940669bf746a864a24bad9b0cca"
    ),
    PublishedFile(
        "eva_video_k700.pth", *BAAI, "4.07 GB", "eea1ca95a030f7c479d95e4e8894043558ab3bbf34db25a895e32b004da44066"
    ),
    PublishedFile(
        "eva_video_k722.pth", *BAAI, "4.06 GB", "eaf827cb18bc654e60f8e256d4fa9241805bf4f2762caf64ec62d2e50270b954"
    ),
)
