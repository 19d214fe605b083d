"""The published weight files of detection and instance segmentation.

Names and folders are those that the tables of the original release link to; licences, sizes and SHA-256 are those that
the repositories state. What is left out was not known.
"""

from eva_engine.published_weights.table import PublishedFile

BAAI = ("BAAI/EVA", "MIT")
EVA02 = ("Yuxin-CV/EVA-02", "Apache-2.0")

FILES = (
    PublishedFile("eva_o365.pth", *BAAI, "4.29 GB", "c2454f293f642b0194208134ec5a5003c0b3dc479922989c2b048e50cac01b30"),
    PublishedFile(
        "eva_coco_det.pth", *BAAI, "4.3 GB", "2cbbd46259851bad0052b418464cd866097e0e01bb60ae368b213ab040960650"
    ),
    PublishedFile(
        "eva_coco_seg.pth", *BAAI, "4.3 GB", "adada9bd836324265f4f821d2fc4c986fa2dccc351ed7a205b05fa49174c07fd"
    ),
    PublishedFile("eva_lvis.pth", *BAAI, "4.31 GB", "ca390ee17ebe229a638b1e4006ab16502097e10bde36d31a0cc13adf0f76f487"),
    PublishedFile(
        "eva02/det/eva02_L_m38m_to_o365.pth",
        *EVA02,
        "1.44 GB",
        "954a89e6a27fa7ecdce675e948ce5cef1d2ca858e3a37e78d38395e91cfddbe1",
    ),
    PublishedFile("eva02/det/eva02_L_in21k_to_o365.pth", *EVA02, "1.44 GB"),
    PublishedFile("eva02/det/eva02_B_coco_bsl.pth", *EVA02, "567 MB"),
    PublishedFile(
        "eva02/det/eva02_L_coco_bsl.pth",
        *EVA02,
        "1.45 GB",
        "5d1439fea39e8de68e7905bd794a72435fbe24e3055499cfe338a938479612e0",
    ),
    PublishedFile(
        "eva02/det/eva02_B_coco_sys.pth",
        *EVA02,
        "570 MB",
        "271135f196606fd964cedebe8d05bbbc11cca179daf8e86666912f79f0363f28",
    ),
    PublishedFile("eva02/det/eva02_L_coco_sys.pth", *EVA02, "1.45 GB"),
    PublishedFile("eva02/det/eva02_L_coco_det_sys_o365.pth", *EVA02, "1.45 GB"),
    PublishedFile("eva02/det/eva02_L_coco_seg_sys_o365.pth", *EVA02, "1.45 GB"),
    PublishedFile("eva02/det/eva02_B_lvis_bsl.pth", *EVA02, "582 MB"),
    PublishedFile("eva02/det/eva02_L_lvis_bsl.pth", *EVA02, "1.46 GB"),
    PublishedFile("eva02/det/eva02_L_lvis_sys.pth", *EVA02, "1.46 GB"),
    PublishedFile(
        "eva02/det/eva02_L_lvis_sys_o365.pth",
        *EVA02,
        "1.46 GB",
        "55c4b7478777b3a1d680003f56bd68c0fc15c7c93edd7774796c6d2b9c7b290f",
    ),
)
