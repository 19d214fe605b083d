"""Texts to token ids: open_clip's vocabulary and byte-pair encoding, with the markers of the published model."""

import logging
from collections.abc import Sequence
from functools import cache

import regex
import torch
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor

from eva_backbone.errors import InputError

logger = logging.getLogger(__name__)

START, END = "<|startoftext|>", "<|endoftext|>"
# Byte-pair encoding takes time with the square of a word's length: only so many bytes of a word go into a context.
MAX_WORD_BYTES = 1024
_MAX_CACHED_WORDS = 200_000


class Tokenizer(SimpleTokenizer):
    """Cleaned, lower-cased text to ids between those of start and end; 0 fills the rest.

    Markers written out in a text are taken for what they mean, as in the published model: `<|endoftext|>` ends it. The
    markers of open_clip, `<start_of_text>` and `<end_of_text>`, are plain text here. An empty text is start and end.

    Args:
        context_length: ids per text, start and end included. Longer texts are cut, and end all the same.
    """

    pat: regex.Pattern[str]

    def __init__(self, context_length: int = 77) -> None:
        super().__init__(context_length=_check_length(context_length))
        pattern = self.pat.pattern
        for theirs, ours in zip(("<start_of_text>", "<end_of_text>"), (START, END), strict=True):
            self.encoder[ours] = self.encoder.pop(theirs)
            pattern = pattern.replace(theirs, regex.escape(ours))
        self.decoder = {number: token for token, number in self.encoder.items()}
        self.pat = regex.compile(pattern, regex.IGNORECASE)
        self._markers = {START: START, END: END}
        self.cache = dict(self._markers)

    def encode(self, text: str) -> list[int]:
        """The ids of a text of any length, without start and end."""
        return self._encode(text, None)[0]

    def tokenize(self, texts: str | Sequence[str], context_length: int | None = None) -> tuple[Tensor, list[int]]:
        """Ids [B, context_length] int64, and the indices of texts that were cut; see `__call__`.

        Raises:
            InputError: something else than text, or a context without room for start and end.
        """
        texts = [texts] if isinstance(texts, str) else list(texts)
        length = self.context_length if context_length is None else _check_length(context_length)
        ids = torch.zeros(len(texts), length, dtype=torch.int64)
        cut = []
        for i, text in enumerate(texts):
            if not isinstance(text, str):
                raise InputError(f"text {i} is a {type(text).__name__}, expected is a string: give texts as strings.")
            tokens, whole = self._encode(text, length - 2)
            if not whole:
                cut.append(i)
            ids[i, : len(tokens) + 2] = torch.tensor([self.sot_token_id, *tokens, self.eot_token_id])
        return ids, cut

    def __call__(self, texts: str | Sequence[str], context_length: int | None = None) -> Tensor:
        """Ids [B, context_length] int64, on the CPU; a warning says how many texts were cut.

        Raises:
            InputError: something else than text, or a context without room for start and end.
        """
        ids, cut = self.tokenize(texts, context_length)
        if cut:
            logger.warning(
                "%d of %d texts have more than %d tokens and were cut (the first is number %d)",
                len(cut),
                len(ids),
                ids.shape[1] - 2,
                cut[0],
            )
        return ids

    def _encode(self, text: str, limit: int | None) -> tuple[list[int], bool]:
        """Up to `limit` ids, and whether they are the whole text."""
        if len(self.cache) > _MAX_CACHED_WORDS:
            self.cache = dict(self._markers)
        tokens: list[int] = []
        whole = True
        for match in self.pat.finditer(self.clean_fn(text)):
            word = "".join(self.byte_encoder[byte] for byte in match.group().encode("utf-8"))
            if limit is not None and len(word) > MAX_WORD_BYTES:
                word, whole = word[:MAX_WORD_BYTES], False
            tokens.extend(self.encoder[part] for part in self.bpe(word).split(" "))
            if limit is not None and len(tokens) > limit:
                return tokens[:limit], False
        return tokens, whole


def _check_length(context_length: int) -> int:
    if context_length < 2:
        raise InputError(f"a context of {context_length} tokens has no room for start and end; give 2 or more.")
    return context_length


@cache
def get_tokenizer(name: str = "eva_clip_g14", context_length: int | None = None) -> Tokenizer:
    """The tokenizer of a model; `context_length` replaces that of the model.

    Raises:
        InputError: no model of that name.
    """
    from .models import model_options  # the models need no tokenizer

    length = model_options(name)["text"]["context_length"] if context_length is None else context_length
    return Tokenizer(length)
