"""Video data: frame indices, crops, pixels of the evaluation, mixup and cutmix."""

import re

import numpy as np
import torch

from eva_video.data.crops import crop_corners, crop_sizes
from eva_video.data.mixing import cutmix, mixup, soft_targets
from eva_video.data.sampling import EvaluationFrameSampler, TrainingFrameSampler
from eva_video.data.transforms import EvaluationTransform

from ..case import GoldenCase, family

_FRAMES = re.compile(r"(test|train|multiview(\d+))_T(\d+)")


@family("frame indices")
def check_frame_numbers(case: GoldenCase) -> None:
    spec = case.spec
    for name in spec["arrays"]:
        mode, num_clips, length = _FRAMES.fullmatch(name).groups()
        if mode == "train":
            choose = TrainingFrameSampler(int(length))
        else:
            choose = EvaluationFrameSampler(int(length), int(num_clips or 1), mode="random")
        for row, total in enumerate(spec["total_frames"]):
            np.random.seed(1000 + row + spec["seed_offset"])
            np.testing.assert_array_equal(choose(total), case.arrays[name][row], err_msg=f"{name}, {total} frames")


@family("candidate (w,h) sizes and (x,y) offsets of the training crop")
def check_crops(case: GoldenCase) -> None:
    size, scales = case.spec["input_size"], case.spec["scales"]
    for crop in case.spec["cases"]:
        height, width = crop["h"], crop["w"]
        sizes = crop_sizes(height, width, size, scales)
        if crop["sizes"] is not None:
            assert [list(pair) for pair in sizes] == crop["sizes"]
        crop_width, crop_height = sizes[crop["pick"]]
        assert [crop_height, crop_width] == crop["crop_hw"]
        corners = crop_corners(height, width, crop_height, crop_width)
        assert [list(corner) for corner in corners] == crop["offsets_xy"]


@family("evaluation transform, frames in -> normalised tensor out")
def check_evaluation_pixels(case: GoldenCase) -> None:
    for number, options in enumerate(case.spec["cases"]):
        generator = np.random.Generator(np.random.PCG64(options["frame_seed"]))
        shape = (options["n"], options["h"], options["w"], 3)
        frames = generator.integers(0, 256, shape, dtype=np.uint8)
        np.random.seed(options["np_seed"])
        chosen = EvaluationFrameSampler(options["T"], options["clip"], mode="random")(len(frames))
        transform = EvaluationTransform(options["size"], options["crop"])
        prepared = np.stack([transform.prepare(frame) for frame in frames[chosen]])
        pixels, _ = transform(prepared, options["clip"])
        expected = case.arrays[f"imgs_{number}"]
        frame_major = pixels.transpose(0, 2, 1, 3, 4).reshape(expected.shape)  # [V, 3, T, ...] to [V * T, 3, ...]
        np.testing.assert_allclose(frame_major, expected, rtol=0, atol=1e-4)


@family("mixup / cutmix of one batch given the drawn numbers")
def check_mixing(case: GoldenCase) -> None:
    for number, options in enumerate(case.spec["cases"]):
        generator = np.random.Generator(np.random.PCG64(options["input_seed"]))
        drawn = generator.standard_normal(options["input_shape"]).astype(np.float32)
        clips = torch.from_numpy(drawn).transpose(1, 2)  # [B, T, 3, H, W] to [B, 3, T, H, W]
        targets = soft_targets(torch.tensor(options["hard_labels"]), options["classes"], options["smoothing"])
        permutation = torch.tensor(options["perm"])
        if options["kind"] == "mixup":
            mixed, targets = mixup(clips, targets, options["drawn_lambda"], permutation)
        else:
            mixed, targets = cutmix(clips, targets, tuple(options["box_x1y1x2y2"]), permutation)
        expected = case.tensor(f"imgs_{number}")
        torch.testing.assert_close(mixed.transpose(1, 2), expected, rtol=0, atol=1e-6)
        torch.testing.assert_close(targets, case.tensor(f"label_{number}"), rtol=0, atol=1e-6)
