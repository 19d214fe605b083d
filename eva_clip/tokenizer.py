"""Tokenizer: open_clip's vocabulary and byte-pair encoding, with the special tokens of the original release."""

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
# Byte-pair encoding takes time quadratic in the length of a word. Texts with a limited number of tokens therefore use
# at most this many bytes of each word.
MAX_WORD_BYTES = 1024
_MAX_CACHED_WORDS = 200_000


class Tokenizer(SimpleTokenizer):
    """Convert texts to token ids: start token, cleaned and lower-cased text, end token, zero padding.

    Special tokens that are written out in a text are encoded as such, as in the original release: `<|endoftext|>` ends
    the text. open_clip's spellings, `<start_of_text>` and `<end_of_text>`, are ordinary text here. An empty text
    consists of the start and the end token.

    Args:
        context_length: Number of ids per text, start and end tokens included. Longer texts are cut, but keep their end
            token.
    """

    pat: regex.Pattern[str]

    def __init__(self, context_length: int = 77) -> None:
        super().__init__(context_length=_check_length(context_length))
        pattern = self.pat.pattern
        for theirs, ours in zip(("<start_of_text>", "<end_of_text>"), (START, END), strict=True):
            self.encoder[ours] = self.encoder.pop(theirs)
            pattern = pattern.replace(theirs, regex.escape(ours))
        self.decoder = {token_id: token for token, token_id in self.encoder.items()}
        self.pat = regex.compile(pattern, regex.IGNORECASE)
        # Entries of the cache are not split further by the byte-pair encoding.
        self._special_tokens = {START: START, END: END}
        self.cache = dict(self._special_tokens)

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text of any length, without start and end token."""
        return self._encode(text, None)[0]

    def tokenize(self, texts: str | Sequence[str], context_length: int | None = None) -> tuple[Tensor, list[int]]:
        """Convert texts to ids and report which of them were cut.

        Args:
            texts: A text or several.
            context_length: Number of ids per text; None for that of the tokenizer.

        Returns:
            Ids [B, context_length] int64 on the CPU, and the indices of the texts that were cut.

        Raises:
            InputError: An item is not a string, or the context is too short for the start and end tokens.
        """
        texts = [texts] if isinstance(texts, str) else list(texts)
        length = self.context_length if context_length is None else _check_length(context_length)
        ids = torch.zeros(len(texts), length, dtype=torch.int64)
        cut = []
        for i, text in enumerate(texts):
            if not isinstance(text, str):
                raise InputError(f"text {i} is a {type(text).__name__}, expected is a string: give texts as strings.")
            tokens, is_complete = self._encode(text, length - 2)
            if not is_complete:
                cut.append(i)
            ids[i, : len(tokens) + 2] = torch.tensor([self.sot_token_id, *tokens, self.eot_token_id])
        return ids, cut

    def __call__(self, texts: str | Sequence[str], context_length: int | None = None) -> Tensor:
        """Convert texts to ids [B, context_length] int64 on the CPU; log a warning if texts were cut.

        Args:
            texts: A text or several.
            context_length: Number of ids per text; None for that of the tokenizer.

        Raises:
            InputError: An item is not a string, or the context is too short for the start and end tokens.
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
        """Return up to `limit` ids, and whether they are those of the complete text."""
        if len(self.cache) > _MAX_CACHED_WORDS:
            self.cache = dict(self._special_tokens)
        tokens: list[int] = []
        is_complete = True
        for match in self.pat.finditer(self.clean_fn(text)):
            word = "".join(self.byte_encoder[byte] for byte in match.group().encode("utf-8"))
            if limit is not None and len(word) > MAX_WORD_BYTES:
                word, is_complete = word[:MAX_WORD_BYTES], False
            tokens.extend(self.encoder[part] for part in self.bpe(word).split(" "))
            if limit is not None and len(tokens) > limit:
                return tokens[:limit], False
        return tokens, is_complete


def _check_length(context_length: int) -> int:
    if context_length < 2:
        raise InputError(f"a context of {context_length} tokens has no room for start and end; give 2 or more.")
    return context_length


@cache
def get_tokenizer(name: str = "eva_clip_g14", context_length: int | None = None) -> Tokenizer:
    """Return the tokenizer of a model.

    Args:
        name: Key of `eva_clip.MODELS`.
        context_length: Number of ids per text; None for that of the model.

    Raises:
        InputError: There is no model of that name.
    """
    from .models import model_options  # a tokenizer with its own context length needs no models

    if context_length is None:
        context_length = model_options(name)["text"]["context_length"]
    return Tokenizer(context_length)
