"""Checks every relative link and anchor in the repository's Markdown files, and in a site built from them.

    links.py [SITE]

Paths of the repository in inline code, such as `src/main.rs`, must exist too. Links to other hosts are not checked.
Prints the broken links. Exits with 1 if there are any.
"""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"(`+)(?:(?!`).)+?\1")
LINK = re.compile(r"\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)")
PATH = re.compile(r"`((?:benches|build|crates|docs|examples|fuzz|manifests|src|tests|training)/[\w./-]+)`")
# The worked examples of ARCHITECTURE.md contain paths of files that do not exist. Each of these paths contains one of
# these words.
EXAMPLES = ("matrix", "unfold_tensor")
HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*$", re.MULTILINE)


def anchors(markdown: str) -> set[str]:
    """Returns the anchors that GitHub and mdBook generate for the headings."""
    found: dict[str, int] = {}
    for heading in HEADING.findall(FENCE.sub("", markdown)):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        count = found[slug] = found.get(slug, -1) + 1
        if count:
            found[f"{slug}-{count}"] = 0
    return set(found)


def markdown_errors() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    tracked = {ROOT / name for name in listed.stdout.split("\0") if name}
    tracked_paths = tracked | {parent for file in tracked for parent in file.parents}
    errors = []
    for file in sorted(file for file in tracked if file.suffix == ".md" and file.exists()):
        text = FENCE.sub("", file.read_text())
        for path in PATH.findall(text):
            if ROOT / path.rstrip("/") not in tracked_paths and not any(part in path for part in EXAMPLES):
                errors.append(f"{file.relative_to(ROOT)}: `{path}`: expected a tracked file or folder")
        # The text of a link may be code.
        for target in LINK.findall(CODE.sub("code", text)):
            link = urlsplit(target)
            if link.scheme or link.netloc:
                continue
            path = (file.parent / unquote(link.path)).resolve() if link.path else file
            position = f"{file.relative_to(ROOT)}: {target}"
            if path not in tracked_paths:
                errors.append(f"{position}: expected a tracked file or folder")
            elif link.fragment and path.suffix == ".md" and link.fragment not in anchors(path.read_text()):
                errors.append(f"{position}: expected a heading with this anchor")
    return errors


class Page(HTMLParser):
    """The IDs and the links of an HTML page."""

    def __init__(self, file: Path):
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.feed(file.read_text())

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name == "id":
                self.ids.add(value or "")
            elif name in ("href", "src") and value:
                self.links.append(value)


def site_errors(site: Path) -> list[str]:
    pages = {file: Page(file) for file in sorted(site.rglob("*.html")) if file.name != "404.html"}
    errors = [] if pages else [f"{site}: expected HTML pages, found none"]
    for file, page in pages.items():
        for target in page.links:
            link = urlsplit(target)
            if link.scheme or link.netloc:
                continue
            path = (file.parent / unquote(link.path)).resolve() if link.path else file
            path = path / "index.html" if path.is_dir() else path
            position = f"{file.relative_to(site)}: {target}"
            if not path.is_relative_to(site) or not path.exists():
                errors.append(f"{position}: expected a file of the site")
            elif link.fragment and path in pages and link.fragment not in pages[path].ids:
                errors.append(f"{position}: expected an element with this ID")
    return errors


errors = markdown_errors()
if sys.argv[1:]:
    errors += site_errors(Path(sys.argv[1]).resolve())
print("\n".join(errors) or "ok: every relative link has a target")
sys.exit(1 if errors else 0)
