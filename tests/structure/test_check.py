#!/usr/bin/env python3
"""Tests that the check finds cycles, imports of higher layers, full folders and long functions, and nothing else."""

import tempfile
import unittest
from pathlib import Path

from check import Crate, check_cycles, check_folders, check_functions, check_layers


class Sources(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name).resolve()

    def write(self, **files):
        """Writes files. In the names of the arguments, `__` stands for `/`."""
        for name, source in files.items():
            path = self.root / (name.replace("__", "/") + ".rs")
            path.parent.mkdir(exist_ok=True)
            path.write_text(source)

    def imports(self):
        """Returns the imports as pairs of file names. The first file of a pair imports the second file."""
        found = Crate(self.root / "lib.rs").imports
        names = {file: str(file.relative_to(self.root)) for file in self.root.rglob("*.rs")}
        return {(names[file], names[other]) for file, others in found.items() for other in others}


class Imports(Sources):
    def test_a_declaration_is_not_an_import(self):
        self.write(lib="mod a;\npub mod b { }\n", a="")
        self.assertEqual(self.imports(), set())

    def test_use_trees(self):
        self.write(lib="mod a; mod b; mod c;", a="use crate::{b::{self, X}, c::Y as Z};", b="", c="")
        self.assertEqual(self.imports(), {("a.rs", "b.rs"), ("a.rs", "c.rs")})

    def test_paths_in_code(self):
        self.write(lib="mod a; mod b;", a="fn f() -> super::b::X { crate::b::y() }", b="")
        self.assertEqual(self.imports(), {("a.rs", "b.rs")})

    def test_child_by_its_name(self):
        self.write(lib="mod a;", a="mod b; fn f() { b::g() }", a__b="fn g() { self::h(); super::f() }")
        self.assertEqual(self.imports(), {("a.rs", "a/b.rs"), ("a/b.rs", "a.rs")})

    def test_module_bound_by_a_use(self):
        self.write(lib="mod a; mod b;", a="use crate::b; fn f() { b::c::g() }", b="pub mod c;", b__c="")
        self.assertEqual(self.imports(), {("a.rs", "b.rs"), ("a.rs", "b/c.rs")})

    def test_re_export(self):
        self.write(lib="mod a; mod b; pub use b::X;", a="use crate::X;", b="")
        self.assertEqual(self.imports(), {("lib.rs", "b.rs"), ("a.rs", "lib.rs")})

    def test_inline_module_belongs_to_its_file(self):
        self.write(lib="mod a; mod b;", a="mod inner { use super::f; use super::super::b::X; }", b="")
        self.assertEqual(self.imports(), {("a.rs", "b.rs")})

    def test_macro_is_imported_from_its_file(self):
        self.write(
            lib="mod a; mod b;", a="macro_rules! m { () => { $crate::b::f() } }", b="fn g() { crate::m!() }"
        )
        self.assertEqual(self.imports(), {("b.rs", "a.rs"), ("a.rs", "b.rs")})

    def test_tests_comments_strings_and_visibility_do_not_count(self):
        self.write(
            lib="mod a; mod b;",
            a="#[cfg(test)]\nmod tests { use crate::b::X; }\n#[cfg(test)]\nuse crate::b::Y;\n"
            '// crate::b::f()\nconst X: &str = "crate::b::f";\npub(in crate::b) fn f() { other::b::g() }',
            b="",
        )
        self.assertEqual(self.imports(), set())


class Findings(Sources):
    def test_cycle(self):
        self.write(lib="mod a; mod b; mod c;", a="use crate::b;\n", b="use crate::c::X;", c="use super::a::Y;")
        (finding,) = check_cycles(self.root)
        self.assertIn("3 files import each other", finding)
        self.assertIn("a.rs:1: imports", finding)

    def test_no_cycle(self):
        self.write(lib="mod a; mod b; mod c; use a::X;", a="use crate::b::Y;", b="use crate::c::Z;", c="")
        self.assertEqual(list(check_cycles(self.root)), [])

    def test_layers(self):
        self.write(lib="mod a; mod b; mod c;", a="use crate::b::X;", b="use crate::c::Y;", c="")
        self.assertEqual(list(check_layers(self.root, ("a", "b"))), [])
        (finding,) = check_layers(self.root, ("b", "a"))
        self.assertIn("a.rs:1: imports", finding)
        self.assertEqual(len(list(check_layers(self.root, ("c", "b")))), 2)

    def test_full_folder(self):
        self.write(**{f"file{number}": "" for number in range(40)})
        self.assertEqual(list(check_folders(self.root)), [])
        self.write(one_more="")
        self.assertEqual(len(list(check_folders(self.root))), 1)

    def test_long_function(self):
        def body(lines):
            return "\n".join(["    // }", *['    call("{");'] * (lines - 3)])

        self.write(a=f"fn f() {{\n{body(80)}\n}}\n\nfn g(x: [u8; 2]) {{}}\n")
        self.assertEqual(list(check_functions(self.root)), [])
        self.write(a=f"fn f() {{\n{body(81)}\n}}\n")
        self.assertEqual(len(list(check_functions(self.root))), 1)
        self.write(a=f"// Long because it is a table.\n#[inline]\nfn f() {{\n{body(81)}\n}}\n")
        self.assertEqual(list(check_functions(self.root)), [])


if __name__ == "__main__":
    unittest.main()
