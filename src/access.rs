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

/// Parses a list of keys, separated by commas or white space.
pub(crate) fn parse_keys(text: &str) -> Vec<Key> {
    let keys = text.split(|c: char| c == ',' || c.is_whitespace());
    keys.filter(|key| !key.is_empty()).map(|key| Key::new(key.as_bytes())).collect()
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
        let access = Access { keys: parse_keys("new-key, old-key\nthird\n"), scope: Scope::All };
        assert_eq!(access.keys.len(), 3);
        for key in ["new-key", "old-key", "third"] {
            assert!(access.admits(key.as_bytes()), "{key}");
        }
        for key in ["", "new", "new-key ", "new-key,", "NEW-KEY", "new-key, old-key"] {
            assert!(!access.admits(key.as_bytes()), "{key}");
        }
    }
}
