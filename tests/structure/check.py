#!/usr/bin/env python3
"""Checks the structure of the workspace's crates.

    tests/structure/check.py [FOLDER ...]

It fails if

1. files import each other in a cycle;
2. a file imports a layer above its own, by the order of LAYERS;
3. a folder of sources has more than 40 entries;
4. a function has more than 80 lines, and no comment above it or in its first lines begins with `Long because`.

Without an argument the program checks `src` and `crates/*/src`. It needs only Python's standard library.

File A imports file B if A contains a `use` or another path that leads to a module in B. The path may begin with
`crate::`, `super::`, `self::`, the name of a child module, or the name of a module that a `use` binds.

- A `mod child;` alone is not an import.
- A `pub use` is an import like any other `use`. A file that imports a re-exported name imports the file with the
  `pub use`, and not the file that defines the name.
- An inline module belongs to the file that contains it.
- Items under `#[cfg(test)]` are ignored.
- A path to a macro is an import of the file that defines the macro. Macros are not expanded.
"""

import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

import rust

ROOT = Path(__file__).resolve().parents[2]
# The layers of each crate from top to bottom. A layer is a module at the root of the crate. A file may import files of
# its own layer and of lower layers. A module that is not listed is below all layers.
LAYERS = {
    "src": ("main", "lib", "cli", "server", "http", "protocol"),
    "crates/onnx-ml/src": ("lib", "prepared", "dynamic", "ops", "passes", "operator", "kernels", "encoding", "proto"),
}
MAX_ENTRIES = 40
MAX_LINES = 80
REASON = re.compile(r"\s*//[/!]?\s*Long because ")


@dataclass
class Module:
    """A module: its path in the crate, its file, and its code without the code of inline modules."""

    path: tuple
    file: Path
    text: str
    children: dict = field(default_factory=dict)


class Crate:
    """The modules of a library or binary, and the imports between their files."""

    def __init__(self, root):
        self.modules, self.macros, self.imports = {}, {}, {}
        self._read(root, ())
        for module in self.modules.values():
            for name in re.findall(r"\bmacro_rules!\s*(\w+)", module.text):
                self.macros[name] = module.file
        for module in self.modules.values():
            self._find_imports(module)

    def _read(self, file, path):
        text = rust.without_tests(rust.code(file.read_text()))
        folder = file.parent if file.name in ("lib.rs", "main.rs", "mod.rs") else file.with_suffix("")
        self._add(path, file, text, folder)

    def _add(self, path, file, text, folder):
        module = self.modules[path] = Module(path, file, text)
        offset = 0
        while match := rust.MODULE.search(module.text, offset):
            child = (*path, match["name"])
            module.children[match["name"]] = child
            offset = match.end()
            if match["end"] == "{":
                offset = rust.item_end(module.text, match.start("name"))
                body = rust.blank(module.text[: match.end()]) + module.text[match.end() : offset - 1]
                self._add(child, file, body, folder / match["name"])
                blanked = rust.blank(module.text[match.start() : offset])
                module.text = module.text[: match.start()] + blanked + module.text[offset:]
            else:
                files = [folder / f"{match['name']}.rs", folder / match["name"] / "mod.rs"]
                if found := next((file for file in files if file.exists()), None):
                    self._read(found, child)

    def _find_imports(self, module):
        bound = {}
        for match in rust.USE.finditer(rust.VISIBILITY.sub(lambda found: rust.blank(found.group()), module.text)):
            for segments, alias in rust.use_paths(match["tree"]):
                target, rest = self._resolve(module, segments, {})
                if target is not None:
                    self._import(module, match.start(), self.modules[target].file)
                    if not rest:
                        bound[alias] = target
        rest = rust.USE.sub(lambda match: rust.blank(match.group()), module.text)
        rest = rust.VISIBILITY.sub(lambda match: rust.blank(match.group()), rest)
        for match in rust.PATH.finditer(rest):
            segments = re.split(r"\s*::\s*", match["path"].lstrip("$"))
            if match["bang"] and segments[-1] in self.macros:
                self._import(module, match.start(), self.macros[segments[-1]])
                continue
            target, _ = self._resolve(module, segments, bound)
            if target is not None:
                self._import(module, match.start(), self.modules[target].file)

    def _resolve(self, module, segments, bound):
        """Returns the module that a path leads to, and the rest of the path. The module is `None` if the path leads out of
        the crate."""
        first, rest = segments[0], segments[1:]
        if first == "crate":
            at = ()
        elif first == "self":
            at = module.path
        elif first == "super":
            at = module.path[:-1]
            while rest[:1] == ["super"]:
                at, rest = at[:-1], rest[1:]
        elif first in module.children:
            at, rest = module.path, segments
        elif first in bound:
            at = bound[first]
        else:
            return None, segments
        while rest and at in self.modules and rest[0] in self.modules[at].children:
            child = self.modules[at].children[rest[0]]
            if child not in self.modules:
                break
            at, rest = child, rest[1:]
        return (at if at in self.modules else None), rest

    def _import(self, module, offset, file):
        if file != module.file:
            line = module.text.count("\n", 0, offset) + 1
            self.imports.setdefault(module.file, {}).setdefault(file, line)

    def cycles(self):
        """Returns the groups of files that import each other, directly or through other files (Tarjan's algorithm)."""
        indices, lowest, stack, found = {}, {}, [], []

        def visit(file):
            indices[file] = lowest[file] = len(indices)
            stack.append(file)
            for imported in self.imports.get(file, ()):
                if imported not in indices:
                    visit(imported)
                    lowest[file] = min(lowest[file], lowest[imported])
                elif imported in stack:
                    lowest[file] = min(lowest[file], indices[imported])
            if lowest[file] == indices[file]:
                group = stack[stack.index(file) :]
                del stack[stack.index(file) :]
                if len(group) > 1:
                    found.append(sorted(group))

        for file in sorted(self.imports):
            if file not in indices:
                visit(file)
        return found


