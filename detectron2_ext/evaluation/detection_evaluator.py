"""Base class of the COCO and LVIS evaluators."""

import logging
import time
from abc import abstractmethod
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets.coco import convert_to_coco_json
from detectron2.evaluation import DatasetEvaluator
from detectron2.evaluation.coco_evaluation import instances_to_coco_json
from detectron2.utils import comm
from detectron2.utils.logger import create_small_table
from omegaconf import DictConfig

from eva_backbone.errors import InputError
from eva_engine.data.dataset_folder import missing_file_hint
from eva_engine.processes import run_on_rank_zero
from eva_engine.report.sections import Section
from eva_engine.training.distributed.gathering import gather_records, gather_values

from ..mask_windows import EncodedMasks, encode_window, find_window
from .diagnosis import Diagnosis
from .ground_truth import GroundTruth, read_ground_truth
from .precision_recall import PrecisionRecall
from .predictions import to_category_ids, to_numbers
from .result_files import THRESHOLD_FILE, write_category_table, write_predictions, write_thresholds
from .score_thresholds import threshold_record

logger = logging.getLogger(__name__)

TASKS = ("bbox", "segm")
AP_METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl")


class DetectionEvaluator(DatasetEvaluator):
    """Collect detections, gather them from all processes, write them to a file and compute metrics.

    Args:
        dataset_name: A dataset registered with Detectron2.
        tasks: A subset of "bbox" and "segm"; by default those that both the predictions and the annotations have.
        distributed: Gather the predictions of all processes and evaluate on rank 0; otherwise each process evaluates
            its own predictions.
        output_dir: Folder for the predictions, in COCO's result format, and for the AP of each category; None writes no
            files.
        max_dets_per_image: Number of detections that count; see the subclasses.
        backend: Library that computes the metrics.

    Attributes:
        backends: Names of the supported libraries.
        predictions_file: Name of the file of predictions.
        limit_is_per_category: Whether `max_dets_per_image` applies to each category, or to all together.
        metric_names: Metrics of all tasks, as "bbox/AP"; an evaluation returns those of its tasks.

    Raises:
        InputError: The dataset, a task or the backend is unknown, or the annotation file is not usable.
    """

    backends: tuple[str, ...]
    predictions_file: str
    limit_is_per_category: bool
    metric_names: tuple[str, ...]

    def __init__(
        self,
        dataset_name: str,
        tasks: Sequence[str] | None,
        distributed: bool,
        output_dir: str | None,
        max_dets_per_image: int,
        backend: str,
    ) -> None:
        if backend not in self.backends:
            raise InputError(f"The evaluation backend is {backend!r}, expected one of {self.backends}.")
        if not isinstance(max_dets_per_image, int) or max_dets_per_image < 1:
            raise InputError(f"max_dets_per_image is {max_dets_per_image!r}, expected a positive integer.")
        unknown = [task for task in tasks or () if task not in TASKS]
        if unknown:
            raise InputError(f"The evaluation task {unknown[0]!r} is unknown, expected one of {TASKS}.")
        truth = _load_ground_truth(dataset_name, Path(output_dir) if output_dir else None)
        if "segm" in (tasks or ()) and truth.annotations and not truth.has_masks:
            raise InputError(
                f"{truth.source} has boxes only, so the task 'segm' cannot be evaluated; "
                "leave it out of the evaluator's tasks."
            )
        self._dataset_name = dataset_name
        self._tasks = tuple(task for task in TASKS if task in tasks) if tasks else None
        self._distributed = distributed
        self._output_dir = Path(output_dir) if output_dir else None
        self._max_dets = max_dets_per_image
        self._backend = backend
        self._ground_truth = truth
        self.reset()

    @abstractmethod
    def _measure(self, results: list[dict], task: str) -> PrecisionRecall:
        """Match `results`, which have the numbers of the ground truth for ids, with the ground truth."""

    @abstractmethod
    def _diagnose(self, results: list[dict]) -> Diagnosis:
        """Match the boxes of `results`, as for `_measure`, and return the status of each."""

    @abstractmethod
    def _metrics(self, curves: PrecisionRecall) -> dict[str, float]:
        """Return the metrics under Detectron2's names, in percent."""

    @abstractmethod
    def _category_ids(self) -> dict[int, int]:
        """Return {class index of the model: category id of the dataset}."""

    def reset(self) -> None:
        """Discard the predictions of all images."""
        self._predictions: list[dict] = []
        self._num_images = 0
        self._predicts_masks = False
        self._files: list[dict] = []  # of the images, for the explanation
        self._results: list[dict] = []  # of the last evaluation, in COCO's format
        self._rows: list[dict] = []

    def process(self, inputs: list[dict], outputs: list[dict]) -> None:
        """Record the "instances" of each output under the "image_id" of its input.

        Boxes are in pixels of the original image, and masks have its size: [N, height, width], or `EncodedMasks`.
        """
        for source, output in zip(inputs, outputs, strict=True):
            instances = output["instances"].to("cpu")
            # Taken from the instances, not from the records: an image without detections has no records.
            self._predicts_masks |= instances.has("pred_masks")
            masks = instances.get_fields().pop("pred_masks", ())
            records = instances_to_coco_json(instances, source["image_id"])
            if isinstance(masks, EncodedMasks):
                rles = masks.rles
            else:
                rles = [encode_window(find_window(mask.numpy()), mask.shape) for mask in masks]
            for record, rle in zip(records, rles, strict=bool(rles)):
                record["segmentation"] = {**rle, "counts": rle["counts"].decode()}
            self._predictions += records
            self._num_images += 1
            if "file_name" in source:
                self._files.append({"image_id": source["image_id"], "file": source["file_name"]})

    def evaluate(self) -> dict[str, dict[str, float]]:
        """Return the metrics by task, {"bbox": {"AP": ..., ...}, "segm": ...}, on rank 0 and {} on all other ranks.

        Gathering the predictions of several processes removes them: call `reset` before the next evaluation.

        Raises:
            InputError: The predictions do not belong to the dataset: image ids or classes are unknown, or masks have
                another size. The error is raised on all ranks.
        """
        predictions, num_images, predicts_masks = self._predictions, self._num_images, self._predicts_masks
        if not self._distributed or comm.get_world_size() == 1:
            return self._score(predictions, num_images, predicts_masks)
        counts, have_masks = zip(*gather_values((num_images, predicts_masks)), strict=True)
        predictions, self._files = gather_records(predictions), gather_records(self._files)
        return run_on_rank_zero(lambda: self._score(predictions, sum(counts), any(have_masks))) or {}

    def _score(self, predictions: list[dict], num_images: int, predicts_masks: bool) -> dict[str, dict[str, float]]:
        if not num_images:
            logger.warning("No image was processed, so there is nothing to evaluate.")
            return {}
        results = to_category_ids(predictions, self._category_ids(), self._ground_truth)
        if self._output_dir:
            self._output_dir.mkdir(parents=True, exist_ok=True)
            write_predictions(self._output_dir / self.predictions_file, results)
            logger.info("%d detections are in %s.", len(results), self._output_dir / self.predictions_file)
        if not self._ground_truth.is_annotated:
            logger.info("%s has no annotations to compare with.", self._ground_truth.source)
            return {}
        self._report_limit(results)
        metrics, rows = {}, []
        for task in self._choose_tasks(bool(results), predicts_masks):
            start = time.perf_counter()
            curves = self._measure(to_numbers(results, task, self._ground_truth), task)
            metrics[task] = self._metrics(curves)
            rows += self._category_rows(curves, task)
            seconds = time.perf_counter() - start
            # The AP of each category is in the table of categories.
            table = create_small_table({k: v for k, v in metrics[task].items() if not k.startswith("AP-")})
            logger.info("Evaluation of %s by %s (%.1f s):\n%s", task, self._backend, seconds, table)
        if self._output_dir:
            write_category_table(self._output_dir, rows)
            logger.info("The AP of each category is in %s.", self._output_dir / "per_category_ap.csv")
        self._results, self._rows = results, rows
        return metrics

    def explain(self, cfg: DictConfig, loader: Any) -> list[Section]:
        """Explain the last evaluation; also write score_threshold.json, the suggested threshold, to `output_dir`.

        See `eva_engine.report.explanation.Explains`; the evaluator has seen all that it needs.

        Returns:
            Sections about the boxes; their numbers are those of hotcoco. [] if nothing was evaluated.
        """
        del cfg, loader
        if not self._rows:
            return []
        # Here, because they import this package.
        from ..report.explained import Explained
        from ..report.explanation import explain_detections

        diagnosis = self._diagnose(to_numbers(self._results, "bbox", self._ground_truth))
        names = list(self._class_names().values())
        thresholds = threshold_record(diagnosis.counts(), names)
        if self._output_dir:
            write_thresholds(self._output_dir, thresholds)
            logger.info("Suggested score thresholds are in %s.", self._output_dir / THRESHOLD_FILE)
        mask_ap = {row["category"]: row["AP"] for row in self._rows if row["task"] == "segm"}
        files = {self._ground_truth.image_numbers[record["image_id"]]: record["file"] for record in self._files}
        return explain_detections(Explained(diagnosis, names, self._results, files, mask_ap))

    def _report_limit(self, results: list[dict]) -> None:
        counts: Counter[tuple] = Counter()
        for result in results:
            counts[result["image_id"], result["category_id"] if self.limit_is_per_category else None] += 1
        images = {image for (image, _), count in counts.items() if count > self._max_dets}
        if images:
            logger.info(
                "%d images have more detections%s than the %d with the highest scores that count (max_dets_per_image).",
                len(images),
                " of a category" if self.limit_is_per_category else "",
                self._max_dets,
            )

    def _choose_tasks(self, has_detections: bool, predicts_masks: bool) -> tuple[str, ...]:
        if self._tasks is None:
            if predicts_masks and self._ground_truth.has_masks:
                return TASKS
            return ("bbox",)
        if "segm" in self._tasks and has_detections and not predicts_masks:
            raise InputError(
                "The model predicts no masks, so the task 'segm' cannot be evaluated; leave it out of the evaluator's "
                "tasks or give the model a mask head."
            )
        return self._tasks

    def _category_rows(self, curves: PrecisionRecall, task: str) -> list[dict]:
        counts = Counter(a["category_id"] for a in self._ground_truth.annotations if not a["iscrowd"])
        names = self._class_names()
        rows = []
        for category_id, number in self._ground_truth.category_numbers.items():
            row = {
                "task": task,
                "category_id": category_id,
                "category": names[category_id],
                "num_ground_truths": counts[number],
            }
            row.update(curves.category_metrics(number - 1))  # numbers start at 1, columns at 0
            rows.append(row)
        return rows

    def _class_names(self) -> dict[int, str]:
        """Return {category id of the file: class name}, with the registered name if there is one, else the file's."""
        truth = self._ground_truth
        registered = dict(enumerate(MetadataCatalog.get(self._dataset_name).get("thing_classes") or ()))
        by_id = {category_id: registered.get(index) for index, category_id in self._category_ids().items()}
        return {
            category_id: by_id.get(category_id) or truth.categories[number - 1]["name"]
            for category_id, number in truth.category_numbers.items()
        }


def _load_ground_truth(dataset_name: str, output_dir: Path | None) -> GroundTruth:
    metadata = MetadataCatalog.get(dataset_name)
    json_file = metadata.get("json_file")
    if json_file is None:
        if dataset_name not in DatasetCatalog.list():
            raise InputError(
                f"The dataset {dataset_name!r} is not registered; register it or correct the evaluator's dataset_name."
            )
        if output_dir is None:
            raise InputError(
                f"The dataset {dataset_name!r} has no annotation file in COCO format; give the evaluator an "
                "output_dir to write one to."
            )
        json_file = output_dir / f"{dataset_name}_coco_format.json"
        convert_to_coco_json(dataset_name, str(json_file), allow_cached=False)
    hint = missing_file_hint(dataset_name, json_file)
    return read_ground_truth(json_file, hint, on_error=metadata.get("on_error", "stop"))
