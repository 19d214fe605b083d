"""The endpoint for programs: POST of an image or video, answered with the JSON document that `predict` writes."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from eva_backbone.errors import InputError
from eva_engine.prediction.json_text import to_json

from .limits import RefusedError
from .service import PredictionService

PATH = "/api/predict"


def prediction_route(service: PredictionService) -> Route:
    """Return the route of the endpoint.

    The body of a request is the file. Query parameters are `name`, the name of the file in the answer, and options of
    the task: `score_threshold`, `max_detections` and `top` as numbers, `labels` once for each label.

    A request that cannot be answered has a status of 400 or more and the JSON document {"error": sentence}.
    """

    class Prediction(HTTPEndpoint):  # which also answers requests with other methods
        async def post(self, request: Request) -> Response:
            return await _answer(service, request)

    return Route(PATH, Prediction)


async def _answer(service: PredictionService, request: Request) -> Response:
    try:
        content_type = request.headers.get("content-type", "")
        if content_type.startswith("multipart/"):
            raise RefusedError(
                "the body is a form; send the file itself as the body, as curl --data-binary does.",
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            )
        options = _options(service, request)
        content = await request.body()
        name = request.query_params.get("name", "")
        answer = await run_in_threadpool(service.predict, content, name, content_type, options=options)
    except RefusedError as error:
        return _json_response(to_json({"error": str(error)}), error.status)
    except InputError as error:
        return _json_response(to_json({"error": str(error)}), HTTPStatus.UNPROCESSABLE_ENTITY)
    return _json_response(answer.document, HTTPStatus.OK)


def _json_response(text: str, status: HTTPStatus) -> Response:
    return Response(text + "\n", status, media_type="application/json")


def _options(service: PredictionService, request: Request) -> Mapping[str, Any]:
    options: dict[str, Any] = {}
    for name in request.query_params:
        if name == "name":
            continue
        if name not in service.options:
            accepted = ", ".join(("name", *service.options))
            raise RefusedError(f"{name[:50]} is not a parameter of this model; give some of {accepted}.")
        if name == "labels":
            options[name] = request.query_params.getlist(name)
        else:
            options[name] = _number(name, request.query_params[name])
    return options


def _number(name: str, text: str) -> int | float:
    try:
        return int(text) if text.isdecimal() else float(text)
    except ValueError as error:
        raise RefusedError(f"{name}={text[:50]} is not a number; give one.") from error
