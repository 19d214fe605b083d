"""The exported files that the verbs of the engine accept in place of weights, registered in pyproject.toml."""

from eva_engine.exported_models import ModelFiles

_FUNCTIONS = {
    "recipe": "eva_deploy.opening:recipe",
    "open": "eva_deploy.opening:open_model",
    "describe": "eva_deploy.opening:describe",
}

ONNX = ModelFiles(".onnx", is_executed=False, **_FUNCTIONS)
OPENVINO = ModelFiles(".xml", is_executed=False, **_FUNCTIONS)
# Loading a program of PyTorch evaluates expressions in it, and pickles if it has any; a compiled one is machine code.
TORCH = ModelFiles(".pt2", is_executed=True, **_FUNCTIONS)
