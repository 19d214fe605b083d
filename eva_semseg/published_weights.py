"""The published weight files of semantic segmentation.

Names and folders are those that the tables of the original release link to; licences, sizes and SHA-256 are those that
the repositories state. What is left out was not known.
"""

from eva_engine.published_weights.table import PublishedFile

BAAI = ("BAAI/EVA", "MIT")
EVA02 = ("Yuxin-CV/EVA-02", "Apache-2.0")

FILES = (
    PublishedFile(
        "eva_sem_seg_mask2former_cocostuff_53p4.pth",
        *BAAI,
        "5.12 GB",
        "721dd76504d919f803bc879dd02549aa0e2303e7ec13fe5b1788ec10da2db878",
    ),
    PublishedFile(
        "eva_sem_seg_mask2former_ade_ss61p5_ms62p3.pth",
        *BAAI,
        "5.12 GB",
        "ed0b47dd364345a9c9c67b689b2179e4fc4e982cdf303a30539df621a197b078",
    ),
    PublishedFile(
        "eva_sem_seg_mask2former_cocostuff_relpos_layerscale_9dec_53p2.pth",
        *BAAI,
        "8.37 GB",
        "e7082d75f8b33dfc28a50c3fffd0f723c0a094c3a6c4f4b55de1408fcd6d76d8",
    ),
    PublishedFile("eva_sem_seg_mask2former_ade_relpos_layerscale_9dec_ss61p5_ms62p3.pth", *BAAI),
    PublishedFile("eva02/seg/eva02_B_ade_seg_upernet_sz512.pth", *EVA02),
    PublishedFile("eva02/seg/eva02_L_ade_seg_upernet_sz512.pth", *EVA02),
    PublishedFile("eva02/seg/eva02_L_ade_seg_upernet_sz640.pth", *EVA02),
)
