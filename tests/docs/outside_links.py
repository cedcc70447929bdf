"""An mdBook preprocessor: replaces links that leave docs/, which the site does not contain.

With `git-repository-url` in book.toml they point into the repository, otherwise only their text remains.
mdBook calls it as described in https://rust-lang.github.io/mdBook/for_developers/preprocessors.html.
"""

import json
import re
import sys

# `[text](../target)`; a text may hold inline code.
OUTSIDE = re.compile(r"\[((?:[^\[\]`]|`[^`]*`)*)\]\(\.\./([^)\s]*)\)")


def replaced(content: str, repository: str | None) -> str:
    link = rf"[\1]({repository}/blob/main/\2)" if repository else r"\1"
    return OUTSIDE.sub(link, content)


def visit(items: list, repository: str | None) -> None:
    for item in items:
        chapter = item.get("Chapter") if isinstance(item, dict) else None
        if chapter:
            chapter["content"] = replaced(chapter["content"], repository)
            visit(chapter["sub_items"], repository)


def main() -> None:
    if sys.argv[1:2] == ["supports"]:
        return
    context, book = json.load(sys.stdin)
    html = context["config"].get("output", {}).get("html", {})
    visit(book.get("items") or book["sections"], html.get("git-repository-url"))
    json.dump(book, sys.stdout)


main()
