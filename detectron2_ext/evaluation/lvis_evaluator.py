"""LVIS metrics as a Detectron2 evaluator."""

from collections.abc import Sequence

from detectron2.data import MetadataCatalog

from .detection_evaluator import AP_METRICS, TASKS, DetectionEvaluator
from .diagnosis import Diagnosis
from .lvis_metrics import check_lvis, evaluate_with_hotcoco, frequency_metrics, measure_lvis
from .precision_recall import PrecisionRecall


class LVISEvaluator(DetectionEvaluator):
    """Box and mask AP by LVIS's federated rules.

    `evaluate` returns {"bbox": {...}, "segm": {...}} with Detectron2's keys AP, AP50, AP75, APs, APm, APl and APr, APc,
    APf (rare, common, frequent categories), in percent; NaN where there is no ground truth, for which Detectron2's
    evaluator returns -100. A model that detects nothing gets 0.

    The evaluator writes lvis_instances_results.json, per_category_ap.json and per_category_ap.csv to `output_dir`, and
    `explain` writes score_threshold.json.

    Args:
        dataset_name: A dataset registered with Detectron2, whose annotation file has LVIS's category frequencies and
            per-image lists of category ids.
        tasks: A subset of "bbox" and "segm"; by default those that both the predictions and the annotations have.
        distributed: Gather the predictions of all processes and evaluate on rank 0; otherwise each process evaluates
            its own predictions.
        output_dir: Folder for the files; None writes no files.
        max_dets_per_image: Number of detections with the highest scores that count per image, over all categories.
        backend: "hotcoco" or "lvis". Both give the same numbers; "lvis" is slow and needs the package lvis.

    Raises:
        InputError: The dataset, a task or the backend is unknown, or the annotation file is not usable.
    """

    backends = ("hotcoco", "lvis")
    predictions_file = "lvis_instances_results.json"
    limit_is_per_category = False
    metric_names = tuple(f"{task}/{metric}" for task in TASKS for metric in (*AP_METRICS, "APr", "APc", "APf"))

    def __init__(
        self,
        dataset_name: str,
        tasks: Sequence[str] | None = None,
        distributed: bool = True,
        output_dir: str | None = None,
        *,
        max_dets_per_image: int | None = 300,
        backend: str = "hotcoco",
    ) -> None:
        limit = 300 if max_dets_per_image is None else max_dets_per_image
        super().__init__(dataset_name, tasks, distributed, output_dir, limit, backend)
        check_lvis(self._ground_truth)

    def _measure(self, results: list[dict], task: str) -> PrecisionRecall:
        return measure_lvis(self._ground_truth, results, task, self._max_dets, self._backend)

    def _diagnose(self, results: list[dict]) -> Diagnosis:
        evaluation, kept = evaluate_with_hotcoco(self._ground_truth, results, "bbox", self._max_dets)
        return Diagnosis(evaluation, self._ground_truth, kept, (self._max_dets,))

    def _metrics(self, curves: PrecisionRecall) -> dict[str, float]:
        return curves.ap_metrics() | frequency_metrics(curves, self._ground_truth)

    def _category_ids(self) -> dict[int, int]:
        """Return {class index: category id}, from the registered ids if there are any.

        Only the LVIS annotations of COCO's classes have registered ids; LVIS itself numbers its categories from 1.
        """
        metadata = MetadataCatalog.get(self._dataset_name)
        registered = metadata.get("thing_dataset_id_to_contiguous_id")
        if registered is not None:
            return {index: category_id for category_id, index in registered.items()}
        num_classes = max(*self._ground_truth.category_numbers, len(metadata.get("thing_classes", ())))
        return {index: index + 1 for index in range(num_classes)}
