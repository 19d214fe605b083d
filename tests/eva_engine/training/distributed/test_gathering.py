"""Evaluation in several processes: same metrics as in one, bounded memory, and errors on all ranks."""

import json

import pytest
from gathering_processes import CHUNK_SIZE, RECORDS_PER_PROCESS, run_processes

from eva_backbone.errors import InputError
from eva_engine.processes import run_on_rank_zero
from eva_engine.training.distributed import gathering


@pytest.fixture(scope="module", params=[2, 3])
def processes(request, tmp_path_factory) -> list[dict]:
    return run_processes(request.param, tmp_path_factory.mktemp("gathering"))


def test_records_come_in_the_order_of_ranks_and_leave_their_process(processes):
    first, *others = processes
    expected = [(rank, number) for rank in range(len(processes)) for number in range((7, 0, 6)[rank])]
    assert [(record["rank"], record["number"]) for record in first["gathered"]] == expected
    assert all(other["gathered"] == [] for other in others)
    assert all(process["left"] == [] for process in processes)
    assert all(process["values"] == [10 * rank for rank in range(len(processes))] for process in processes)


def test_metrics_are_those_of_one_process(processes):
    first, *others = processes
    assert first["metrics"]["metrics"]["segm"]["AP"] > 0
    assert json.dumps(first["metrics"]) == json.dumps(first["alone"])
    assert all(other["metrics"] == {"metrics": {}, "order": []} for other in others)


def test_only_rank_zero_runs_the_action(processes):
    assert [process["rank_zero"] for process in processes] == ["from 0"] + [None] * (len(processes) - 1)
    assert [process["broadcast"] for process in processes] == ["from 0"] * len(processes)


def test_an_input_error_is_raised_on_all_ranks(processes):
    messages = {process["wrong_image"] for process in processes}
    assert len(messages) == 1
    assert messages.pop().startswith("InputError: There are predictions for image -5, which")


def test_another_error_is_unchanged_on_rank_zero_and_stops_the_others(processes):
    first, *others = [process["defect"] for process in processes]
    assert first == "KeyError: 'missing'"
    assert set(others) == {"RuntimeError: rank 0 failed with KeyError: 'missing'"}


def test_rank_zero_holds_every_record_once_plus_one_chunk(processes):
    memory, *others = [process["memory"] for process in processes]
    assert memory["gathered"] == RECORDS_PER_PROCESS * len(processes)
    chunk = memory["own"] * CHUNK_SIZE / RECORDS_PER_PROCESS
    # A chunk arrives as bytes, which exist twice while they are turned into records.
    assert memory["peak"] < len(processes) * memory["own"] + 4 * chunk
    for other in others:
        assert len(other["at_send"]) == RECORDS_PER_PROCESS / CHUNK_SIZE + 1
        assert other["at_send"][len(other["at_send"]) // 2] < 0.7 * other["own"]
        assert other["at_send"][-1] < 2 * chunk
        assert other["peak"] < other["own"] + 4 * chunk


def test_a_single_process_needs_no_group():
    records = [{"image_id": 1}]
    assert gathering.gather_records(records) == [{"image_id": 1}]
    assert gathering.gather_values(3) == [3]
    assert run_on_rank_zero(lambda: 5) == 5

    def refuse() -> None:
        raise InputError("a sentence")

    with pytest.raises(InputError, match="a sentence"):
        run_on_rank_zero(refuse)
