"""Tokenizer: special tokens, texts that are too long, inputs that are not strings."""

import logging
import subprocess
import sys

import pytest

from eva_backbone.errors import InputError
from eva_clip import get_tokenizer
from eva_clip.tokenizer import Tokenizer


def test_lengths_and_padding():
    tokenizer = get_tokenizer("eva_clip_tiny")
    ids = tokenizer(["a cat", ""])
    assert ids.shape == (2, 32)
    assert ids[0, :5].tolist() == [49406, 320, 2368, 49407, 0]
    assert ids[1, :3].tolist() == [49406, 49407, 0]
    assert get_tokenizer()("a cat").shape == (1, 77)
    assert get_tokenizer("eva_clip_g14", 16)(["a"], 5).shape == (1, 5)
    assert tokenizer([]).shape == (0, 32)


@pytest.mark.parametrize(("words", "cut"), [(14, False), (15, True), (400, True)])
def test_long_texts_are_cut_counted_and_logged(caplog, words, cut):
    with caplog.at_level(logging.WARNING):
        ids = Tokenizer(16)(["cat", "word " * words, "dog", "word " * words])
    assert ids[1, [0, 15]].tolist() == [49406, 49407]
    message = "2 of 4 texts have more than 14 tokens and were cut (the first is number 1)"
    assert [record.getMessage() for record in caplog.records] == ([message] if cut else [])
    assert Tokenizer(16).tokenize(["cat", "word " * words])[1] == ([1] if cut else [])


def test_special_tokens():
    tokenizer = get_tokenizer()
    assert tokenizer.encode("<|STARTofTEXT|> a <|endoftext|>") == [49406, 320, 49407]
    assert not {49406, 49407} & set(tokenizer.encode("<start_of_text> a <end_of_text>"))
    assert tokenizer.decode(tokenizer.encode("Two  cats")) == "two cats "


@pytest.mark.parametrize("text", ["x7" * 500_000, "ab" * 500_000, "!?" * 500_000, "a b " * 200_000, "😀" * 300_000])
def test_only_the_needed_part_of_a_huge_text_is_encoded(monkeypatch, text):
    seen = []
    original = Tokenizer.bpe
    monkeypatch.setattr(Tokenizer, "bpe", lambda self, word: (seen.append(len(word)), original(self, word))[1])
    ids, cut = get_tokenizer().tokenize(text)
    assert cut == [0]
    assert ids[0, [0, -1]].tolist() == [49406, 49407]
    assert max(seen) <= 1024
    assert len(seen) < 77


def test_the_cache_of_words_is_limited(monkeypatch):
    monkeypatch.setattr("eva_clip.tokenizer._MAX_CACHED_WORDS", 10)
    tokenizer = Tokenizer()
    for number in range(50):
        assert tokenizer.encode(f"word{'x' * number} <|endoftext|>")[-1] == 49407
    assert len(tokenizer.cache) < 15


@pytest.mark.parametrize(("texts", "message"), [([None], "text 0 is a NoneType"), (["a", 3], "text 1 is a int")])
def test_inputs_that_are_not_strings(texts, message):
    with pytest.raises(InputError, match=message):
        get_tokenizer()(texts)


def test_context_without_room():
    with pytest.raises(InputError, match="1 tokens has no room"):
        Tokenizer(1)
    with pytest.raises(InputError, match="1 tokens has no room"):
        get_tokenizer()("a cat", context_length=1)
    with pytest.raises(InputError, match="unknown model 'ViT-B-32'"):
        get_tokenizer("ViT-B-32")


def test_what_is_imported():
    """Models need no Detectron2, and the image tower needs no open_clip, whose import takes seconds."""
    code = (
        "import sys; sys.modules['detectron2'] = None\n"
        "import eva_clip as c\n"
        "c.ImageTower(8, embed_dim=8, depth=1, num_heads=1)\n"
        "assert 'open_clip' not in sys.modules\n"
        "c.create_clip_model_and_transforms('eva_clip_tiny', text={'vocab_size': 99})\n"
        "assert not [m for m in sys.modules if m.startswith('detectron2_ext')]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
