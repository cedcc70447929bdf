"""Finds modules, imports and functions in Rust source. Does not expand macros.

Comments, strings and `#[cfg(test)]` items are replaced by the same number of blanks, so offsets and line numbers are the
same as in the file.
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
    """Returns the text with all characters except line breaks replaced by blanks."""
    return re.sub(r"[^\n]", " ", text)


def code(source):
    """Returns the source with comments, strings and character literals replaced by blanks."""
    return NOT_CODE.sub(lambda match: blank(match.group()), source)


def without_tests(text):
    """Returns the code with the items that are compiled only for tests replaced by blanks."""
    while match := TEST_ONLY.search(text):
        end = item_end(text, match.end())
        text = text[: match.start()] + blank(text[match.start() : end]) + text[end:]
    return text


def item_end(text, start):
    """Returns the end of the item at `start`, as an offset. An item ends with a `;`, or with the brace that closes its
    body."""
    depth = 0
    for offset in range(start, len(text)):
        sign = text[offset]
        if sign in "([{":
            depth += 1
        elif sign in ")]}":
            depth -= 1
            if depth == 0 and sign == "}":
                # `use a::{b, c};` continues after the brace.
                rest = re.compile(r"\s*;").match(text, offset + 1)
                return rest.end() if rest else offset + 1
        elif sign == ";" and depth == 0:
            return offset + 1
    return len(text)


def use_paths(tree):
    """Yields `(segments, alias)` for each path of a `use` tree. `alias` is the name that the path binds."""
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
    """Splits at the commas outside braces."""
    parts, depth, begin = [], 0, 0
    for offset, sign in enumerate(text):
        depth += (sign == "{") - (sign == "}")
        if sign == "," and depth == 0:
            parts.append(text[begin:offset])
            begin = offset + 1
    return [part for part in [*parts, text[begin:]] if part.strip()]


def functions(text):
    """Yields the name, the offset of the beginning, and the offset of the end of each function that has a body."""
    for match in FUNCTION.finditer(text):
        end = item_end(text, match.start())
        if text[end - 1] == "}":
            yield match[1], match.start(), end
