"""Sections of a page: what they show, that names are escaped, and that the page stays small."""

import base64
import io
import json
import math
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image

from eva_engine.report import (
    Chart,
    ImageFigure,
    ImageGrid,
    ImagePair,
    Line,
    Matrix,
    Section,
    Table,
    encode_image,
    page,
    write_report,
)
from eva_engine.report.explanation import read_explanation, write_explanation
from eva_engine.report.sections import fit_images

EVIL = '<script>alert("$x_{")</script>'


def noise(side, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def sections(name="cat"):
    figure = ImageFigure(name, [("Ground truth", encode_image(noise(8))), ("Prediction", encode_image(noise(8)))])
    table = Table(
        name,
        {"class": "", "AP": ".1f", "objects": ""},
        [[name, 71.26, 3], ["dog", math.nan, 12], ["cow", None, 1]],
        note=name,
        colors=[0, 1, -1],
        bar="AP",
    )
    chart = Chart(name, "recall", "precision", [Line(name, [0, 0.5, 1], [1, 0.5, 0], color=1), Line("_all", [0], [1])])
    matrix = Matrix(name, [name, "dog"], [name, "none"], [[3, 1], [0, 0]], examples={"0,1": figure})
    return [
        Section(name, [table, chart], note=name),
        Section("folded", [matrix, ImageGrid(name, [figure], name)], collapsed=True),
    ]


def html_of(folder, parts):
    return write_report(folder, title="A run", results={}, sections=parts).read_text(encoding="utf-8")


def test_tables_charts_matrices_and_images(tmp_path):
    html = html_of(tmp_path, sections())
    cells = re.findall(r'<td(?: class="number")?(?: data-value="([^"]*)")?>(.*?)</td>', html, re.DOTALL)
    values = [(value, re.sub(r"<[^>]*>", "", text)) for value, text in cells]
    assert values == [
        ("", "cat"), ("71.26", "71.3"), ("3", "3"),
        ("", "dog"), ("nan", "-"), ("12", "12"),
        ("", "cow"), ("", "-"), ("1", "1"),
    ]  # fmt: skip
    assert html.count('<span class="bar"') == 1
    assert '<span class="bar" style="width:60.0px">' in html
    assert "rgba(20,97,158,0.562)" in html, "three quarters of a row"
    assert 'href="#part-2-1-0-1"' in html
    assert 'id="part-2-1-0-1"' in html
    assert html.count('<details class="section"') == 1
    (svg,) = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    ElementTree.fromstring(svg)
    outside = re.findall(r'(?:src|href)="(?!data:|#)[^"]*"', re.sub(r"<svg.*?</svg>", "", html, flags=re.DOTALL))
    assert not outside, "the page must stand alone"


def test_names_are_escaped(tmp_path):
    html = html_of(tmp_path, sections(EVIL))
    assert html.count("<script") == 1, "that of the page"
    assert EVIL not in html


def test_images_are_shrunk_to_the_budget(tmp_path, monkeypatch):
    monkeypatch.setattr(page, "IMAGE_BUDGET", 30_000)
    pairs = [ImagePair("one", noise(200), noise(200, 1))]
    html = write_report(tmp_path, title="A run", results={}, pairs=pairs, sections=sections()).read_text()
    images = re.findall(r"base64,([^\"]+)", html)
    assert len(images) == 2 + 4
    assert sum(map(len, images)) <= 30_000
    shapes = [Image.open(io.BytesIO(base64.b64decode(data))).size for data in images]
    assert shapes[0] == shapes[1]
    assert 40 < shapes[0][0] < 200


def test_images_within_the_budget_stay_as_they_are():
    images = [encode_image(noise(8))]
    assert fit_images(images, len(images[0])) == images


def cfg_of(folder):
    return OmegaConf.create({"train": {"output_dir": str(folder)}})


class Evaluator:
    def explain(self, *_):
        return sections(EVIL)


def test_an_explanation_is_read_as_it_was_written(tmp_path):
    write_explanation(Evaluator(), cfg_of(tmp_path), None)
    read, written = (html_of(tmp_path, parts) for parts in (read_explanation(tmp_path), sections(EVIL)))
    svg = re.compile(r"<svg.*?</svg>", re.DOTALL)  # matplotlib's ids are random
    assert svg.sub("", read) == svg.sub("", written)
    assert len(svg.findall(read)) == 1
    json.loads((tmp_path / "explanation.json").read_bytes())


def test_an_evaluator_without_explanation_leaves_none(tmp_path):
    write_explanation(Evaluator(), cfg_of(tmp_path), None)
    write_explanation(object(), cfg_of(tmp_path), None)
    assert read_explanation(tmp_path) == []


def test_an_explanation_that_fails_is_one_line(tmp_path, caplog):
    class Broken:
        def explain(self, *_):
            raise OSError("no such\nfile")

    write_explanation(Broken(), cfg_of(tmp_path), None)
    assert caplog.messages == ["The evaluation is not explained: OSError: no such file"]
    assert read_explanation(tmp_path) == []


@pytest.mark.parametrize("values", [[], [math.nan]])
def test_a_chart_without_values_is_drawn(tmp_path, values):
    html_of(tmp_path, [Section("one", [Chart("empty", "x", "y", [Line("a", values, values)])])])
