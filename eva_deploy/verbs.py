"""The commands for the use of trained models outside of training."""

from eva_engine.tasks import EVERY_TASK, Verb

VERBS = {
    "serve": Verb("try a model on a page in the browser, or by HTTP requests", "eva_deploy.commands.serve", EVERY_TASK),
    "export-model": Verb(
        "write a model for ONNX Runtime, OpenVINO or torch.export, and compare it with the original",
        "eva_deploy.commands.export_model",
        EVERY_TASK,
    ),
    "benchmark": Verb(
        "measure speed, memory and accuracy of a model in several formats", "eva_deploy.commands.benchmark", EVERY_TASK
    ),
}
