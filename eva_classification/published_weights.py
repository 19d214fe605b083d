"""The published weight files of image classification and masked image modelling.

Names and folders are those that the tables of the original release link to; licences, sizes and SHA-256 are those that
the repositories state. What is left out was not known.
"""

from eva_engine.published_weights.table import PublishedFile

BAAI = ("BAAI/EVA", "MIT")
EVA02 = ("Yuxin-CV/EVA-02", "Apache-2.0")

FILES = (
    PublishedFile("eva_psz14.pt", *BAAI, "2.02 GB", "d93dac1cb8c46d2b7d6f9ac6c6db8cba3f08a3ac4c24f2c8190763f609efae41"),
    PublishedFile("eva_psz14to16.pt", *BAAI, "2 GB"),
    PublishedFile(
        "eva_21k_224px_psz14.pt", *BAAI, "2.08 GB", "fa1a5f6a9e92272503891f08d99378e3119ed2ab601c6fdd64da7fbf3dc77827"
    ),
    PublishedFile(
        "eva_21k_1k_336px_psz14_ema_89p6.pt",
        *BAAI,
        "4.05 GB",
        "9519504a49b1aadf4c476329af045ebcf78c0d357d877fdcaa265f7628c4579e",
    ),
    PublishedFile(
        "eva_21k_1k_560px_psz14_ema_89p7.pt",
        *BAAI,
        "4.06 GB",
        "029a221e8af09d80ffbd5739c794cdd8a8ffc9c702da8cea266d35a344b7dbca",
    ),
    PublishedFile("eva02/pt/eva02_Ti_pt_in21k_p14.pt", *EVA02),
    PublishedFile("eva02/pt/eva02_S_pt_in21k_p14.pt", *EVA02),
    PublishedFile(
        "eva02/pt/eva02_B_pt_in21k_p14.pt",
        *EVA02,
        "1.21 GB",
        "e5950aad2b263ed6c5410dc6c73af3a9c0201e95d14db7e17f527251d792fa24",
    ),
    PublishedFile(
        "eva02/pt/eva02_B_pt_in21k_p14to16.pt",
        *EVA02,
        "1.21 GB",
        "ba3d9c09683e4a8aea52e8575644102a8abab1786f8b7e5ead0c68d6a65b2d76",
    ),
    PublishedFile(
        "eva02/pt/eva02_L_pt_in21k_p14.pt",
        *EVA02,
        "609 MB",
        "8b8de52c6bb561b6e8b82d3ad949784e315400a72c6c0303cfcacad01af51635",
    ),
    PublishedFile(
        "eva02/pt/eva02_L_pt_in21k_p14to16.pt",
        *EVA02,
        "613 MB",
        "7ad33c9cad01f8f6a3dba32264cdafaa1731e2be267f5072afaa214eb3591ac4",
    ),
    PublishedFile("eva02/pt/eva02_L_pt_m38m_p14.pt", *EVA02),
    PublishedFile("eva02/pt/eva02_L_pt_m38m_p14to16.pt", *EVA02),
    PublishedFile("eva02/cls/in21k/eva02_B_pt_in21k_medft_in21k_p14.pt", *EVA02),
    PublishedFile("eva02/cls/in21k/eva02_L_pt_in21k_medft_in21k_p14.pt", *EVA02),
    PublishedFile("eva02/cls/in21k/eva02_L_pt_m38m_medft_in21k_p14.pt", *EVA02),
    PublishedFile("eva02/cls/in1k/eva02_Ti_pt_in21k_ft_in1k_p14.pt", *EVA02, "104 MB"),
    PublishedFile("eva02/cls/in1k/eva02_S_pt_in21k_ft_in1k_p14.pt", *EVA02, "399 MB"),
    PublishedFile("eva02/cls/in1k/eva02_B_pt_in21k_ft_in1k_p14.pt", *EVA02, "1.57 GB"),
    PublishedFile("eva02/cls/in1k/eva02_L_pt_in21k_ft_in1k_p14.pt", *EVA02, "1.83 GB"),
    PublishedFile("eva02/cls/in1k/eva02_L_pt_m38m_ft_in1k_p14.pt", *EVA02, "1.83 GB"),
    PublishedFile("eva02/cls/in21k_to_in1k/eva02_B_pt_in21k_medft_in21k_ft_in1k_p14.pt", *EVA02, "524 MB"),
    PublishedFile("eva02/cls/in21k_to_in1k/eva02_L_pt_in21k_medft_in21k_ft_in1k_p14.pt", *EVA02, "1.83 GB"),
    PublishedFile("eva02/cls/in21k_to_in1k/eva02_L_pt_m38m_medft_in21k_ft_in1k_p14.pt", *EVA02, "1.83 GB"),
)
