"""Reads Rust source well enough to find modules, imports and functions: no macros are expanded.

Comments, strings and `#[cfg(test)]` items are replaced by blanks of the same length, so that offsets and line
numbers stay those of the file.
"""

import re

NOT_CODE = re.compile(
    r"""
    // [^\n]*
  | /\* .*? \*/
  | \b (?:b|c)? r (?P<hashes>\#*) " .*? " (?P=hashes)
  | " (?: [^"\\] | \\. )* "
  | ' (?: [^'\\\n] | \\ (?: u\{[^}]*\} | x.. | . ) ) '
    """,
    re.VERBOSE | re.DOTALL,
)
TEST_ONLY = re.compile(r"#\[cfg\((?:test|all\(test\b[^\]]*)\)\]")
MODULE = re.compile(r"(?P<attributes>(?:#\[[^\]]*\]\s*)*)\bmod\s+(?P<name>\w+)\s*(?P<end>[;{])")
USE = re.compile(r"(?<![\w$])use\s+(?P<tree>[^;]*);")
PATH = re.compile(r"(?<![\w:.'])(?P<path>(?:\$?crate|self|super|\w+)(?:\s*::\s*\w+)+)(?P<bang>!?)")
VISIBILITY = re.compile(r"\bpub\s*\([^)]*\)")
FUNCTION = re.compile(r"\bfn\s+(\w+)")


def blank(text):
    """Returns as many blanks, with the line breaks kept."""
    return re.sub(r"[^\n]", " ", text)


def code(source):
    """Returns the source without comments, strings and character literals."""
    return NOT_CODE.sub(lambda match: blank(match.group()), source)


def without_tests(text):
    """Returns code without the items that are compiled for tests only."""
    while match := TEST_ONLY.search(text):
        end = item_end(text, match.end())
        text = text[: match.start()] + blank(text[match.start() : end]) + text[end:]
    return text


def item_end(text, start):
    """Returns the offset after the item at `start`: after its `;`, or the brace that closes its body."""
    depth = 0
    for offset in range(start, len(text)):
        sign = text[offset]
        if sign in "([{":
            depth += 1
        elif sign in ")]}":
            depth -= 1
            if depth == 0 and sign == "}":
                # `use a::{b, c};` goes on after its brace.
                rest = re.compile(r"\s*;").match(text, offset + 1)
                return rest.end() if rest else offset + 1
        elif sign == ";" and depth == 0:
            return offset + 1
    return len(text)


def use_paths(tree):
    """Yields `(segments, alias)` for each path of a `use` tree; `alias` is the name that it binds."""
    tree = tree.strip()
    if "{" in tree and tree.endswith("}"):
        before, _, inside = tree.partition("{")
        prefix = [part for part in _segments(before) if part]
        for part in _split(inside[:-1]):
            for segments, alias in use_paths(part):
                if segments == ["self"]:
                    segments, alias = [], alias if alias != "self" else prefix[-1]
                yield prefix + segments, alias
    elif tree:
        path, _, alias = tree.partition(" as ")
        segments = _segments(path)
        yield segments, alias.strip() or segments[-1]


def _segments(path):
    return [part.strip() for part in path.split("::") if part.strip()]


def _split(text):
    """Splits at the commas that are in no braces."""
    parts, depth, begin = [], 0, 0
    for offset, sign in enumerate(text):
        depth += (sign == "{") - (sign == "}")
        if sign == "," and depth == 0:
            parts.append(text[begin:offset])
            begin = offset + 1
    return [part for part in [*parts, text[begin:]] if part.strip()]


def functions(text):
    """Yields name and offsets of the beginning and the end of each function that has a body."""
    for match in FUNCTION.finditer(text):
        end = item_end(text, match.start())
        if text[end - 1] == "}":
            yield match[1], match.start(), end
