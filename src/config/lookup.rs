//! Reads settings from flags and the environment, and collects the errors.

use super::environment::is_service_link;
use super::flags::Flags;
use super::setting::{DefaultValue, Setting, Values};
use super::settings::{API_KEY_FILE, API_KEYS};
use crate::access;
use std::fs;

/// Looks up settings, and collects the errors.
pub(crate) struct Lookup<'a> {
    pub flags: &'a Flags,
    /// Returns the value of an environment variable.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// One message per invalid setting.
    pub errors: Vec<String>,
}

impl Lookup<'_> {
    /// Returns the value of a setting, or its fixed default.
    ///
    /// # Panics
    ///
    /// Panics if the declaration of the setting has no fixed default, or an invalid default. `Config::read` looks up
    /// every setting, so a start without flags and variables finds such a declaration.
    pub fn value<V: Values>(&mut self, setting: &Setting<V>) -> V::Value {
        self.explicit(setting).unwrap_or_else(|| {
            let DefaultValue::Fixed(default) = setting.default else {
                panic!("no fixed default: {:?}", setting.default)
            };
            setting.values.parse(default).expect("a declared default is valid")
        })
    }

    /// Returns the value of a setting, or `None` if neither a flag nor a variable sets it. Records an error and
    /// returns `None` if the value is invalid.
    pub fn explicit<V: Values>(&mut self, setting: &Setting<V>) -> Option<V::Value> {
        let (name, text) = self.name_and_value(setting)?;
        let value = setting.values.parse(text.trim());
        if value.is_none() {
            let expected = setting.values.expected();
            self.errors.push(format!("{name}: expected {expected}, found `{text}`"));
        }
        value
    }

    /// Returns the flag or variable that sets the setting, and the unparsed value. Ignores variables that describe a
    /// Service of Kubernetes.
    fn name_and_value<V>(&self, setting: &Setting<V>) -> Option<(String, String)> {
        let flag = setting
            .flag
            .long()
            .and_then(|long| Some((format!("--{long}"), self.flags.get(long)?.to_owned())));
        flag.or_else(|| {
            let variables = setting.variables.iter();
            let mut set =
                variables.filter_map(|name| Some(((*name).to_owned(), (self.variable)(name)?)));
            set.find(|(name, value)| !is_service_link(name, value))
        })
    }

    /// Returns the API keys from `ML_APP_API_KEYS`, or from the file that `--api-key-file` specifies.
    pub fn api_keys(&mut self) -> Vec<access::Key> {
        let (origin, text) =
            match (self.name_and_value(&API_KEYS), self.name_and_value(&API_KEY_FILE)) {
                (None, None) => return vec![],
                (Some((name, _)), Some((file_name, _))) => {
                    self.errors.push(format!("expected either {name} or {file_name}, found both"));
                    return vec![];
                }
                (Some(keys), None) => keys,
                (None, Some((name, file))) => match fs::read_to_string(file.trim()) {
                    Ok(text) => (file, text),
                    Err(error) => {
                        self.errors.push(format!("{name}: cannot read {file}: {error}"));
                        return vec![];
                    }
                },
            };
        match access::parse_keys(&text) {
            Ok(keys) => {
                if keys.is_empty() {
                    self.errors
                        .push(format!("{origin}: expected at least one API key, found none"));
                }
                keys
            }
            Err(errors) => {
                self.errors.extend(errors.iter().map(|error| format!("{origin}: {error}")));
                vec![]
            }
        }
    }
}
