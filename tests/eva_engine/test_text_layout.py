"""Aligned tables and shortened lists of names."""

from eva_engine.text_layout import align_columns, join_first


def test_columns_are_aligned():
    rows = [["", "training", "b"], ["images", "5", ""], ["a", "12,345", "7"]]
    assert align_columns(rows) == ["        training  b", "images  5", "a       12,345    7"]
    assert align_columns(rows, numbers_right=True) == ["        training  b", "images         5", "a         12,345  7"]


def test_list_ends_with_the_number_of_the_others():
    assert join_first([], 2) == ""
    assert join_first(["a", "b"], 2) == "a, b"
    assert join_first(["a", "b", "c", "d"], 2) == "a, b and 2 more"
