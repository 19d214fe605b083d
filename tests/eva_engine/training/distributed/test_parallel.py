"""Two processes take the same steps as one, with a replicated or a sharded model."""

import importlib.util

import pytest
from sharded_runs import LORA, run_in_two_processes, train

LOW = {"amp": {"enabled": True, "dtype": "bfloat16"}}
COMPILED = {"compile": True}
FSDP, OFFLOAD = {"parallel": "fsdp"}, {"parallel": "fsdp", "fsdp": {"cpu_offload": True}}
CASES = {
    "ddp": {},
    "ddp in micro-batches": {"accumulation_steps": 2},
    "fsdp": FSDP,
    "fsdp with offload, in micro-batches": {**OFFLOAD, "accumulation_steps": 2},
    "fsdp, blocks kept gathered": {"parallel": "fsdp", "fsdp": {"reshard_after_forward": False}},
    "fsdp, blocks recomputed": {**FSDP, "activation_checkpointing": "torch"},
    "fsdp in bfloat16": {**FSDP, **LOW},
    "ddp, compiled, in micro-batches": {"accumulation_steps": 2, **COMPILED},
    "fsdp, compiled": {**FSDP, **COMPILED},
    "fsdp in bfloat16, compiled, blocks recomputed": {**FSDP, **LOW, "activation_checkpointing": "torch", **COMPILED},
}
if importlib.util.find_spec("peft"):
    CASES["ddp, low-rank"] = {"lora": LORA}
    CASES["fsdp, low-rank, blocks recomputed"] = {**FSDP, "lora": LORA, "activation_checkpointing": "torch"}
    CASES["fsdp, low-rank, compiled"] = {**FSDP, "lora": LORA, **COMPILED}


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    results = run_in_two_processes(list(CASES.values()), tmp_path_factory.mktemp("two") / "results.json")
    return dict(zip(CASES, results, strict=True))


@pytest.mark.parametrize("case", CASES)
def test_losses_and_gradients_are_those_of_one_process(case, two):
    """Equal up to the order of sums in float32.

    In bfloat16 up to a few roundings (2^-8 each) of the blocks' outputs: sharded blocks also round their biases.
    """
    single = {key: value for key, value in CASES[case].items() if key in ("lora", "amp")}
    steps, held = train(single)
    tolerance = 1e-2 if "bfloat16" in case else 1e-5
    assert [loss for loss, _ in two[case][0]] == pytest.approx([loss for loss, _ in steps], rel=tolerance)
    assert [norm for _, norm in two[case][0]] == pytest.approx([norm for _, norm in steps], rel=10 * tolerance)
    fraction = two[case][1] / held
    assert fraction == 1 if "ddp" in case else 0.5 <= fraction < 0.51
