//! The operators on strings.

mod bag;
mod murmur_hash3;
mod ngrams;
mod pattern;
mod regex_full_match;
pub(crate) mod string_cast;
mod string_concat;
pub(crate) mod string_normalizer;
mod string_split;
pub(crate) mod tf_idf_vectorizer;
mod tokenizer;

use tract_onnx::model::OnnxOpRegister;

/// Registers the operators of this group.
pub(super) fn register(operators: &mut OnnxOpRegister) {
    operators.insert("MurmurHash3", murmur_hash3::murmur_hash3);
    operators.insert("RegexFullMatch", regex_full_match::regex_full_match);
    operators.insert("StringConcat", string_concat::string_concat);
    operators.insert("StringNormalizer", string_normalizer::string_normalizer);
    operators.insert("StringSplit", string_split::string_split);
    operators.insert("TfIdfVectorizer", tf_idf_vectorizer::tf_idf_vectorizer);
    operators.insert("Tokenizer", tokenizer::tokenizer);
}
