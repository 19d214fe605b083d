"""The CLIP demo from end to end, for two iterations."""

import json
from pathlib import Path

from eva_demos.clip import demo
from eva_demos.clip.captioned_digits import HELDOUT_PHRASINGS, TRAINING_PHRASINGS, WORDS

ROOT = Path(__file__).parents[3]


def test_two_iterations_give_weights_and_all_accuracies(tmp_path, capsys):
    output = tmp_path / "demo"
    (output / "data").mkdir(parents=True)
    (output / "notes.txt").write_text("the user's own")
    assert demo.main(["--output", str(output), "--iterations", "2"]) == 0
    printed = capsys.readouterr().out
    assert "contains the results of an earlier run, which are replaced" in printed
    results = json.loads((output / "results.json").read_text())
    assert results.keys() == {demo.TRAINING, demo.HELDOUT, demo.EACH}
    assert results[demo.EACH].keys() == set(HELDOUT_PHRASINGS)
    own = json.loads((output / "run" / "results.json").read_text())
    assert own["zero_shot"] == results[demo.TRAINING]
    for name in (demo.TRAINING, demo.HELDOUT):
        assert f"{results[name]['top1']:.1f}%" in printed
    page = (output / "run" / "index.html").read_text(encoding="utf-8")
    assert "held-out phrasings" in page
    assert f"{round(1000 - 10 * own['zero_shot']['top1'])} of 1000 images are wrong" in page
    assert (output / "run" / "model_final.pth").is_file()
    assert (output / "notes.txt").read_text() == "the user's own"
    captions = (output / "data" / "training" / "captions.csv").read_text()
    assert captions.count("\n") == 1 + 4000 * 5
    assert not any(phrasing.format(word) in captions for phrasing in HELDOUT_PHRASINGS for word in WORDS)
    assert len(list((output / "data" / "heldout").rglob("*.png"))) == 1000


def test_held_out_phrasings_are_no_training_phrasings():
    assert not set(HELDOUT_PHRASINGS) & set(TRAINING_PHRASINGS)
    assert all(phrasing.count("{}") == 1 for phrasing in (*HELDOUT_PHRASINGS, *TRAINING_PHRASINGS))
