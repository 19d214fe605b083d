"""The page in a real browser: Chromium, which Debian's package has."""

import json
import os
import shutil
import threading
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from eva_deploy.page.limits import Limits
from eva_deploy.page.startup import open_port, prepared_gradio, shown_url
from eva_engine.prediction.inputs import list_inputs

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None and "EVA_NEEDS_BROWSER" not in os.environ,
    reason="Chromium is not installed; .ci/run installs it and runs these tests",
)
WAIT = 60_000  # milliseconds, on a busy machine
expect.set_options(timeout=WAIT)
ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--no-first-run"),
)


class Served:
    """A served model: its address, and how often its backbone has run."""

    def __init__(self, service, url: str) -> None:
        self.url, self.num_runs = url, 0
        backbone = getattr(service.predictor.model, "backbone", service.predictor.model)
        backbone.register_forward_hook(self._count)

    def _count(self, *_) -> None:
        self.num_runs += 1


@pytest.fixture(scope="module")
def serve(model_of):
    """Return a function that serves the model of a task until the tests of this module end."""
    from eva_deploy.page.application import build_application
    from eva_deploy.page.server import Server

    servers = []

    def start(task: str, examples=(), **options) -> Served:
        service = model_of(task).service(Limits(max_bytes=500_000, max_frames=3), **options)
        listening = open_port("127.0.0.1", 0)
        application = build_application(service, folder, list(examples), [], f"A model for {task}")
        server = Server(application)
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        servers.append((server, thread))
        return Served(service, shown_url(listening))

    with prepared_gradio() as folder:
        yield start
        for server, thread in servers:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="module")
def detector(serve) -> Served:
    return serve("detection", score_threshold=0.0)


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser):
    """Return a function that opens a page for a new user, and fails if the page loads anything from another server."""
    pages = []

    def open_one(served: Served) -> Page:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(WAIT)
        page.foreign = []
        page.on("request", lambda request: page.foreign.append(request.url))
        page.goto(served.url)
        pages.append((page, served.url))
        return page

    yield open_one
    for page, url in pages:
        assert [found for found in page.foreign if not found.startswith((url, "data:", "blob:"))] == []
        page.close()


@pytest.fixture(scope="module")
def photo_file(photo, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("upload") / "photo.png"
    path.write_bytes(photo)
    return path


def predict(page: Page, file: Path, kind: str = "image") -> None:
    page.locator(f"#upload-{kind} input[type=file]").set_input_files(file)
    preview = page.locator(f"#upload-{kind} {'img' if kind == 'image' else 'video'}").first
    preview.wait_for(state="attached")
    page.locator(f"#predict-{kind}").click()


def message(page: Page, kind: str = "image"):
    return page.locator(f"#message-{kind} textarea, #message-{kind} input").first


def downloaded(page: Page, kind: str = "image") -> dict:
    with page.expect_download() as download:
        page.locator(f"#json-{kind}").click()
    return json.loads(Path(download.value.path()).read_text())


def test_upload_result_slider_and_download(detector, open_page, photo_file):
    page = open_page(detector)
    predict(page, photo_file)
    expect(page.locator("#findings-image img")).to_be_visible()
    before = downloaded(page)
    assert before["image"] == "photo.png"
    assert before["score_threshold"] == 0
    num_runs, scores = detector.num_runs, [found["score"] for found in before["detections"]]
    threshold = round((scores[0] + scores[-1]) / 2, 2)
    assert scores[-1] < threshold < scores[0]
    text = message(page).input_value()

    page.locator("#threshold input[type=number]").fill(str(threshold))
    page.locator("#threshold input[type=number]").press("Tab")
    expect(message(page)).not_to_have_value(text)
    expect(page.locator("#table-image")).not_to_contain_text(f"{scores[-1]:.4f}")
    after = downloaded(page)
    assert after["score_threshold"] == threshold
    assert after["detections"] == [found for found in before["detections"] if found["score"] >= threshold]
    assert detector.num_runs == num_runs > 0


def test_a_bad_file_is_one_sentence_and_the_next_file_works(detector, open_page, photo_file, tmp_path):
    page = open_page(detector)
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"not an image")
    predict(page, bad)
    expect(message(page)).to_have_value(
        "bad.png: not a readable image file (its format is unknown); replace or remove the file."
    )
    page.locator("#upload-image").get_by_label("Remove Image").click()
    predict(page, photo_file)
    expect(page.locator("#findings-image img")).to_be_visible()


def test_no_file_yet(detector, open_page):
    page = open_page(detector)
    page.locator("#predict-image").click()
    expect(message(page)).to_have_value("there is no file yet; choose one.")


def test_an_example_is_chosen_by_a_click(serve, open_page, photo_file, clip):
    examples = list_inputs([photo_file, clip], None).inputs
    page = open_page(serve("detection", examples, score_threshold=0.0))
    page.locator("#examples-image button").first.click()
    page.locator("#upload-image img").first.wait_for(state="attached")
    page.locator("#predict-image").click()
    expect(page.locator("#findings-image img")).to_be_visible()
    assert downloaded(page)["image"] == photo_file.name

    page.get_by_role("tab", name="Video").click()
    page.locator("#examples-video button").first.click()
    page.locator("#upload-video video").first.wait_for(state="attached")
    page.locator("#predict-video").click()
    expect(page.locator("#findings-video video")).to_be_visible()


def test_two_users_at_once(detector, open_page, photo_file, tmp_path):
    other_file = tmp_path / "other.png"
    other_file.write_bytes(photo_file.read_bytes())
    pages = [open_page(detector), open_page(detector)]
    for page, file in zip(pages, (photo_file, other_file), strict=True):
        predict(page, file)
    for page, name in zip(pages, ("photo.png", "other.png"), strict=True):
        expect(page.locator("#findings-image img")).to_be_visible()
        assert downloaded(page)["image"] == name


def test_frames_of_a_video(detector, open_page, clip):
    page = open_page(detector)
    page.get_by_role("tab", name="Video").click()
    predict(page, clip, "video")
    expect(page.locator("#findings-video video")).to_be_visible()
    assert downloaded(page, "video")["num_frames"] == 3


def test_frames_of_a_task_that_draws_no_videos(serve, open_page, clip):
    page = open_page(serve("classification"))
    page.get_by_role("tab", name="Video").click()
    predict(page, clip, "video")
    expect(message(page, "video")).to_have_value("done")
    assert [len(frame["classes"]) for frame in downloaded(page, "video")["frames"]] == [5] * 3


def test_texts(serve, open_page, photo_file):
    page = open_page(serve("clip"))
    predict(page, photo_file)
    expect(message(page)).to_have_value("give 2 to 200 labels of at most 200 characters each, not 0 labels.")
    page.locator("#labels textarea").fill("a cat\n\na dog\n")
    page.locator("#predict-image").click()
    expect(page.locator("#table-image")).to_contain_text("a cat")
    assert {found["label"] for found in downloaded(page)["labels"]} == {"a cat", "a dog"}
