//! API keys, and the routes whose requests need an API key.

use sha2::{Digest, Sha256};

/// The SHA-256 digest of an API key. The process does not store the key itself. Comparing two digests always takes the
/// same time, so the duration reveals nothing about the keys.
#[derive(Debug, Clone, Copy)]
pub struct Key([u8; 32]);

impl Key {
    fn new(key: &[u8]) -> Key {
        Key(Sha256::digest(key).into())
    }

    /// Compares all bytes, so that the time does not depend on the number of equal bytes.
    fn equals(&self, other: &Key) -> bool {
        self.0
            .iter()
            .zip(&other.0)
            .fold(0, |differences, (left, right)| differences | (left ^ right))
            == 0
    }
}

/// Minimum number of characters in a key. Shorter keys can be guessed.
const MIN_KEY_LENGTH: usize = 16;

/// Parses a list of keys, one per line. Ignores blank lines, lines that begin with `#`, and white space around a key.
///
/// # Errors
///
/// Returns a message for each line that is not a key. A key consists of at least 16 visible ASCII characters, without
/// commas: a comma would be a separator of keys that clients have to send one by one. No message contains a key.
pub(crate) fn parse_keys(text: &str) -> Result<Vec<Key>, Vec<String>> {
    let (mut keys, mut errors) = (vec![], vec![]);
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (index, line) in text.lines().enumerate() {
        let key = line.trim();
        if key.is_empty() || key.starts_with('#') {
            continue;
        }
        let line = index + 1;
        if let Some(found) = key.chars().find(|c| !c.is_ascii_graphic() || *c == ',') {
            errors.push(format!(
                "line {line}: expected visible ASCII characters other than a comma, found U+{:04X}",
                u32::from(found)
            ));
        } else if key.len() < MIN_KEY_LENGTH {
            errors.push(format!(
                "line {line}: expected a key of at least {MIN_KEY_LENGTH} characters, found {}",
                key.len()
            ));
        } else {
            keys.push(Key::new(key.as_bytes()));
        }
    }
    if errors.is_empty() { Ok(keys) } else { Err(errors) }
}

/// The routes whose requests need a key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Scope {
    /// All routes except the probes, the documentation and the metrics.
    #[default]
    Predictions,
    /// All routes except the probes.
    All,
}

impl Scope {
    pub(crate) fn parse(text: &str) -> Option<Scope> {
        match text {
            "predictions" => Some(Scope::Predictions),
            "all" => Some(Scope::All),
            _ => None,
        }
    }
}

/// The valid API keys, and the routes whose requests need one of these keys.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// Valid keys. There may be several keys, so that clients can change to a new key before the old key is removed.
    /// Without keys, all routes are open.
    pub keys: Vec<Key>,
    pub scope: Scope,
}

impl Access {
    /// Returns whether `key` is valid. Compares `key` with all valid keys, even after a match, so that the time does
    /// not depend on the position of the match.
    pub(crate) fn admits(&self, key: &[u8]) -> bool {
        let key = Key::new(key);
        self.keys.iter().fold(false, |admitted, known| admitted | known.equals(&key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admits_each_key_and_nothing_else() {
        let file = "\u{feff}# new key, from today\r\nkey-of-today-0001\r\n\r\n  key-of-yesterday \n#third-key-of-all\n";
        let access = Access { keys: parse_keys(file).expect("a valid file"), scope: Scope::All };
        assert_eq!(access.keys.len(), 2);
        for key in ["key-of-today-0001", "key-of-yesterday"] {
            assert!(access.admits(key.as_bytes()), "{key}");
        }
        for key in [
            "",
            "new",
            "today",
            "key-of-today-0001 ",
            "KEY-OF-YESTERDAY",
            "#third-key-of-all",
            "third-key-of-all",
        ] {
            assert!(!access.admits(key.as_bytes()), "{key}");
        }
    }

    #[test]
    fn rejects_lines_that_are_not_one_key() {
        let errors = parse_keys(
            "key-of-today-0001\nshort\nkey-one-0001,key-two-0002\nschlüssel-für-heute\na b\n",
        );
        let errors = errors.expect_err("an invalid file");
        assert_eq!(
            errors,
            [
                "line 2: expected a key of at least 16 characters, found 5",
                "line 3: expected visible ASCII characters other than a comma, found U+002C",
                "line 4: expected visible ASCII characters other than a comma, found U+00FC",
                "line 5: expected visible ASCII characters other than a comma, found U+0020",
            ]
        );
    }
}
