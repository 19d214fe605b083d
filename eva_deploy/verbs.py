"""The commands of exported models."""

from eva_engine.tasks import EVERY_TASK, Verb

VERBS = {
    "export-model": Verb(
        "write a model for ONNX Runtime, OpenVINO or torch.export, and compare it with the original",
        "eva_deploy.commands.export_model",
        EVERY_TASK,
    )
}
