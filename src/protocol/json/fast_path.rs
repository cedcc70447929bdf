//! Fast path for JSON whose values are all numbers, in arrays or in objects with known keys. The fast path parses the
//! numbers straight into the tensors, without serde.
//!
//! Every function returns `None` at the first byte that it does not expect. The JSON is then invalid, or valid but
//! unusual. In both cases the caller parses the whole text again with serde, which supports all JSON and reports errors
//! with their position. So the functions of this module report no errors. If a function returns a result, serde must
//! accept the text too, and return the same result.

use crate::protocol::number;
use ml_app_model::{Data, Feature, Rows, Signature, Tensors, Value};

/// Maximum nesting of arrays. The fast path leaves deeper arrays to serde. The limit is below serde_json's own limit of
/// 128, so serde accepts all arrays that the fast path accepts.
const MAX_DEPTH: usize = 16;

/// A JSON text and the position of the next token.
pub struct Scanner<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Scanner<'t> {
    pub fn new(text: &'t str) -> Scanner<'t> {
        Scanner { text, at: 0 }
    }

    /// Skips whitespace and returns the next byte. The position stays before that byte.
    #[inline]
    pub fn peek(&mut self) -> Option<u8> {
        loop {
            match self.byte()? {
                b' ' | b'\n' | b'\r' | b'\t' => self.at += 1,
                byte => return Some(byte),
            }
        }
    }

    /// Skips whitespace and takes the next byte.
    #[inline]
    fn next(&mut self) -> Option<u8> {
        let next = self.peek()?;
        self.at += 1;
        Some(next)
    }

    /// Takes the next byte after optional whitespace, if it is `expected`. Only the common case without whitespace is
    /// inlined.
    #[inline]
    pub fn take(&mut self, expected: u8) -> Option<()> {
        if self.byte()? == expected {
            self.at += 1;
        } else {
            self.take_after_whitespace(expected)?;
        }
        Some(())
    }

    #[inline(never)]
    fn take_after_whitespace(&mut self, expected: u8) -> Option<()> {
        (self.next()? == expected).then_some(())
    }

    /// Checks that only whitespace is left.
    pub fn end(&mut self) -> Option<()> {
        self.peek().is_none().then_some(())
    }

    /// Takes a key and its colon if the key is `name`. No character of `name` may need an escape.
    #[inline]
    pub fn key(&mut self, name: &str) -> Option<()> {
        self.take(b'"')?;
        let rest = self.text.as_bytes()[self.at..].strip_prefix(name.as_bytes())?;
        if rest.first() != Some(&b'"') {
            return None;
        }
        self.at += name.len() + 1;
        self.take(b':')
    }

    /// Returns the byte at the current position.
    #[inline]
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Takes a number after optional whitespace. Returns the same value, of the same type, as serde_json. Only the code
    /// for unsigned integers of up to seven digits without whitespace is inlined.
    #[inline]
    pub fn number(&mut self) -> Option<Value<'static>> {
        match number::short_integer(self.text.as_bytes().get(self.at..)?) {
            Some((integer, len)) => {
                self.at += len;
                Some(Value::Integer(integer.into()))
            }
            None => self.any_number(),
        }
    }

    /// Takes any number after optional whitespace. This function is not inlined, so that [`Scanner::number`] stays
    /// small.
    #[inline(never)]
    fn any_number(&mut self) -> Option<Value<'static>> {
        self.peek()?;
        let (number, len) = number::read(&self.text.as_bytes()[self.at..])?;
        self.at += len;
        Some(number)
    }

    /// Takes an array of rows, which are arrays of all features in the model's order. [`supports_lists`] must be true.
    pub fn lists(&mut self, rows: &mut Rows<'_>) -> Option<()> {
        self.array(|scanner| {
            scanner.take(b'[')?;
            rows.add_scalars(|feature| {
                if feature > 0 {
                    scanner.take(b',')?;
                }
                scanner.number()
            })?;
            scanner.take(b']')
        })
    }

    /// Takes an array of rows, which are objects with all features in the model's order. [`supports_objects`] must be
    /// true.
    pub fn objects(&mut self, rows: &mut Rows<'_>) -> Option<()> {
        self.array(|scanner| scanner.object(rows))
    }

    /// Takes one row, which is an object as in [`Scanner::objects`].
    #[inline]
    pub fn object(&mut self, rows: &mut Rows<'_>) -> Option<()> {
        let features = &rows.signature().features;
        self.take(b'{')?;
        rows.add_scalars(|feature| {
            if feature > 0 {
                self.take(b',')?;
            }
            self.key(&features[feature].name)?;
            self.number()
        })?;
        self.take(b'}')
    }

    /// Takes an array of at least one entry.
    fn array(&mut self, mut entry: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.take(b'[')?;
        loop {
            entry(self)?;
            match self.next()? {
                b',' => {}
                b']' => return Some(()),
                _ => return None,
            }
        }
    }
}

