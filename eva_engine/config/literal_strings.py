"""Store names and paths of users in a config, where OmegaConf would give ``???`` and ``${...}`` another meaning."""

import json


def to_literal(text: str) -> str:
    """Return a form of `text` that OmegaConf stores and reads unchanged; nearly always `text` itself.

    Text with ``${``, the text ``???``, and text that begins with a quotation mark become JSON strings, in which ``$``
    is written as an escape sequence.
    """
    if "${" in text or text == "???" or text.startswith('"'):
        return json.dumps(text, ensure_ascii=False).replace("$", "\\u0024")
    return text


def from_literal(text: str) -> str:
    """Return the text from which `to_literal` made `text`."""
    if text.startswith('"'):
        try:
            content = json.loads(text)
        except (ValueError, RecursionError):  # a config of an earlier version, which stored all texts unchanged
            return text
        return content if isinstance(content, str) else text
    return text
