"""A recipe with a group `fit` takes what it measures, unless the user gives another value."""

from detectron2.data import transforms as T

from eva_engine.config import load_config, save_config

SIZES = "model.proposal_generator.anchor_generator.sizes"


def sides(cfg):
    """Long side of the images in training and evaluation."""
    train = cfg.dataloader.train.mapper.augmentations[-1]
    (test,) = cfg.dataloader.test.mapper.augmentations
    assert train["_target_"] is T.ResizeScale
    assert train.target_height == train.target_width
    assert test.short_edge_length == test.max_size
    return train.target_width, test.max_size


def test_every_measured_quantity_is_set(write_data, fitted):
    cfg = fitted(write_data((640, 480), [[(80, 80)] * 4, [(80, 80)] * 6]))
    assert cfg.model.pixel_mean == [50, 100, 150]
    assert cfg.model.pixel_std == [50, 1, 50]
    assert sides(cfg) == (256, 256)  # 80 of 640 pixels become 32 of 256
    generator = cfg.model.proposal_generator.anchor_generator
    assert generator.sizes == [[25.4], [32.0], [40.3]]
    assert generator.aspect_ratios == [0.8, 1.0, 1.25]
    assert cfg.model.proposal_generator.head.num_anchors == 3
    assert cfg.model.roi_heads.num_classes == 1
    assert cfg.train.max_iter == 100 * 2 // 4  # 100 epochs of two images in batches of four
    assert cfg.train.checkpointer.period == 12
    assert cfg.fit is None
    assert cfg.measured == {
        "images": 2,
        "objects": 10,
        "most_objects_in_an_image": 6,
        "pixel_mean": [50, 100, 150],
        "pixel_std": [50, 1, 50],
        "image_size": [640, 480],
        "small_objects": 80,
        "image_side": 256,
        "anchor_coverage": 1,
    }


def test_values_of_the_user_are_kept(write_data, fitted):
    given = ["model.pixel_mean=[1,2,3]", f"{SIZES}=[[7,8],[9,10],[11,12]]", "train.max_iter=17", "fit.image_side=160"]
    cfg = fitted(write_data((640, 480), [[(80, 80)]]), *given)
    assert cfg.model.pixel_mean == [1, 2, 3]
    assert cfg.model.pixel_std == [1, 1, 1]
    assert cfg.model.proposal_generator.anchor_generator.sizes == [[7, 8], [9, 10], [11, 12]]
    assert cfg.model.proposal_generator.head.num_anchors == 6  # two sizes and three ratios
    assert cfg.train.max_iter == 17
    assert cfg.train.checkpointer.period == 4
    assert sides(cfg) == (160, 160)


def test_a_given_part_of_a_measured_value_keeps_all_of_it(write_data, fitted):
    cfg = fitted(write_data((640, 480), [[(80, 80)]]), "dataloader.train.mapper.augmentations.5.max_scale=1.5")
    assert cfg.dataloader.train.mapper.augmentations[5].max_scale == 1.5
    assert cfg.dataloader.train.mapper.augmentations[5].target_width == 384  # of the recipe
    assert cfg.dataloader.test.mapper.augmentations[0].max_size == 256


def test_nothing_is_fitted_without_the_group(write_data, fitted):
    cfg = fitted(write_data((640, 480), [[(80, 80)]]), "fit=null")
    assert cfg.model.pixel_mean == [123.675, 116.28, 103.53]
    assert "measured" not in cfg


def test_weights_keep_their_statistics_and_the_number_of_their_anchors(write_data, fitted):
    data = write_data((640, 480), [[(4, 4), (9, 9), (40, 40), (200, 200), (400, 400)]])
    cfg = fitted(data, "train.init_checkpoint=weights.pth")
    assert cfg.model.pixel_mean == [123.675, 116.28, 103.53]
    assert [len(level) for level in cfg.model.proposal_generator.anchor_generator.sizes] == [1, 1, 1]
    assert "pixel_mean" not in cfg.measured


def test_the_area_of_an_image_is_limited_and_its_aspect_kept(write_data, fitted):
    data = write_data((1000, 500), [[(12, 12)]])
    cfg = fitted(data, "fit.pixels_per_image=100000", "fit.least_object_side=1")
    assert sides(cfg) == (448, 448)  # 448 x 224 pixels
    cfg = fitted(data, "fit.pixels_per_image=20000", "fit.least_object_side=1")
    assert sides(cfg) == (192, 192)


def test_small_objects_of_large_photos_are_trained_on_in_crops_and_found_in_slices(write_data, fitted, tmp_path):
    cfg = fitted(write_data((3000, 2000), [[(25, 25)]]))
    crop = cfg.dataloader.train.mapper.augmentations[0]
    assert crop["_target_"] is T.RandomCrop
    assert crop.crop_size == [400, 400]  # 25 of 400 pixels become 20 of 320
    assert sides(cfg) == (320, 320)
    assert cfg.dataloader.inference.slice_size == 400
    assert cfg.dataloader.test.mapper.resize is False
    assert cfg.model.proposal_generator.anchor_generator.sizes == [[15.9], [20.0], [25.2]]
    save_config(cfg, tmp_path / "config.yaml")
    assert load_config(str(tmp_path / "config.yaml")).dataloader.train.mapper.augmentations[0].crop_size == [400, 400]


def test_many_objects_raise_every_limit_on_their_number(write_data, fitted):
    cfg = fitted(write_data((640, 480), [[(80, 80)] * 200]))
    heads, rpn = cfg.model.roi_heads, cfg.model.proposal_generator
    assert heads.box_predictors[2].test_topk_per_image == 300
    assert rpn.post_nms_topk == [600, 600]
    assert rpn.pre_nms_topk == [1200, 1200]
    assert (rpn.batch_size_per_image, heads.batch_size_per_image) == (256, 128)
    assert cfg.dataloader.evaluator.max_dets_per_image == 300
    few = fitted(write_data((640, 480), [[(80, 80)] * 20]))
    assert few.model.roi_heads.box_predictors[2].get("test_topk_per_image") == 100
    assert few.dataloader.evaluator.get("max_dets_per_image") is None


def test_the_saved_config_has_the_values_and_is_not_fitted_again(write_data, fitted, tmp_path):
    data = write_data((640, 480), [[(80, 80)]])
    cfg = fitted(data)
    save_config(cfg, tmp_path / "config.yaml")
    saved = load_config(str(tmp_path / "config.yaml"))
    assert saved.fit is None
    assert saved.model.pixel_mean == cfg.model.pixel_mean
    assert saved.model.proposal_generator.anchor_generator.sizes == [[25.4], [32.0], [40.3]]
    assert saved.measured.image_side == 256
    again = fitted(data, "dataloader.test.mapper.augmentations.0.max_size=99", recipe=str(tmp_path / "config.yaml"))
    assert again.dataloader.train.mapper.augmentations[-1].target_width == 256
