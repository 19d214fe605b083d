from pathlib import Path

import hotcoco.semantic
import numpy as np
import pytest
import torch
from detectron2.evaluation import sem_seg_evaluation
from PIL import Image
from synthetic_labels import write_image, write_labels

from eva_backbone.errors import InputError
from eva_semseg.data import SegmentationDataset
from eva_semseg.evaluation import SegmentationEvaluator
from eva_semseg.evaluation.worst_images import WorstImages

CLASSES = ["a", "b", "c", "absent"]


@pytest.fixture
def images(tmp_path):
    for index in range(3):
        rng = np.random.default_rng(index)
        labels = rng.choice([0, 1, 2, 255], size=(12, 15))
        write_image(tmp_path / f"images/{index}.png", 12, 15)
        write_labels(tmp_path / f"labels/{index}.png", labels)
    return SegmentationDataset(
        image_root=str(tmp_path / "images"), label_root=str(tmp_path / "labels"), class_names=CLASSES
    )


def predict(index: int, num_classes: int = 4) -> torch.Tensor:
    return torch.randn(num_classes, 12, 15, generator=torch.Generator().manual_seed(index))


def test_metrics_follow_the_published_definition(images) -> None:
    evaluator = SegmentationEvaluator(images)
    evaluator.reset()
    counts = np.zeros((4, 4))
    for index, record in enumerate(images):
        found = predict(index)
        evaluator.process([record], [{"sem_seg": found}])
        labels, predicted = np.array(Image.open(record["sem_seg_file_name"])), found.argmax(0).numpy()
        for truth, guess in zip(labels.ravel(), predicted.ravel(), strict=True):
            if truth != 255:
                counts[truth, guess] += 1
    results = evaluator.evaluate()["sem_seg"]
    correct, actual, predicted = np.diag(counts)[:3], counts.sum(1)[:3], counts.sum(0)[:3]
    assert results["aAcc"] == pytest.approx(100 * correct.sum() / counts.sum())
    assert results["mAcc"] == pytest.approx(100 * np.mean(correct / actual))
    assert results["mIoU"] == pytest.approx(100 * np.mean(correct / (actual + predicted - correct)))
    assert results["IoU-b"] == pytest.approx(100 * correct[1] / (actual[1] + predicted[1] - correct[1]))
    assert list(results)[:3] == ["mIoU", "aAcc", "mAcc"]
    assert all(type(value) is float for value in results.values())


def test_predictions_are_written_to_a_folder(images, tmp_path) -> None:
    evaluator = SegmentationEvaluator(images, output_dir=str(tmp_path / "out"))
    evaluator.reset()
    evaluator.process([images[0]], [{"sem_seg": predict(0)}])
    evaluator.evaluate()
    assert (tmp_path / "out/sem_seg_predictions.json").is_file()


def test_labels_of_another_size(images) -> None:
    evaluator = SegmentationEvaluator(images)
    evaluator.reset()
    with pytest.raises(InputError, match=r"0\.png: the labels are 15x12 pixels, the image is 14x12"):
        evaluator.process([images[0]], [{"sem_seg": predict(0)[:, :, :14]}])


def test_a_model_with_another_number_of_classes(images) -> None:
    evaluator = SegmentationEvaluator(images)
    evaluator.reset()
    with pytest.raises(InputError, match="the model has 5 classes, the data 4"):
        evaluator.process([images[0]], [{"sem_seg": predict(0, 5)}])


def test_counts_of_all_processes_are_added_up(images, monkeypatch) -> None:
    parts = [SegmentationEvaluator(images) for _ in range(2)]
    whole = SegmentationEvaluator(images)
    for evaluator in (*parts, whole):
        evaluator.reset()
    for index, record in enumerate(images):
        for evaluator in (parts[index % 2], whole):
            evaluator.process([record], [{"sem_seg": predict(index)}])
    expected = whole.evaluate()

    def gather(own: object) -> list:
        (name,) = (name for name, value in vars(parts[0]).items() if value is own)
        return [vars(part)[name] for part in parts]

    monkeypatch.setattr(sem_seg_evaluation, "all_gather", gather)
    assert parts[0].evaluate()["sem_seg"] == pytest.approx(expected["sem_seg"], nan_ok=True)


def test_only_rank_0_reports(images, monkeypatch) -> None:
    evaluator = SegmentationEvaluator(images)
    evaluator.reset()
    monkeypatch.setattr(sem_seg_evaluation, "is_main_process", lambda: False)
    assert evaluator.evaluate() == {}


def test_the_explanation_has_the_counts_of_hotcoco_and_the_worst_images(images) -> None:
    evaluator = SegmentationEvaluator(images)
    evaluator.reset()
    oracle = hotcoco.semantic.SemanticEval(CLASSES)
    accuracies = {}
    for index, record in enumerate(images):
        found, labels = predict(index), np.array(Image.open(record["sem_seg_file_name"]))
        evaluator.process([record], [{"sem_seg": found}])
        oracle.update(labels, found.argmax(0).numpy())
        right = (found.argmax(0).numpy() == labels)[labels != 255]
        accuracies[record["file_name"]] = right.mean()
    evaluator.evaluate()
    sections = {section.title: section for section in evaluator.explain(None, None)}
    oracle.summarize()
    (table,) = sections["Classes"].parts
    rows = {row[0]: row[1:] for row in table.rows}
    counts = oracle.confusion()
    for index, name in enumerate(CLASSES[:3]):
        union = counts[index].sum() + counts[:, index].sum() - counts[index, index]
        expected = [
            counts[index].sum() / counts.sum(),
            counts[index, index] / union,
            counts[index, index] / counts[index].sum(),
            counts[index, index] / counts[:, index].sum(),
        ]
        assert rows[name] == pytest.approx([100 * value for value in expected])
    assert rows["absent"] == [0.0, None, None, 0.0], "predicted, but without labelled pixels"
    assert f"{counts.trace() / counts.sum():.1%} of the labelled pixels" in sections["Classes"].note
    matrix, errors = sections["Confusions"].parts
    assert matrix.counts[0] == np.rint(100 * counts[0] / counts[0].sum()).tolist()
    off_diagonal = counts - np.diag(np.diag(counts))
    assert errors.rows[0][2] == off_diagonal.max()
    (grid,) = sections["Worst images"].parts
    assert [figure.caption for figure in grid.figures] == [
        f"{Path(file).name}: {accuracies[file]:.1%} of the labelled pixels are right"
        for file in sorted(accuracies, key=accuracies.get)
    ]
    assert [label for label, _ in grid.figures[0].images] == ["Image", "Ground truth", "Prediction", "Errors"]


def test_only_the_worst_images_are_kept() -> None:
    worst = WorstImages()
    for right in (5, 1, 9, 3, *range(10, 30), 30):
        counts = np.array([[right, 30 - right], [0, 0]])
        worst.add(counts, {"file_name": f"{right}.png"}, torch.zeros(2, 5, 6))
    assert [record["file"] for record in worst.images] == [f"{n}.png" for n in (1, 3, 5, 9, *range(10, 18))]
    worst.add(np.zeros((2, 2)), {"file_name": "unlabelled.png"}, torch.zeros(2, 5, 6))
    assert len(worst.images) == 12
