"""Inputs of EVA-CLIP's towers: pixels of an image, token ids of a text."""

import numpy as np
from PIL import Image

from eva_clip.tokenizer import Tokenizer
from eva_clip.transforms import evaluation_transform

from ..case import GoldenCase, family


@family("image preprocessing")
def check_preprocessing(case: GoldenCase) -> None:
    for number, settings in enumerate(case.spec["cases"]):
        bands = len(Image.new(settings["mode"], (1, 1)).getbands())
        shape = (settings["height"], settings["width"], *([bands] if bands > 1 else []))
        values = np.random.Generator(np.random.PCG64(settings["seed"])).integers(0, 256, shape, dtype=np.uint8)
        image = Image.fromarray(values)
        assert image.mode == settings["mode"]
        pixels = evaluation_transform(settings["size"])(image)
        np.testing.assert_array_equal(pixels, case.arrays[f"x_{number}"], err_msg=str(settings))


@family("tokenizer")
def check_tokenizer(case: GoldenCase) -> None:
    spec = case.spec
    tokenizer = Tokenizer()
    tables = [name for name in case.arrays if name.startswith("ids")]
    assert tables
    for name in tables:
        ids, cut = tokenizer.tokenize(spec["strings"], int(name.removeprefix("ids")))
        np.testing.assert_array_equal(ids, case.arrays[name], err_msg=name)
        lengths = [len(tokens) + 2 for tokens in spec["raw_ids"]]
        assert cut == [i for i, length in enumerate(lengths) if length > ids.shape[1]]
    assert [tokenizer.encode(text) for text in spec["strings"]] == spec["raw_ids"]
    assert [tokenizer.decode(tokens) for tokens in spec["raw_ids"]] == spec["decoded"]
    assert [len(tokens) + 2 > tokenizer.context_length for tokens in spec["raw_ids"]] == spec[
        "too_long_without_truncate"
    ]