/// Parses an array of numbers, nested or flat, and appends the numbers to `data` in the order of the text, which is
/// row-major order. If it returns `None`, `data` may contain some of the numbers.
///
/// The nesting is not compared with a shape, because the Open Inference Protocol allows any nesting. So only the number
/// of open brackets must be known: in each turn, the loop takes opening brackets, one number, closing brackets, and a
/// comma or the end of the text.
pub fn elements(text: &str, data: &mut Data) -> Option<()> {
    let mut scanner = Scanner::new(text);
    let mut depth = 0;
    loop {
        while scanner.peek()? == b'[' {
            scanner.at += 1;
            depth += 1;
        }
        if depth == 0 || depth > MAX_DEPTH {
            return None;
        }
        data.push(scanner.number()?).ok()?;
        while scanner.next()? == b']' {
            depth -= 1;
            if depth == 0 {
                return scanner.end();
            }
        }
        // The byte that ended the inner loop must be a comma.
        if scanner.text.as_bytes()[scanner.at - 1] != b',' {
            return None;
        }
    }
}

/// Parses a whole text with the function `read`, which adds rows. Returns the rows and the value that `read` returned.
pub fn rows<T>(
    text: &str,
    signature: &Signature,
    read: impl FnOnce(&mut Scanner<'_>, &mut Rows<'_>) -> Option<T>,
) -> Option<(Tensors, T)> {
    let (mut scanner, mut rows) = (Scanner::new(text), Rows::new(signature));
    let read = read(&mut scanner, &mut rows)?;
    scanner.end()?;
    Some((rows.finish().ok()?, read))
}

/// Parses a text that consists of one object, as in [`Scanner::object`], and adds it as a row. If it returns `None`, an
/// incomplete row may remain, which the caller must remove.
pub fn object(text: &str, rows: &mut Rows<'_>) -> Option<()> {
    let mut scanner = Scanner::new(text);
    scanner.object(rows)?;
    scanner.end()
}

/// Returns whether the fast path supports rows that are arrays: all features are scalars, and none is a parameter.
pub fn supports_lists(signature: &Signature) -> bool {
    let is_supported = |feature: &Feature| feature.is_scalar() && !feature.parameter;
    signature.features.iter().all(is_supported)
}

/// Returns whether the fast path supports rows that are objects: [`supports_lists`] is true, and no name needs an
/// escape in JSON.
pub fn supports_objects(signature: &Signature) -> bool {
    supports_lists(signature)
        && signature.features.iter().all(|feature| needs_no_escape(&feature.name))
}

fn needs_no_escape(name: &str) -> bool {
    !name.bytes().any(|byte| byte == b'"' || byte == b'\\' || byte < b' ')
}

/// A generator of random texts for tests that compare the fast path with serde. It is a linear congruential generator
/// with a fixed seed.
#[cfg(test)]
#[derive(Debug, Default)]
pub struct Random(u64);

