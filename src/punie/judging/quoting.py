"""Somebody else's words in a judge's prompt: data, and seen to be data.

Three things keep a text in its place. What a chat template or a reader could take for a part of the
chat is made harmless (`quoted`). Each of its lines begins with a bar, whatever it holds. And it
stands between two marker lines with a code that follows from a hash of all that is asked: to name
the code a text would have to hold the hash of itself.

The bars are what Hines et al. 2024, "Defending against indirect prompt injection attacks with
spotlighting", call datamarking.
"""

import re
from typing import NamedTuple

from punie.records.base import digest

LONGEST = 24_000
"""Characters of one text that a judge is shown: of a longer one the beginning and the end."""
BAR = "| "
CODE_LENGTH = 16
"""Hexadecimal digits, 64 bits."""

_LINE_ENDS = re.compile("\r\n|[\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_HIDDEN = re.compile(
    "(?:[\x00-\x08\x0e-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0e\ufeff\uffa0\ufff9-\uffff"
    "\ud800-\udfff\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
    "|[\u200c\u200d\ufe0f]{2,})+"
)
"""What no reader sees: controls, zero widths, direction marks, tags, selectors. Single joiners and
the emoji selector stay: scripts and emoji need them."""
_OPEN, _CLOSE, _PIPE = "[<\uff1c\ufe64]", "[>\uff1e\ufe65]", "[|\uff5c\ufe31\u2502]"
_CONTROL = re.compile(
    rf"{_OPEN}{_PIPE}[^<>\n]{{1,64}}?{_CLOSE}"  # <|im_start|>, <|turn>
    rf"|{_OPEN}[\w/ -]{{1,64}}{_PIPE}{_CLOSE}"  # <turn|>
    rf"|{_OPEN}/?(?:s|bos|eos|pad|unk|mask|sop|eop|cls|sep|system|user|assistant|human|model"
    r"|think(?:ing)?|tools?|tool_calls?|tool_responses?|function_calls?|start_function_\w+"
    rf"|\w{{1,20}}_of_\w{{1,20}}|(?:unused|extra_id_|reserved_)\d+){_CLOSE}"
    rf"|{_OPEN}{_OPEN}/?SYS{_CLOSE}{_CLOSE}"
    r"|\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT|THINK"
    r"|g?MASK|CLS|SEP|PAD|UNK|BOS|EOS|SYSTEM|USER|ASSISTANT)\]"
    r"|\[\[[ \t]*(?:END[ \t]+)?(?:QUESTION|REFERENCE|ANSWER|FIRST|SECOND)",  # our marker lines
    re.IGNORECASE,
)


class Quoted(NamedTuple):
    """A text as a judge is shown it, without its bars.

    `altered`: something in it was made harmless. `clipped`: its middle is left out.
    """

    text: str
    altered: bool
    clipped: bool


def quoted(text: str, *, limit: int = LONGEST) -> Quoted:
    """Make a text harmless: hidden characters are named, control tokens come apart.

    Characters are put in and never taken out, so that what stood apart is not joined.
    """
    plain = _LINE_ENDS.sub("\n", text)
    harmless = _CONTROL.sub(_apart, _HIDDEN.sub(_name, plain))
    altered, clipped = harmless != plain, len(harmless) > limit
    if clipped:
        left_out = f"\n⟨{len(harmless) - limit:,} characters are left out here⟩\n"
        head = 2 * limit // 3
        harmless = harmless[:head] + left_out + harmless[head - limit :]
    return Quoted(harmless, altered, clipped)


def _apart(found: re.Match[str]) -> str:
    """The token with a space after its first character: no tokenizer knows it any more."""
    return f"{found[0][0]} {found[0][1:]}"


def _name(found: re.Match[str]) -> str:
    hidden = found[0]
    if len(hidden) > 1:
        return f"⟨{len(hidden):,} hidden characters⟩"
    return f"⟨U+{ord(hidden):04X}⟩"


def fenced(name: str, text: str, code: str) -> str:
    """A harmless text between its marker lines, a bar before each of its lines."""
    lines = "\n".join(f"{BAR}{line}" if line else BAR.strip() for line in text.split("\n"))
    return f"[[{name} {code}]]\n{lines}\n[[END {name} {code}]]"


def code_for(*texts: str) -> str:
    """The code of one question: the same for the same texts, and in none of them."""
    salt = 0
    while True:
        code = digest([salt, *texts])[:CODE_LENGTH]
        if not any(code in text.lower() for text in texts):
            return code
        salt += 1