def check_cycles(source):
    """Yields a finding for each cycle of imports in a crate. The finding lists the files and the imports of the cycle."""
    for root in (source / "lib.rs", source / "main.rs"):
        if not root.exists():
            continue
        crate = Crate(root)
        for group in crate.cycles():
            lines = [f"{shown(source)}: {len(group)} files import each other in a cycle"]
            for file in group:
                inside = sorted((line, other) for other, line in crate.imports[file].items() if other in group)
                lines += [f"    {shown(file)}:{line}: imports {shown(other)}" for line, other in inside]
            yield "\n".join(lines)


def check_layers(source, layers=None):
    """Yields a finding for each import of a higher layer."""
    layers = layers or LAYERS.get(str(shown(source)), ())

    def layer(file):
        name = file.relative_to(source.resolve()).parts[0].removesuffix(".rs")
        return layers.index(name) if name in layers else len(layers)

    for root in (source / "lib.rs", source / "main.rs"):
        if not layers or not root.exists():
            continue
        for file, others in Crate(root.resolve()).imports.items():
            for other, line in others.items():
                if layer(other) < layer(file):
                    yield f"{shown(file)}:{line}: imports {shown(other)}, which is in a higher layer"


def check_folders(source):
    """Yields a finding for each folder with too many entries."""
    for folder in [source, *sorted(path for path in source.rglob("*") if path.is_dir())]:
        count = len(list(folder.iterdir()))
        if count > MAX_ENTRIES:
            yield f"{shown(folder)}: expected at most {MAX_ENTRIES} entries, found {count}"


def check_functions(source):
    """Yields a finding for each long function without a comment that gives a reason."""
    for file in sorted(source.rglob("*.rs")):
        text = file.read_text()
        lines = text.split("\n")
        bare = rust.code(text)
        for name, start, end in rust.functions(bare):
            first, last = bare.count("\n", 0, start), bare.count("\n", 0, end)
            if last - first + 1 > MAX_LINES and not has_reason(lines, first):
                found = f"expected at most {MAX_LINES} lines, found {last - first + 1}"
                yield f"{shown(file)}:{first + 1}: function `{name}`: {found}"


def has_reason(lines, first):
    """Returns whether a comment says why the function at this line is long."""
    above = first
    while above > 0 and re.match(r"\s*(//|#\[|\))", lines[above - 1]):
        above -= 1
    return any(REASON.match(line) for line in lines[above : first + 10])


def shown(path):
    path = path.resolve()
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


def main(arguments):
    sources = [Path(argument) for argument in arguments] or [ROOT / "src", *sorted(ROOT.glob("crates/*/src"))]
    count = 0
    for source in sources:
        for check in (check_cycles, check_layers, check_folders, check_functions):
            for finding in check(source):
                print(finding)
                count += 1
    if count:
        sys.exit(f"{count} findings")


if __name__ == "__main__":
    main(sys.argv[1:])
