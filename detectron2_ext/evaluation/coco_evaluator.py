"""COCO metrics as a Detectron2 evaluator."""

from collections.abc import Sequence

from detectron2.data import MetadataCatalog

from .coco_metrics import coco_limits, evaluate_with_hotcoco, measure_coco
from .detection_evaluator import AP_METRICS, TASKS, DetectionEvaluator
from .diagnosis import Diagnosis
from .precision_recall import PrecisionRecall


class COCOEvaluator(DetectionEvaluator):
    """Box and mask AP by COCO's rules, for any dataset with a COCO-format annotation file.

    `evaluate` returns {"bbox": {...}, "segm": {...}} with Detectron2's keys AP, AP50, AP75, APs, APm, APl and, for two
    or more categories, AP-<class>, in percent; NaN where there is no ground truth. Unlike in Detectron2's evaluator, a
    model that detects nothing gets 0, as in pycocotools, and annotations may lack `area` and `iscrowd`.

    The evaluator writes coco_instances_results.json, per_category_ap.json and per_category_ap.csv to `output_dir`, and
    `explain` writes score_threshold.json.

    Args:
        dataset_name: A dataset registered with Detectron2.
        tasks: A subset of "bbox" and "segm"; by default those that both the predictions and the annotations have.
        distributed: Gather the predictions of all processes and evaluate on rank 0; otherwise each process evaluates
            its own predictions.
        output_dir: Folder for the files; None writes no files.
        max_dets_per_image: Number of detections with the highest scores that count per image and category; None means
            COCO's 100.
        backend: "hotcoco" or "pycocotools". Both give the same numbers; pycocotools is 20 (masks) to 50 (boxes) times
            slower.

    Raises:
        InputError: The dataset, a task or the backend is unknown, or the annotation file is not usable.
    """

    backends = ("hotcoco", "pycocotools")
    predictions_file = "coco_instances_results.json"
    limit_is_per_category = True
    metric_names = tuple(f"{task}/{metric}" for task in TASKS for metric in AP_METRICS)

    def __init__(
        self,
        dataset_name: str,
        tasks: Sequence[str] | None = None,
        distributed: bool = True,
        output_dir: str | None = None,
        *,
        max_dets_per_image: int | None = None,
        backend: str = "hotcoco",
    ) -> None:
        limit = 100 if max_dets_per_image is None else max_dets_per_image
        super().__init__(dataset_name, tasks, distributed, output_dir, limit, backend)

    def _measure(self, results: list[dict], task: str) -> PrecisionRecall:
        return measure_coco(self._ground_truth, results, task, self._max_dets, self._backend)

    def _diagnose(self, results: list[dict]) -> Diagnosis:
        evaluation = evaluate_with_hotcoco(self._ground_truth, results, "bbox", self._max_dets)
        return Diagnosis(evaluation, self._ground_truth, results, coco_limits(self._max_dets))

    def _metrics(self, curves: PrecisionRecall) -> dict[str, float]:
        metrics = curves.ap_metrics()
        names = self._class_names()
        if len(names) > 1:
            for category_id, number in self._ground_truth.category_numbers.items():
                metrics[f"AP-{names[category_id]}"] = curves.category_metrics(number - 1)["AP"]
        return metrics

    def _category_ids(self) -> dict[int, int]:
        registered = MetadataCatalog.get(self._dataset_name).get("thing_dataset_id_to_contiguous_id")
        if registered is None:
            return dict(enumerate(self._ground_truth.category_numbers))
        return {index: category_id for category_id, index in registered.items()}
