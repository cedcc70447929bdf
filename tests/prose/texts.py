"""Extracts the text that people read from source files: comments, documentation, messages.

`blocks(path, source)` returns one `Block` for each text, such as a comment of several lines. So a search also finds a
phrase that continues on the next line. A block contains the line number of each of its lines. Code samples, code in
backticks and URLs are not prose, and are replaced by blanks. In function names, a space replaces each underscore, so
that the names can be read as sentences.
"""

import io
import re
import token
import tokenize
from dataclasses import dataclass
from pathlib import PurePath

RUST_TOKEN = re.compile(
    r"""
    (?P<doc> //(?:/(?!/)|!) [^\n]* )
  | (?P<comment> // [^\n]* )
  | (?P<block> /\* .*? \*/ )
  | (?P<raw> \b (?:b|c)? r (?P<hashes>\#*) " .*? " (?P=hashes) )
  | (?P<string> " (?: [^"\\] | \\. )* " )
  | \b fn \s+ (?P<name> \w+ )
  | (?P<char> ' (?: [^'\\\n] | \\ (?: u\{[^}]*\} | x.. | . ) ) ' )
    """,
    re.VERBOSE | re.DOTALL,
)
PYTHON_STRING = re.compile(r"[a-zA-Z]*(\"\"\"|'''|\"|')(.*)\1\Z", re.DOTALL)
HASH_COMMENT = re.compile(r"^\s*#+!?")
MARKDOWN_URL = re.compile(r"(?<=\]\()[^)\s]+|<https?:[^>]*>|https?://\S+")
BACKTICKS = re.compile(r"(`+)(?!`).+?\1")
FENCE = re.compile(r"\s*(```|~~~)")


@dataclass
class Block:
    """Consecutive lines of one text. `kind` is `doc`, `comment`, `string`, `name` or `text`."""

    kind: str
    lines: list[tuple[int, str]]

    @property
    def text(self):
        return "\n".join(line for _, line in self.lines)

    def line_at(self, offset):
        """Returns the line number in the file of a character of `text`."""
        return self.lines[self.text.count("\n", 0, offset)][0]


def blocks(path, source):
    """Returns the blocks of text in a file, in order."""
    suffix = PurePath(path).suffix
    if suffix == ".rs":
        found = _rust(source)
    elif suffix == ".py":
        found = _python(source)
    else:
        found = [Block("text", _whole(source))]
    return [Block(block.kind, _without_code(block.lines)) for block in found]


def _rust(source):
    """Returns comments, doc comments, string literals and function names."""
    found = []
    line, position = 1, 0
    for match in RUST_TOKEN.finditer(source):
        line += source.count("\n", position, match.start())
        position = match.start()
        kind, text = match.lastgroup, match.group()
        if kind in ("doc", "comment"):
            marker = 3 if kind == "doc" else 2
            alone = source.rfind("\n", 0, position) + 1
            last = found[-1] if found else None
            continues = (
                source[alone:position].strip() == ""
                and last is not None
                and last.kind == kind
                and last.lines[-1][0] == line - 1
            )
            if continues:
                last.lines.append((line, text[marker:]))
            else:
                found.append(Block(kind, [(line, text[marker:])]))
        elif kind == "block":
            is_doc = text.startswith(("/**", "/*!")) and len(text) > 5
            body = text[3 if is_doc else 2 : -2]
            lines = [(line + index, part.strip().lstrip("*")) for index, part in enumerate(body.split("\n"))]
            found.append(Block("doc" if is_doc else "comment", lines))
        elif kind in ("raw", "hashes", "string"):
            body = text[text.index('"') + 1 : text.rindex('"')]
            found.append(Block("string", [(line + i, part) for i, part in enumerate(body.split("\n"))]))
        elif kind == "name":
            found.append(Block("name", [(line, match["name"].replace("_", " "))]))
    return found


def _python(source):
    """Returns comments, docstrings, string literals and function names."""
    found = []
    starts_statement, last_word = True, ""
    for item in tokenize.generate_tokens(io.StringIO(source).readline):
        line = item.start[0]
        if item.type == token.COMMENT:
            text = item.string.lstrip("#")
            last = found[-1] if found else None
            alone = item.line[: item.start[1]].strip() == ""
            if alone and last and last.kind == "comment" and last.lines[-1][0] == line - 1:
                last.lines.append((line, text))
            else:
                found.append(Block("comment", [(line, text)]))
        elif item.type == token.STRING:
            match = PYTHON_STRING.match(item.string)
            lines = [(line + index, part) for index, part in enumerate(match[2].split("\n"))]
            found.append(Block("doc" if starts_statement and match[1] == '"""' else "string", lines))
        elif token.tok_name[item.type] == "FSTRING_MIDDLE":  # Python 3.12 splits f-strings into tokens.
            lines = [(line + index, part) for index, part in enumerate(item.string.split("\n"))]
            found.append(Block("string", lines))
        elif item.type == token.NAME and last_word == "def":
            found.append(Block("name", [(line, item.string.replace("_", " "))]))
        last_word = item.string
        if item.type in (token.NEWLINE, token.INDENT, token.DEDENT):
            starts_statement = True
        elif item.type not in (token.NL, token.COMMENT, token.ENCODING):
            starts_statement = False
    return found


def _whole(source):
    """Returns all lines, without the characters that begin a comment."""
    return [(number, HASH_COMMENT.sub("", line)) for number, line in enumerate(source.split("\n"), 1)]


def _without_code(lines):
    """Replaces fenced code, code in backticks and URLs by blanks."""
    kept, fenced = [], False
    for number, line in lines:
        if FENCE.match(line):
            fenced = not fenced
            line = ""
        elif fenced:
            line = ""
        line = MARKDOWN_URL.sub(_blank, line)
        kept.append((number, BACKTICKS.sub(_blank, line)))
    return kept


def _blank(match):
    return "`" * len(match.group())
