from detectron2.config import LazyCall as L

from detectron2_ext.modeling import lvis_v1_federated_weights


def use_lvis_heads(model, score_thresh, topk):
    """Use heads for the 1203 classes of LVIS v1: sigmoid classification with the federated loss over 50 classes.

    Detections have a score above `score_thresh`, and an image has at most `topk` of them.
    """
    model.roi_heads.num_classes = 1203
    for predictor in model.roi_heads.box_predictors:
        predictor.update(
            test_score_thresh=score_thresh,
            test_topk_per_image=topk,
            use_sigmoid_ce=True,
            use_fed_loss=True,
            fed_loss_num_classes=50,
            # Absent classes are sampled with a probability proportional to (number of training images) ** power.
            get_fed_loss_cls_weights=L(lvis_v1_federated_weights)(power=0.5),
        )
