"""Evaluation: the fraction of right angles."""

from detectron2.evaluation import DatasetEvaluator


class RotationEvaluator(DatasetEvaluator):
    """Accuracy in percent."""

    def reset(self) -> None:
        self.right = self.total = 0

    def process(self, inputs: dict, outputs) -> None:
        self.right += int((outputs.argmax(1).cpu() == inputs["label"]).sum())
        self.total += len(outputs)

    def evaluate(self) -> dict:
        return {"rotation": {"accuracy": 100 * self.right / self.total}}
