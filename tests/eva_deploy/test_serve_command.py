"""The command `serve`: mistakes are one sentence, and Ctrl-C and SIGTERM end it at once, also during a prediction."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from eva_engine.commands.verbs import main

ROOT = Path(__file__).parents[2]
SLOW = """
import sys, time
from eva_classification.prediction.predictor import ClassPredictor
def slow(self, samples):
    print("predicting", flush=True)
    time.sleep(600)
ClassPredictor.predict = slow
from eva_engine.commands.start import main
sys.exit(main())
"""


def test_a_port_in_use(model_of, capsys):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert main(["serve", *model_of("classification").arguments, "--port", str(port)]) == 2
    message = f"error: port {port} of 127.0.0.1 is in use; give another --port, or 0 for a free one.\n"
    assert capsys.readouterr().err == message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--port", "99999"], "port 99999 of 127.0.0.1 cannot be used"),
        (["--host", "203.0.113.7"], "of 203.0.113.7 cannot be used"),
        (["--examples", "none.jpg"], "--examples: none.jpg: there is no such file"),
        (["--port", "0", "--score-threshold", "0.5"], "--score-threshold is not an option for the recipe's task"),
    ],
)
def test_mistakes_are_one_sentence(options, message, model_of, capsys):
    assert main(["serve", *model_of("classification").arguments, *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_a_missing_extra(model_of, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)  # as if it were not installed
    assert main(["serve", *model_of("classification").arguments, "--port", "0"]) == 2
    assert "run pip install '.[page]' in the folder of EVA Vision" in capsys.readouterr().err


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_server_during_a_prediction(number, status, model_of, photo, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-c",
        SLOW,
        "serve",
        *model_of("classification").arguments,
        "--port",
        "0",
    ]
    server = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        line = server.stdout.readline()
        assert "(Ctrl-C ends it)" in line
        address = line.partition("http://")[2].split()[0]
        answers = []

        def post() -> None:
            connection = http.client.HTTPConnection(address, timeout=200)  # unlike urllib, it uses no proxy
            connection.request("POST", "/api/predict", photo)
            answer = connection.getresponse()
            answers.append((answer.status, answer.read().decode()))

        client = threading.Thread(target=post)
        client.start()
        assert server.stdout.readline() == "predicting\n"
        server.send_signal(number)
        _, errors = server.communicate(timeout=200)
        client.join()
    finally:
        server.kill()
        server.wait()
    assert server.returncode == status
    assert errors.splitlines() == (["interrupted"] if number == signal.SIGINT else [])
    assert answers == [(503, '{"error": "the server ends."}\n')]
    assert list(tmp_path.glob("eva-vision-*")) == []
