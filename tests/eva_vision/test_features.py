"""Feature maps of the backbone, and embeddings of images and texts."""

import numpy as np
import pytest
import torch
from PIL import Image

import eva_vision
from eva_backbone.errors import InputError


def test_features_are_those_of_the_backbone(classifier, photos):
    model, predictor = classifier.model, classifier.model.predictor
    paths = [photos / "a.png", photos / "b.png"]
    features = model.features(paths, blocks=[0, -1])
    for path, maps in zip(paths, features, strict=True):
        pixels = predictor.transform(Image.open(path).convert("RGB"))[None]
        with torch.inference_mode():
            expected = predictor.model.forward_intermediates(pixels, indices=[0, 1], intermediates_only=True)
        for found, block in zip(maps, expected, strict=True):
            assert found.shape == (32, 2, 2)
            torch.testing.assert_close(found, block[0])


def test_features_of_a_detector(detector, photos):
    ((features,),) = detector.model.features(photos / "a.png")
    net = detector.model.predictor.model.backbone.net
    side = detector.model.predictor.model.square_size // net.patch_size
    assert features.shape == (net.embed_dim, side, side)


def test_features_are_those_of_the_whole_image_also_with_slices_or_views(detector, photos):
    model = detector.model
    expected = model.features(photos / "a.png")[0][0]
    keywords = {"config_file": detector.recipe, "overrides": detector.overrides, "device": "cpu"}
    for options in ({"slice_size": 60}, {"tta": True}):
        changed = eva_vision.load(detector.weights, **keywords, **options)
        torch.testing.assert_close(changed.features(photos / "a.png")[0][0], expected)


def test_a_number_of_numpy_is_one_block(classifier, photos):
    ((block,),) = classifier.model.features(photos / "a.png", blocks=np.int64(0))
    torch.testing.assert_close(block, classifier.model.features(photos / "a.png", blocks=0)[0][0])


def test_features_come_in_the_order_of_the_blocks_that_are_given(classifier, detector, photos):
    for model in (classifier.model, detector.model):
        ((first, last),) = model.features(photos / "a.png", blocks=[0, -1])
        assert not torch.equal(first, last)
        for blocks, expected in (([-1, 0], [last, first]), ((0, 0, -1), [first, first, last])):
            (found,) = model.features(photos / "a.png", blocks=blocks)
            assert len(found) == len(expected)
            assert all(map(torch.equal, found, expected))


@pytest.mark.parametrize("block", [7, -3, 1.5, "1", True])
def test_a_block_that_does_not_exist(classifier, photos, block):
    message = f"there is no block {block!r}; give the indices of blocks, whole numbers from 0 to 1"
    for blocks in (block, [0, block]):
        with pytest.raises(InputError, match=message):
            classifier.model.features(photos / "a.png", blocks=blocks)
    with pytest.raises(InputError, match="blocks is an empty list"):
        classifier.model.features(photos / "a.png", blocks=[])


def test_embeddings_have_length_one_and_give_the_scores_of_labels(clip, photos):
    found = eva_vision.embed(clip, images=photos, texts=["a photo of a cat.", "a photo of a dog."])
    assert found.images.shape[0] == found.texts.shape[0] == 2
    assert found.images.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found.images, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found.texts, axis=1), 1, rtol=1e-5)
    for result, image in zip(
        clip.predict(photos, labels=["cat", "dog"], templates="a photo of a {}."), found.images, strict=True
    ):
        cosines = (found.texts @ image)[result.class_ids]
        np.testing.assert_allclose(result.similarities, cosines, atol=1e-5)


def test_one_kind_of_embedding(clip, photos):
    images, texts = clip.embed(texts="a cat")
    assert images is None
    assert texts.shape == (1, clip.embed(images=photos / "a.png").images.shape[1])
    with pytest.raises(InputError, match="nothing to embed"):
        clip.embed()


@pytest.mark.parametrize("given", [{"images": []}, {"texts": []}])
def test_an_empty_list_has_no_embeddings(clip, given):
    (kind,) = given
    with pytest.raises(InputError, match=f"there are no {kind} to embed"):
        clip.embed(**given)


def test_labels_belong_to_a_call(clip, photos):
    assert clip.names == ()
    with pytest.raises(InputError, match="no labels to compare"):
        clip.predict(photos / "a.png")
    with pytest.raises(InputError, match="no labels to compare"):  # rather than a warning for each file of a folder
        clip.predict(photos)
    (result,) = clip.predict(photos / "a.png", labels=["red", "green", "blue"], top=2)
    assert result.class_names == ("red", "green", "blue")
    assert result.summary().count("%") == 2
    assert clip.names == ()
    with pytest.raises(InputError, match="the only label"):
        clip.predict(photos / "a.png", labels="red")


def test_only_models_with_texts_embed(classifier, photos):
    with pytest.raises(InputError, match="a model for classification has no features of texts"):
        classifier.model.embed(photos / "a.png")
