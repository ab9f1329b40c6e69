"""`entry.md` as it is first written: punie fills in its parts, comments ask for the person's."""

from punie.journal.document import region
from punie.reporting.escaping import escape, fence

_ASK_DONE = "<!-- What else changed since the last entry: data, settings, code? -->"
_ASK_COMMANDS = "<!-- What else was run: preparing data, training, conversion? -->"
_ASK_FILES = "<!-- Which other files were made or changed? -->"
_ASK_CONCLUSION = """\
<!-- What do the results say, and how sure is it? The journal's table shows the first line. -->"""
_ASK_NEXT = "<!-- What follows from it? -->"


def page(
    *, front: str, goal: str, date: str, done: str, command: str, results: str, files: str
) -> str:
    """The text of a new entry; `done` and `files` are lists, `results` is the marked region."""
    commands = f"{fence(command, 'bash')}\n\n" if command else ""
    sections = {
        "Goal": escape(goal),
        "What was done": f"{done}\n\n{_ASK_DONE}",
        "Commands run": f"{commands}{_ASK_COMMANDS}",
        "Results": region(results),
        "Files": f"{files}\n\n{_ASK_FILES}",
        "Conclusion": _ASK_CONCLUSION,
        "Next steps": _ASK_NEXT,
    }
    body = "\n\n".join(f"## {title}\n\n{text}" for title, text in sections.items())
    return f"{front}\n\n# {escape(goal)} ({date[:10]})\n\n{body}\n"
