"""The published weight files of EVA-CLIP.

Names and folders are those that the tables of the original release link to; licences, sizes and SHA-256 are those that
the repositories state. What is left out was not known.
"""

from eva_engine.published_weights.table import PublishedFile

BAAI = ("BAAI/EVA", "MIT")
EVA_CLIP = ("QuanSun/EVA-CLIP", "MIT")

FILES = (
    PublishedFile("eva_clip_psz14.pt", *BAAI, "2.27 GB"),
    PublishedFile(
        "eva_clip_vis_enc_sz224_ftcls_89p1.pt",
        *BAAI,
        "4.05 GB",
        "51f83209c7a0e02b3ee96d849eb81a58f38ff4cd39b0f62c9d9c0785760a212d",
    ),
    PublishedFile(
        "eva_clip_vis_enc_sz336_ftcls_89p4.pt",
        *BAAI,
        "4.05 GB",
        "b6f654439c61a850e45dd19307cf344a6fe47caddc9ed00bf117df4fbc956c72",
    ),
    PublishedFile(
        "EVA01_CLIP_g_14_psz14_s11B.pt",
        *EVA_CLIP,
        "2.27 GB",
        "fe1d3a90bb88c3816a8c708b8a16c11c93cc323ec9e7bc7a0e8b979449fa9785",
    ),
    PublishedFile("EVA01_CLIP_g_14_plus_psz14_s11B.pt", *EVA_CLIP, "2.73 GB"),
    PublishedFile(
        "EVA02_CLIP_B_psz16_s8B.pt",
        *EVA_CLIP,
        "300 MB",
        "4aab21dd652dc19aab7ff2302e5a07582d7838e8a3b26c80d697115fb0c6ddf0",
    ),
    PublishedFile(
        "EVA02_CLIP_L_psz14_s4B.pt",
        *EVA_CLIP,
        "856 MB",
        "1ce4a40dfa4b7a2fb5bd059a49400daacb11d5a01653ae4f3459b1ff28ee5ace",
    ),
    PublishedFile(
        "EVA02_CLIP_L_336_psz14_s6B.pt",
        *EVA_CLIP,
        "856 MB",
        "84c3a17a228c567a155259b2245b0b59072bf7da510260a0a02ec54de6d50b05",
    ),
    PublishedFile("EVA02_CLIP_E_psz14_s4B.pt", *EVA_CLIP, "9.41 GB"),
    PublishedFile(
        "EVA02_CLIP_E_psz14_plus_s9B.pt",
        *EVA_CLIP,
        "10.1 GB",
        "7cfb55832d0011e36e3ac1d5d575895ef61dc03fd43895506a66f6aa697b9b1c",
    ),
    PublishedFile(
        "EVA01_g_psz14.pt", *EVA_CLIP, "2.02 GB", "d4666de65a65efe4f4fa6906c66ded8d2708abac7ea15c6af9698104f89ca7c6"
    ),
    PublishedFile(
        "EVA02_B_psz14to16.pt", *EVA_CLIP, "176 MB", "3265b59721720a2cd60093f6364ae08fe13c4b7823e18b3ceff546f43a9a5f56"
    ),
    PublishedFile(
        "EVA02_L_psz14.pt", *EVA_CLIP, "609 MB", "b7da3b39600e1ad367010bc38d3053dd707a4eead43499a1203d511bc7c9bf1b"
    ),
    PublishedFile(
        "EVA02_CLIP_L_psz14_224to336.pt",
        *EVA_CLIP,
        "857 MB",
        "0aa4830c11ea6440bdd28c27a6c4c6d316e2eb8b6f8304551ea45f463395f22d",
    ),
    PublishedFile(
        "EVA02_E_psz14.pt", *EVA_CLIP, "8.7 GB", "6b1f72a3910b3bf86a7280448e37d4a3d1dcdf3f3117be51285472c7c8066588"
    ),
)
