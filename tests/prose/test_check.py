#!/usr/bin/env python3
"""Tests that the check finds the phrases that it should find, and no others."""

import unittest

from check import findings


def found(path, source):
    """Returns line and phrase of each finding."""
    return [(finding.line, finding.phrase) for finding in findings(path, source)]


class Rust(unittest.TestCase):
    def test_phrase_in_a_comment(self):
        self.assertEqual(found("a.rs", "let x = 1; // It has so many rows.\n"), [(1, "so many")])

    def test_phrase_across_lines(self):
        self.assertEqual(found("a.rs", "fn f() {}\n// It has so\n// many rows.\n"), [(2, "so many")])

    def test_phrase_in_a_string(self):
        self.assertEqual(
            found("a.rs", 'bail!("expected an integer, but found `{x}`");'), [(1, "expected an integer, but")]
        )
        self.assertEqual(found("a.rs", 'let x = r#"a\n"told" the\nwhoever"#;'), [(3, "whoever")])

    def test_phrase_in_a_function_name(self):
        self.assertEqual(found("a.rs", "fn whoever_has_gone() {}"), [(1, "whoever")])

    def test_code_is_not_prose(self):
        self.assertEqual(found("a.rs", "let whoever = told;\n"), [])
        self.assertEqual(found("a.rs", "/// Returns `whoever`.\n/// ```\n/// let whoever = 1;\n/// ```\n"), [])

    def test_characters_and_lifetimes(self):
        self.assertEqual(
            found("a.rs", "let q = '\"'; // whoever\nfn f<'a>(x: &'a str) {} // told by\n"),
            [(1, "whoever"), (2, "told by")],
        )

    def test_beginning_of_a_doc_comment(self):
        for word in ("Of", "That", "Where", "Who", "Whether", "So many", "What", "As", "Those", "The same,"):
            with self.subTest(word):
                self.assertIn((1, f"{word} …"), found("a.rs", f"/// {word} rows\nstruct A;\n"))
        self.assertEqual(found("a.rs", "/// Asks the server.\n/// Offset of a row.\nstruct A;\n"), [])

    def test_beginning_of_a_sentence(self):
        self.assertEqual(
            found("a.rs", "// Rows come first. Where\n// none is given, zero is used.\n"), [(1, "Where …")]
        )
        self.assertEqual(found("a.rs", "// Where does it fail? In the parser.\n"), [])

    def test_errors_section(self):
        self.assertEqual(
            found("a.rs", "/// Parses.\n///\n/// # Errors\n///\n/// If it fails.\nfn f() {}\n"),
            [(5, "# Errors: If it fails.")],
        )
        self.assertEqual(found("a.rs", "/// # Errors\n///\n/// Returns an error if it fails.\nfn f() {}\n"), [])


class Python(unittest.TestCase):
    def test_docstring_and_comment(self):
        self.assertEqual(
            found("a.py", '"""Whether it\nis as it comes."""\nx = 1  # whoever\n'),
            [(1, "Whether …"), (2, "as it comes"), (3, "whoever")],
        )

    def test_string_and_name(self):
        self.assertEqual(
            found("a.py", 'def is_told_by(x):\n    return f"{x}: but found"\n'), [(1, "is told"), (2, "but found")]
        )

    def test_code_is_not_prose(self):
        self.assertEqual(found("a.py", "whoever = told\n"), [])


class OtherFiles(unittest.TestCase):
    def test_comments(self):
        for path in ("a.sh", "a.yaml", "a.toml", "Dockerfile"):
            with self.subTest(path):
                self.assertEqual(found(path, "x: 1\n# This is so\n# many.\n"), [(2, "so many")])

    def test_markdown(self):
        text = "# Title\n\nHere `whoever` is code.\n\n```sh\nwhoever\n```\n\n[a](https://a.b/whoever) whoever\n"
        self.assertEqual(found("a.md", text), [(9, "whoever")])

    def test_words_that_resemble_a_phrase(self):
        text = "The page fault handler is answerable; so-many; foretold tales; it is None; a question mark."
        self.assertEqual(found("a.md", text), [])


if __name__ == "__main__":
    unittest.main()
