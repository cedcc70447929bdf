"""An mdBook preprocessor that replaces links to files outside docs/, because the site does not contain these files.

If book.toml has `git-repository-url`, the links then point into the repository. Otherwise only the text of the links
remains.
mdBook calls it as described in https://rust-lang.github.io/mdBook/for_developers/preprocessors.html.
"""

import json
import re
import sys

# A link `[text](../target)`. The text may contain inline code.
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
