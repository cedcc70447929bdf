//! Who may ask: whoever has an API key, where there are any.

use sha2::{Digest, Sha256};

/// The digest of an API key: the key itself is not kept, and comparing takes the same time for each.
#[derive(Debug, Clone, Copy)]
pub struct Key([u8; 32]);

impl Key {
    fn new(key: &[u8]) -> Key {
        Key(Sha256::digest(key).into())
    }

    fn is(&self, other: &Key) -> bool {
        self.0.iter().zip(&other.0).fold(0, |differs, (one, other)| differs | (one ^ other)) == 0
    }
}

/// The keys of a text, between commas and white space.
pub fn keys(text: &str) -> Vec<Key> {
    let keys = text.split(|c: char| c == ',' || c.is_whitespace());
    keys.filter(|key| !key.is_empty()).map(|key| Key::new(key.as_bytes())).collect()
}

/// What a key is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Scope {
    #[default]
    Predictions,
    /// All but the probes.
    All,
}

impl Scope {
    pub fn read(text: &str) -> Option<Scope> {
        match text {
            "predictions" => Some(Scope::Predictions),
            "all" => Some(Scope::All),
            _ => None,
        }
    }
}

#[derive(Debug, Clone, Default)]
pub struct Access {
    /// Any of them will do, so that a new one can come before an old one goes. None: anybody may ask.
    pub keys: Vec<Key>,
    pub scope: Scope,
}

impl Access {
    /// Whether this is one of the keys; it is compared with each.
    pub fn admits(&self, key: &[u8]) -> bool {
        let key = Key::new(key);
        self.keys.iter().fold(false, |admitted, known| admitted | known.is(&key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_admits_and_nothing_else() {
        let access = Access { keys: keys("new-key, old-key\nthird\n"), scope: Scope::All };
        assert_eq!(access.keys.len(), 3);
        for key in ["new-key", "old-key", "third"] {
            assert!(access.admits(key.as_bytes()), "{key}");
        }
        for key in ["", "new", "new-key ", "new-key,", "NEW-KEY", "new-key, old-key"] {
            assert!(!access.admits(key.as_bytes()), "{key}");
        }
    }
}