#[cfg(test)]
impl Random {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % bound
    }

    /// Returns the text of a number of any length, with or without a fraction and an exponent.
    pub fn number(&mut self) -> String {
        let large = self.below(1 << 31);
        match self.below(6) {
            0 => (large as i64 - (1 << 30)).to_string(),
            1 => (large as f64 / 1e4).to_string(),
            2 => format!("{:e}", f64::from_bits(large << 33 | self.below(1 << 31))),
            3 => format!("{}{large}.{large}{}", self.below(1000), self.below(99)),
            4 => format!("{}.0", large % 200),
            _ => (large % 200).to_string(),
        }
    }

    /// Returns the text of a small integer, with or without a sign, a fraction or an exponent. In one of eight cases,
    /// returns any [number](Random::number) instead.
    pub fn integer(&mut self) -> String {
        let small = self.below(200);
        match self.below(8) {
            0 => self.number(),
            1 => format!("{small}.0"),
            2 => format!("{small}e1"),
            3 => format!("-{small}"),
            _ => small.to_string(),
        }
    }

    /// Returns the text unchanged in half of the cases. Otherwise inserts a token or removes a character.
    pub fn damaged(&mut self, mut text: String) -> String {
        const TOKENS: [&str; 18] = [
            "[", "]", "{", "}", ",", ":", "-", ".", "e", "E", "+", "0", "7", " ", "\n", "\"",
            "null", "[]",
        ];
        let at = self.below(text.len() as u64) as usize;
        match self.below(4) {
            0 => drop(text.remove(at)),
            1 => text.insert_str(at, TOKENS[self.below(TOKENS.len() as u64) as usize]),
            _ => {}
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::json::{self, Seed, scalars};
    use ml_app_model::Datatype;
    use serde::de::{DeserializeSeed, SeqAccess, Visitor};
    use std::fmt;

    /// Parses elements with serde and appends them to the data.
    struct Elements<'d>(&'d mut Data);

    impl Elements<'_> {
        fn push<E: serde::de::Error>(self, value: Value<'_>) -> Result<(), E> {
            self.0.push(value).map_err(E::custom)
        }
    }

    impl<'de> Visitor<'de> for Elements<'_> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("elements")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
            while entries.next_element_seed(Seed(Elements(&mut *self.0)))?.is_some() {}
            Ok(())
        }

        scalars!(push -> ());
    }

    fn by_serde(text: &str, datatype: Datatype) -> Option<Data> {
        let mut data = Data::new(datatype);
        let mut source = serde_json::Deserializer::from_str(text);
        Seed(Elements(&mut data)).deserialize(&mut source).ok()?;
        source.end().ok()?;
        Some(data)
    }

    fn by_fast_path(text: &str, datatype: Datatype) -> Option<Data> {
        let mut data = Data::new(datatype);
        elements(text, &mut data).map(|()| data)
    }

    const DATATYPES: [Datatype; 4] =
        [Datatype::Float32, Datatype::Float64, Datatype::Int64, Datatype::Uint8];

    #[test]
    fn reads_numbers_in_arrays() {
        for text in [
            "[1]",
            " [ [1 , -2],\n[3.5,4e2]\t] ",
            "[0.1,1e-7,123456789012345678,2.5E+3,-0.0,1e300]",
        ] {
            let expected = by_serde(text, Datatype::Float64);
            assert!(expected.is_some(), "{text}");
            assert_eq!(by_fast_path(text, Datatype::Float64), expected, "{text}");
        }
    }

    #[test]
    fn reads_only_what_serde_reads() {
        let mut random = Random::default();
        let mut read = 0;
        for _ in 0..40_000 {
            let entries: Vec<String> = (0..=random.below(6)).map(|_| random.number()).collect();
            let text = random.damaged(format!("[{}]", entries.join(",")));
            for datatype in DATATYPES {
                if let Some(data) = by_fast_path(&text, datatype) {
                    assert_eq!(Some(data), by_serde(&text, datatype), "{text}");
                    read += 1;
                }
            }
        }
        assert!(read > 20_000, "{read}");
    }

    #[test]
    fn names_with_quotes_or_control_characters_need_an_escape() {
        for name in ["a\"b", "a\\b", "a\nb"] {
            assert!(!needs_no_escape(name), "{name:?}");
            let mut written = vec![];
            json::scalar(&mut written, name);
            assert_ne!(written, format!("\"{name}\"").into_bytes());
        }
        assert!(needs_no_escape("Größe, cm"));
    }
}
