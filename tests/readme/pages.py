"""What README files hold: blocks of code, commands, links, names of paths, modules, flags."""

from __future__ import annotations

import functools
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
COMMANDS = ("python", "labse", "make", "pip", "docker", "git")  # a command begins with one of these
LANGUAGES = ("python", "shell", "console", "text", "mermaid")  # of fenced blocks

_FENCE = re.compile(r"^```(?P<language>.*)\n(?P<text>(?:.*\n)*?)```$", re.M)
_INLINE = re.compile(r"(?<!`)`(?P<text>[^`\n]+)`(?!`)")
_LINK = re.compile(r"(?<!!)\[[^]]*\]\((?P<target>[^)\s]+)\)")
_PATH = re.compile(r"(?<![\w./-])(?:labse_tf|training|export|tests|colab)/[\w./*-]*[\w/*]")
_MODULE = re.compile(r"(?<![\w./-])(?:labse_tf|training|export|tests)(?:\.\w+)+")
_FLAG = re.compile(r"(?<![\w-])--[a-z][\w-]*")


class Block(NamedTuple):
    """Code of a page, to be run from its own place.

    Args:
        place: "PATH:LINE".
        language: "python" or "shell".
        text: the code.
        output: what the page says that it prints; None if it does not say.
    """

    place: str
    language: str
    text: str
    output: str | None = None


@functools.cache
def pages() -> tuple[Path, ...]:
    """All README files that git knows or would add, relative to the root."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*README.md"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return tuple(sorted({Path(line) for line in listed.splitlines() if (ROOT / line).exists()}))


def blocks(page: Path) -> list[Block]:
    """The code of a page in its order; commands within text are blocks of a line.

    A console block has commands behind "$ ", and what they print. A text block right behind one of
    Python has what that prints.

    Raises:
        ValueError: a fenced block is of no language of `LANGUAGES`; the message has its place.
    """
    text = (ROOT / page).read_text(encoding="utf-8")
    found: list[tuple[int, Block]] = []
    last_end = -1
    for match in _FENCE.finditer(text):
        place, language = _place(page, text, match.start()), match["language"]
        if language not in LANGUAGES:
            raise ValueError(f"{place}: a block of {language!r}, which is none of {LANGUAGES}.")
        if language in ("python", "shell"):
            found.append((match.start(), Block(place, language, match["text"])))
        elif language == "console":
            commands, output = _session(match["text"])
            found.append((match.start(), Block(place, "shell", commands, output)))
        elif language == "text":
            if lines := [x for x in match["text"].splitlines() if _is_command(x.lstrip("$ "))]:
                raise ValueError(f"{place}: a command in a block of text: {lines[0]}")
            if (
                found
                and found[-1][1].language == "python"
                and not text[last_end : match.start()].strip()
            ):
                found[-1] = (found[-1][0], found[-1][1]._replace(output=match["text"]))
        last_end = match.end()
    for offset, code in _inline(text):
        if _is_command(code):
            found.append((offset, Block(_place(page, text, offset), "shell", code + "\n")))
    return [block for _, block in sorted(found)]


def commands(page: Path) -> list[tuple[str, str]]:
    """(place, command) of each command of a page's shell blocks, on one line, without comments."""
    found = []
    for block in blocks(page):
        if block.language == "shell":
            for line in block.text.replace("\\\n", " ").splitlines():
                for part in line.split(" && "):
                    command = " ".join(re.sub(r"(^| )#.*", "", part).split())
                    if _is_command(command):
                        found.append((block.place, command))
    return found


def links(page: Path) -> list[tuple[str, str]]:
    """(place, target) of each link to a file."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return [
        (_place(page, text, match.start()), match["target"].partition("#")[0])
        for match in _LINK.finditer(text)
        if not re.match(r"https?:|mailto:|#", match["target"])
    ]


def named(page: Path, what: str) -> list[tuple[str, str]]:
    """(place, name) of each "path", "module" or "flag" that a page names, links' targets aside."""
    text = (ROOT / page).read_text(encoding="utf-8")
    without_targets = _LINK.sub(lambda m: m[0].replace(m["target"], " " * len(m["target"])), text)
    pattern = {"path": _PATH, "module": _MODULE, "flag": _FLAG}[what]
    if what == "flag":  # those of other programs are in commands, which are run
        spans = [(offset, code) for offset, code in _inline(text) if not _is_command(code)]
    else:
        spans = [(0, without_targets)]
    return [
        (_place(page, text, offset + match.start()), match[0])
        for offset, code in spans
        for match in pattern.finditer(code)
    ]


def _inline(text: str) -> list[tuple[int, str]]:
    """(offset, code) of the code within text."""
    outside = _FENCE.sub(lambda match: " " * len(match[0]), text)
    return [(match.start("text"), match["text"]) for match in _INLINE.finditer(outside)]


def _is_command(code: str) -> bool:
    """Whether it is one with arguments: `labse encode` and `python -m` alone are names."""
    first, *rest = code.split() or [""]
    return first in COMMANDS and len(rest) >= (2 if first in ("labse", "python") else 1)


def _session(text: str) -> tuple[str, str]:
    """Commands and output of a console block."""
    commands, output, continued = [], [], False
    for line in text.splitlines(keepends=True):
        if continued or line.startswith("$ "):
            commands.append(line if continued else line[2:])
            continued = line.endswith("\\\n")
        else:
            output.append(line)
    return "".join(commands), "".join(output)


def _place(page: Path, text: str, offset: int) -> str:
    return f"{page}:{text.count(chr(10), 0, offset) + 1}"
