"""Test loaders where every process must make as many forward passes."""

import pytest
from detectron2.evaluation import DatasetEvaluator

from detectron2_ext.engine.distributed import even_batches
from detectron2_ext.engine.distributed.even_batches import EvenBatches, ignore_padding
from eva_backbone.errors import InputError


class Recorder(DatasetEvaluator):
    def reset(self):
        self.seen = []

    def process(self, inputs, outputs):
        self.seen.append((inputs, outputs))

    def evaluate(self):
        return {"n": len(self.seen)}


@pytest.mark.parametrize(("lengths", "handed_out"), [([2, 2], ["a", "b"]), ([2, 4], ["a", "b", "b", "b"])])
def test_last_batch_is_repeated_and_not_counted(lengths, handed_out, monkeypatch):
    monkeypatch.setattr(even_batches.comm, "all_gather", lambda _: lengths)
    batches = EvenBatches(["a", "b"])
    recorder = Recorder()
    evaluator = ignore_padding(recorder, batches)
    for _ in range(2):  # twice: as evaluations during training are
        evaluator.reset()
        passed = []
        for batch in batches:
            passed.append(batch)
            evaluator.process(batch, batch.upper())
        assert passed == handed_out
        assert len(batches) == len(handed_out)
        assert recorder.seen == [("a", "A"), ("b", "B")]
        assert evaluator.evaluate() == {"n": 2}


def test_process_without_images_is_refused(monkeypatch):
    monkeypatch.setattr(even_batches.comm, "all_gather", lambda _: [1, 0])
    with pytest.raises(InputError, match="fewer batches of test images than the 2 processes"):
        EvenBatches(["a"])
