//! The short road for JSON that is numbers and little else: read by hand, straight into the tensors. It
//! takes what is plain and right. Of anything else it says `None`, and the long road through serde reads
//! it again from the start, which also tells what is wrong with it.

use crate::protocol::number;
use ml_app_model::{Data, Feature, Rows, Signature, Tensors, Value};

/// More nested arrays than any tensor has are for the long road, which has its own limit.
const DEEPEST: usize = 16;

/// A place in a text.
pub struct Scanner<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Scanner<'t> {
    pub fn new(text: &'t str) -> Scanner<'t> {
        Scanner { text, at: 0 }
    }

    /// The next byte that is no whitespace.
    #[inline]
    pub fn peek(&mut self) -> Option<u8> {
        loop {
            match self.byte()? {
                b' ' | b'\n' | b'\r' | b'\t' => self.at += 1,
                byte => return Some(byte),
            }
        }
    }

    #[inline]
    fn next(&mut self) -> Option<u8> {
        let next = self.peek()?;
        self.at += 1;
        Some(next)
    }

    #[inline]
    pub fn take(&mut self, expected: u8) -> Option<()> {
        match self.byte()? == expected {
            true => self.at += 1,
            false => self.take_after_space(expected)?,
        }
        Some(())
    }

    #[inline(never)]
    fn take_after_space(&mut self, expected: u8) -> Option<()> {
        (self.next()? == expected).then_some(())
    }

    /// Nothing is left.
    pub fn end(&mut self) -> Option<()> {
        self.peek().is_none().then_some(())
    }

    /// `name` as a key, with its colon. In `name` nothing must need an escape.
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

    #[inline]
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// A number, as serde_json would have it.
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

    #[inline(never)]
    fn any_number(&mut self) -> Option<Value<'static>> {
        self.peek()?;
        let (number, len) = number::read(&self.text.as_bytes()[self.at..])?;
        self.at += len;
        Some(number)
    }

    /// Rows as lists of all features, which are scalars.
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

    /// Rows as objects of all features in their order, which are scalars and called what needs no escape.
    pub fn objects(&mut self, rows: &mut Rows<'_>) -> Option<()> {
        self.array(|scanner| scanner.object(rows))
    }

    /// One of [`Scanner::objects`].
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

/// The elements of a tensor, nested or flat.
pub fn elements(text: &str, data: &mut Data) -> Option<()> {
    let mut scanner = Scanner::new(text);
    let mut depth = 0;
    loop {
        while scanner.peek()? == b'[' {
            scanner.at += 1;
            depth += 1;
        }
        if depth == 0 || depth > DEEPEST {
            return None;
        }
        data.push(scanner.number()?).ok()?;
        while scanner.next()? == b']' {
            depth -= 1;
            if depth == 0 {
                return scanner.end();
            }
        }
        // What was neither an end nor a comma is no number's begin either.
        if scanner.text.as_bytes()[scanner.at - 1] != b',' {
            return None;
        }
    }
}

/// What `read` makes of the whole text.
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

/// One object and nothing else: see [`Scanner::object`].
pub fn object(text: &str, rows: &mut Rows<'_>) -> Option<()> {
    let mut scanner = Scanner::new(text);
    scanner.object(rows)?;
    scanner.end()
}

/// Whether all features are scalars.
pub fn has_plain_lists(signature: &Signature) -> bool {
    signature.features.iter().all(Feature::is_scalar)
}

/// Whether they also are called the same in JSON.
pub fn has_plain_objects(signature: &Signature) -> bool {
    has_plain_lists(signature) && signature.features.iter().all(|feature| is_plain(&feature.name))
}

fn is_plain(name: &str) -> bool {
    !name.bytes().any(|byte| byte == b'"' || byte == b'\\' || byte < b' ')
}

/// Texts for tests that compare the two roads.
#[cfg(test)]
#[derive(Debug, Default)]
pub struct Random(u64);

#[cfg(test)]
impl Random {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % bound
    }

    /// A number of any length and form.
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

    /// A number that mostly is an integer, in any form.
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

    /// The same text, or, half of the time, with a part put in or a byte taken out.
    pub fn damaged(&mut self, mut text: String) -> String {
        const PARTS: [&str; 18] = [
            "[", "]", "{", "}", ",", ":", "-", ".", "e", "E", "+", "0", "7", " ", "\n", "\"",
            "null", "[]",
        ];
        let at = self.below(text.len() as u64) as usize;
        match self.below(4) {
            0 => drop(text.remove(at)),
            1 => text.insert_str(at, PARTS[self.below(PARTS.len() as u64) as usize]),
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

    /// By serde.
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

    fn long_road(text: &str, datatype: Datatype) -> Option<Data> {
        let mut data = Data::new(datatype);
        let mut source = serde_json::Deserializer::from_str(text);
        Seed(Elements(&mut data)).deserialize(&mut source).ok()?;
        source.end().ok()?;
        Some(data)
    }

    fn short_road(text: &str, datatype: Datatype) -> Option<Data> {
        let mut data = Data::new(datatype);
        elements(text, &mut data).map(|()| data)
    }

    const KINDS: [Datatype; 4] =
        [Datatype::Float32, Datatype::Float64, Datatype::Int64, Datatype::Uint8];

    #[test]
    fn plain_numbers_are_read() {
        for text in [
            "[1]",
            " [ [1 , -2],\n[3.5,4e2]\t] ",
            "[0.1,1e-7,123456789012345678,2.5E+3,-0.0,1e300]",
        ] {
            let expected = long_road(text, Datatype::Float64);
            assert!(expected.is_some(), "{text}");
            assert_eq!(short_road(text, Datatype::Float64), expected, "{text}");
        }
    }

    #[test]
    fn whatever_is_read_is_what_serde_reads() {
        let mut random = Random::default();
        let mut read = 0;
        for _ in 0..40_000 {
            let entries: Vec<String> = (0..=random.below(6)).map(|_| random.number()).collect();
            let text = random.damaged(format!("[{}]", entries.join(",")));
            for datatype in KINDS {
                if let Some(data) = short_road(&text, datatype) {
                    assert_eq!(Some(data), long_road(&text, datatype), "{text}");
                    read += 1;
                }
            }
        }
        assert!(read > 20_000, "{read}");
    }

    #[test]
    fn names_that_json_writes_otherwise_are_not_plain() {
        for name in ["a\"b", "a\\b", "a\nb"] {
            assert!(!is_plain(name), "{name:?}");
            let mut written = vec![];
            json::scalar(&mut written, name);
            assert_ne!(written, format!("\"{name}\"").into_bytes());
        }
        assert!(is_plain("Größe, cm"));
    }
}
