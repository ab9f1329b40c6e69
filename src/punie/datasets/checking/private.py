"""Keys and personal data in the rows. What is shown of them is masked."""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from punie.datasets.checking.texts import place_of
from punie.records.datacheck import SHOWN_PLACES, DataFinding, Place, Severity
from punie.records.dataset import Row, Split

RANDOM_BITS = 3.5
"""Shannon entropy of a character, in bits, from which a long value looks random; words have less
than 3.3, hexadecimal digits up to 4."""
KEPT = 3
"""Characters of what was found that are shown."""
_NOT_PERSONAL = re.compile(
    r"@(?:[\w-]+\.)*(?:example|test|invalid|localhost)(?:\.(?:com|org|net))?$", re.IGNORECASE
)
_FICTION = re.compile(r"555\D?01\d\d$")
"""North American numbers that are kept free for stories."""


class _Kind(NamedTuple):
    name: str
    marks: tuple[str, ...]
    """Without any of these in a text, in small letters, it need not be searched: that is faster."""
    pattern: re.Pattern[str]
    is_real: Callable[[str], bool]


def find_private(rows: Mapping[Split, Sequence[Row]]) -> Iterator[DataFinding]:
    """Find keys, e-mail addresses, telephone and card numbers, one finding for each kind."""
    places: dict[str, list[Place]] = {}
    for each in rows.values():
        for row in each:
            for name, found in _in_text(_everything(row)):
                shown = f"{found[:KEPT]}… ({len(found)} characters)"
                places.setdefault(name, []).append(place_of(row, shown))
    for name, found_at in places.items():
        yield DataFinding(
            check="private",
            severity=Severity.WARNING,
            what=f"{name}: {len(found_at):,} in the rows",
            places=tuple(found_at[:SHOWN_PLACES]),
            count=len(found_at),
            hint="an adapter may repeat what it was trained on: replace what is real",
        )


def _in_text(text: str) -> Iterator[tuple[str, str]]:
    small = text.lower()
    for kind in _KINDS:
        if any(mark in small for mark in kind.marks):
            for match in kind.pattern.finditer(text):
                if kind.is_real(match[match.lastindex or 0]):
                    yield kind.name, match[match.lastindex or 0]


def _everything(row: Row) -> str:
    parts = [row.text or ""]
    for turn in row.messages:
        parts.append(turn.content or "")
        parts += [call.function.arguments for call in turn.tool_calls]
    return "\n".join(parts)


def _looks_random(text: str) -> bool:
    counts = Counter(text)
    bits = -sum(n / len(text) * math.log2(n / len(text)) for n in counts.values())
    return bits >= RANDOM_BITS and any(map(str.isdigit, text)) and any(map(str.isalpha, text))


def _passes_luhn(text: str) -> bool:
    """The check digit of card numbers (ISO/IEC 7812-1): every second one from the right doubled."""
    digits = [int(each) for each in reversed(text) if each.isdigit()]
    total = sum(
        digit if at % 2 == 0 else sum(divmod(2 * digit, 10)) for at, digit in enumerate(digits)
    )
    return len(digits) >= 13 and len(set(digits)) > 2 and total % 10 == 0


def _is_somebodys(address: str) -> bool:
    return not _NOT_PERSONAL.search(address)


def _is_a_line(number: str) -> bool:
    return not _FICTION.search(number)


_KINDS = (
    _Kind(
        "private keys",
        ("private key",),
        re.compile(r"-----BEGIN (?:[A-Z]{2,10} ){0,2}PRIVATE KEY-----"),
        bool,
    ),
    _Kind(
        "access keys",
        ("sk-", "_", "akia", "aiza", "xox", "eyj"),
        re.compile(
            r"\b(?:sk-[\w-]{20,200}|gh[pousr]_\w{30,255}|github_pat_\w{22,255}|hf_[A-Za-z0-9]{30,64}"
            r"|AKIA[0-9A-Z]{16}|AIza[\w-]{35}|xox[abprs]-[\w-]{10,200}"
            r"|eyJ[\w-]{10,2000}\.eyJ[\w-]{10,4000}\.[\w-]{10,2000})"
        ),
        _looks_random,
    ),
    _Kind(
        "secrets",
        ("key", "secret", "token", "passw"),
        re.compile(
            r"(?:api[_-]?key|secret|token|passw(?:or)?d)[\"']?\s{0,3}[:=]\s{0,3}[\"']?"
            r"(?!sk-|gh[pousr]_|github_pat_|hf_|AKIA|AIza|xox|eyJ)([\w+/=-]{16,200})",
            re.IGNORECASE,
        ),
        _looks_random,
    ),
    _Kind(
        "e-mail addresses",
        ("@",),
        re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,5}[A-Za-z]{2,24}\b"),
        _is_somebodys,
    ),
    _Kind(
        "telephone numbers",
        ("+", "(", "-"),
        re.compile(
            r"(?<![\w+])(?:\+[1-9]\d{0,2}[ .-]?(?:\(\d{1,4}\)[ .-]?)?(?:\d[ .-]?){6,11}\d"
            r"|\(\d{3}\) ?\d{3}[ -]\d{4}|\d{3}-\d{3}-\d{4})(?!\w)"
        ),
        _is_a_line,
    ),
    _Kind(
        "card numbers",
        ("3", "4", "5", "6"),
        re.compile(r"(?<![\d.-])[3-6]\d{3}(?:[ -]?\d{4}){2}[ -]?\d{1,7}(?![\d.-])"),
        _passes_luhn,
    ),
)
