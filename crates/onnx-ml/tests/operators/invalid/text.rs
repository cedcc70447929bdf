//! Operators on strings.

use super::{expect_errors, texts};
use crate::node::{floats, int, ints, string, strings};

#[test]
fn rejects_invalid_string_normalizers() {
    let base = [string("case_change_action", "LOWER")];
    let cases = [("found TITLE", vec![string("case_change_action", "TITLE")])];
    expect_errors("StringNormalizer", 1, &[texts()], &base, &cases);
}

#[test]
fn rejects_invalid_tokenizers() {
    let base = [
        int("mark", 0),
        int("mincharnum", 1),
        string("pad_value", "#"),
        string("tokenexp", "[a-z]+"),
    ];
    let long = "a".repeat(10_001);
    let cases = [
        ("expected 1 or more, found 0", vec![int("mincharnum", 0)]),
        ("expected 1 or more, found -1", vec![int("mincharnum", -1)]),
        ("separators or a tokenexp, found neither", vec![string("tokenexp", "")]),
        ("1 for tokens of one character", vec![strings("separators", &[""]), int("mincharnum", 2)]),
        ("expected a regular expression, found `[`", vec![string("tokenexp", "[")]),
        ("expected a regular expression", vec![strings("separators", &["a", "(?=b)"])]),
        ("expected a regular expression", vec![string("tokenexp", "(a{1000}){1000}")]),
        ("bytes or less, found 10001", vec![string("tokenexp", &long)]),
    ];
    expect_errors("Tokenizer", 1, &[texts()], &base, &cases);
}

#[test]
fn rejects_invalid_tf_idf_vectorizers() {
    let base = [
        string("mode", "TFIDF"),
        int("min_gram_length", 1),
        int("max_gram_length", 2),
        int("max_skip_count", 1),
        ints("ngram_counts", &[0, 1]),
        ints("ngram_indexes", &[0, 1]),
        strings("pool_strings", &["a", "a", "b"]),
    ];
    let cases = [
        ("found TDIDF", vec![string("mode", "TDIDF")]),
        ("lengths from 1 to 2, found 0 to 2", vec![int("min_gram_length", 0)]),
        ("lengths from 1 to 2, found 1 to 3", vec![int("max_gram_length", 3)]),
        (
            "lengths from 1 to 2, found 2 to 1",
            vec![int("min_gram_length", 2), int("max_gram_length", 1)],
        ),
        ("found -1 to 2", vec![int("min_gram_length", -1)]),
        ("expected 0 to 100, found 101", vec![int("max_skip_count", 101)]),
        ("expected 0 to 100, found -1", vec![int("max_skip_count", -1)]),
        ("ascending starts from 0 to 3", vec![ints("ngram_counts", &[0, 4])]),
        ("ascending starts from 0 to 3", vec![ints("ngram_counts", &[1, 0])]),
        ("ascending starts from 0 to 3", vec![ints("ngram_counts", &[-1, 1])]),
        ("n-grams of 2 words, found 3", vec![ints("ngram_counts", &[0, 0])]),
        ("expected an index for each n-gram", vec![ints("ngram_indexes", &[0])]),
        ("one index for each n-gram, found 1 more", vec![ints("ngram_indexes", &[0, 1, 2])]),
        ("expected ngram_indexes from 0", vec![ints("ngram_indexes", &[0, -1])]),
        ("expected ngram_indexes from 0", vec![ints("ngram_indexes", &[0, 1 << 40])]),
        ("none or 2 elements, found 1", vec![floats("weights", &[1.0])]),
        ("pool_strings or pool_int64s, found neither", vec![strings("pool_strings", &[])]),
        (
            "expected different n-grams",
            vec![ints("ngram_counts", &[0, 3]), ints("ngram_indexes", &[0, 1, 2])],
        ),
        (
            "expected integers, as in the pool, found String",
            vec![strings("pool_strings", &[]), ints("pool_int64s", &[1, 1, 2])],
        ),
    ];
    expect_errors("TfIdfVectorizer", 1, &[texts()], &base, &cases);
}

#[test]
fn rejects_invalid_regular_expressions() {
    let cases = [
        ("expected a regular expression, found `)(`", vec![string("pattern", ")(")]),
        ("expected a regular expression", vec![string("pattern", r"\p{Klingon}")]),
    ];
    expect_errors("RegexFullMatch", 1, &[texts()], &[string("pattern", "a+")], &cases);
}
