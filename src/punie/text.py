"""Text that a model or server wrote, made safe to look at: what cannot be seen is named.

Escaping for HTML or markdown is the business of who writes these; this is about characters that
would hide, reorder or break what a reader sees, or that XML and UTF-8 cannot hold at all.
"""

import re
from collections.abc import Sequence

_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters but tab and newline, ESC among them
    "\u200b\u2060\ufeff"  # zero-width ones; joiners stay, emoji need them
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # what reorders the text around it
    "\ud800-\udfff\ufffe\uffff]"  # lone surrogates and non-characters
)
_SPACES = re.compile(r"\s+")


def _named(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code < 0x20:
        return chr(0x2400 + code)  # the Unicode picture of this control character
    return "\u2421" if code == 0x7F else f"⟨U+{code:04X}⟩"


def visible(text: str) -> str:
    """Name the characters that hide or reorder: ESC is ␛, a right-to-left override ⟨U+202E⟩."""
    return _HIDDEN.sub(_named, text.replace("\r\n", "\n"))


def inert_json(written: str) -> str:
    """JSON text with the same characters as escapes: it can be printed and encoded anywhere."""
    return _HIDDEN.sub(lambda match: f"\\u{ord(match.group()):04x}", written)


def one_line(text: str, limit: int = 160) -> str:
    """Fold white space and cut to `limit` characters, the last one then an ellipsis."""
    # The head alone is folded: an answer may be a megabyte long.
    head = _SPACES.sub(" ", text[: 4 * limit]).strip()
    shown = visible(head)
    whole = len(text) <= 4 * limit and len(shown) <= limit
    return shown if whole else shown[: limit - 1].rstrip() + "…"


def listed(names: Sequence[str], most: int = 5) -> str:
    """Write the first `most` names on one line and count the others: `a, b and 3 more`."""
    shown = ", ".join(one_line(each, 40) for each in names[:most])
    return f"{shown} and {len(names) - most:,} more" if len(names) > most else shown
