"""The type that a name stands for on a device, and parts of a model that stay in float32."""

import pytest
import torch
from torch import nn

from eva_backbone.errors import InputError
from eva_engine import inference_precision
from eva_engine.inference_precision import (
    FLOAT32,
    InferencePrecision,
    choose_precision,
    convert_for_inference,
    log_what_bfloat16_saves,
)

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)
BFLOAT16 = InferencePrecision(torch.bfloat16, torch.bfloat16)
FLOAT16 = InferencePrecision(torch.float16, torch.float16)
OLD, COOPER_LAKE, SAPPHIRE_RAPIDS = "avx2 avx512f", "avx512f avx512_bf16", "amx_bf16 avx512_bf16 avx512_fp16"


@pytest.fixture
def processor(monkeypatch, tmp_path):
    """Return a function that sets the flags of the processor."""

    def set_flags(flags: str, key: str = "flags\t\t") -> None:
        (tmp_path / "cpuinfo").write_text(f"processor\t: 0\n{key}: fpu {flags}\nbugs\t: bf16\n")
        monkeypatch.setattr(inference_precision, "_CPU_FLAGS", tmp_path / "cpuinfo")

    return set_flags


@pytest.mark.parametrize(
    ("flags", "name", "expected"),
    [
        (OLD, "auto", FLOAT32),
        (COOPER_LAKE, "auto", BFLOAT16),
        (SAPPHIRE_RAPIDS, "auto", BFLOAT16),
        (OLD, "bfloat16", InferencePrecision(torch.bfloat16, torch.float32)),
        (COOPER_LAKE, "float16", InferencePrecision(torch.float16, torch.float32)),
        (SAPPHIRE_RAPIDS, "float16", FLOAT16),
        (SAPPHIRE_RAPIDS, "float32", FLOAT32),
    ],
)
def test_types_on_processors(flags, name, expected, processor):
    processor(flags)
    assert choose_precision(name, CPU) == expected


def test_processors_of_arm(processor):
    processor("fp asimd bf16", key="Features\t")
    assert choose_precision("auto", CPU) == BFLOAT16


def test_a_system_without_a_list_of_flags(monkeypatch, tmp_path):
    monkeypatch.setattr(inference_precision, "_CPU_FLAGS", tmp_path / "missing")
    assert choose_precision("auto", CPU) == FLOAT32


@pytest.mark.parametrize(("capability", "expected"), [((9, 0), BFLOAT16), ((7, 5), FLOAT16)])
def test_types_on_cuda(capability, expected, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert choose_precision("auto", CUDA) == expected


def test_the_log_names_both_types():
    assert str(BFLOAT16) == "weights in bfloat16"
    assert str(InferencePrecision(torch.float16, torch.float32)) == "weights in float16, computing in float32"


def test_unknown_type():
    with pytest.raises(InputError, match="dtype='half' is not known; choose one of float32, bfloat16, float16, auto"):
        choose_precision("half", CPU)


class Scorer(nn.Module):
    float32_parts = ("scores", "encoder.table", "missing.part")

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(3, 4, 2), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 8))
        self.encoder.table = nn.Parameter(torch.zeros(2))
        self.scores = nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.scores(self.encoder(x))


class ScorerWithHead(Scorer):
    float32_parts = ("head",)

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Parameter(torch.zeros(2))


def test_parts_of_a_model_and_of_its_base_classes():
    model = ScorerWithHead().eval()
    convert_for_inference(model, BFLOAT16)
    low = {name for name, parameter in model.named_parameters() if parameter.dtype == torch.bfloat16}
    assert low == {"encoder.0.weight", "encoder.0.bias", "encoder.3.weight", "encoder.3.bias"}
    assert model(torch.randn(5, 3, 2, 2)).dtype == torch.float32


@pytest.mark.parametrize(
    ("width", "flags", "expected"),
    [
        (15_000, COOPER_LAKE, "the weights would take 0.5 GB instead of 0.9 GB"),
        (15_000, OLD, ""),
        (50, COOPER_LAKE, ""),
    ],
)
def test_advice_for_a_large_model(width, flags, expected, processor, caplog):
    processor(flags)
    with torch.device("meta"):
        model = nn.Linear(width, width)
    with caplog.at_level("INFO"):
        log_what_bfloat16_saves(model, CPU)
    assert expected in caplog.text
    assert len(caplog.records) == bool(expected)
