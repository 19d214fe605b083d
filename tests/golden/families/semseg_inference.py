"""Sliding windows, the order of resize, softmax, flip and padding, and the sizes of test images."""

import torch
from torch.nn import functional as F

from eva_semseg.data.test_time_augmentation import next_multiple, rescaled_size
from eva_semseg.inference import view_probabilities
from eva_semseg.sliding_windows import SlidingWindows

from ..case import GoldenCase, family
from ..listed_draws import assert_near, draw_inputs, draw_weights


@family("slide_inference")
def check_slide_inference(case: GoldenCase) -> None:
    spec = case.spec
    weights = draw_weights(spec["weights"], spec["seed_weights"])
    inputs = draw_inputs(spec["inputs"], spec["seed_inputs"], spec.get("input_sha256"))

    def score(pixels: torch.Tensor) -> torch.Tensor:
        return F.conv2d(pixels, weights["weight"], weights["bias"], padding=weights["weight"].shape[-1] // 2)

    for batch_size in (1, 3, 64):
        windows = SlidingWindows(tuple(spec["crop"]), tuple(spec["stride"]), batch_size)
        for index, image in enumerate(spec["images"]):
            pixels, size, original = inputs[f"img{index}"], tuple(image["size"]), tuple(image["ori"])
            assert_near(windows(score, pixels).rows(), case.arrays[f"slide{index}"], f"slide{index}")
            assert_near(
                windows(score, pixels, output_size=original).rows(),
                case.arrays[f"slide_rescaled{index}"],
                f"slide_rescaled{index}",
            )
            scores = windows(score, pixels, content=size, output_size=original)
            assert_near(view_probabilities(scores), case.arrays[f"prob{index}"], f"prob{index}")

        padded, views = spec["pad_case"], spec["aug_case"]
        content, original = tuple(padded["content"]), tuple(padded["ori"])
        pixels = torch.zeros_like(inputs["padded"])
        pixels[:, :, : content[0], : content[1]] = inputs["padded"][:, :, : content[0], : content[1]]
        scores = windows(score, pixels, content=content, output_size=original)
        assert_near(scores.rows(), case.arrays["unpad_slide"], "unpad_slide")
        probabilities = view_probabilities(scores, flipped=padded["flip"] == "horizontal")
        assert_near(probabilities, case.arrays["unpad_prob_flip"], "unpad_prob_flip")

        total = 0
        for index, size in enumerate(views["sizes"]):
            for flipped in (False, True):
                pixels = inputs[f"aug{index}"].flip(3) if flipped else inputs[f"aug{index}"]
                scores = windows(score, pixels, content=tuple(size), output_size=tuple(views["ori"]))
                total = total + view_probabilities(scores, flipped=flipped)
        mean = total / (2 * len(views["sizes"]))
        assert_near(mean, case.arrays["aug_prob"], "aug_prob")
        assert mean[0].argmax(0).equal(case.tensor("aug_pred"))


@family("test_sizes")
def check_test_sizes(case: GoldenCase) -> None:
    for height, width, long_side, short_side, *expected in case.arrays["rows"].tolist():
        resized = rescaled_size(height, width, long_side, short_side)
        multiples = tuple(next_multiple(side, 32) for side in resized)
        padded = tuple(max(side, 896) for side in resized)
        assert [*resized, *multiples, *padded] == expected, (height, width)
