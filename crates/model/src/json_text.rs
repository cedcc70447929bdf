//! Serde helper: stores a value as a string of JSON. The serialized model is in the format postcard, which cannot hold
//! arbitrary JSON values because it does not store the types of values.

use serde::de::{DeserializeOwned, Error as _};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub fn serialize<T: Serialize, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serde_json::to_string(value).map_err(S::Error::custom)?.serialize(serializer)
}

pub fn deserialize<'de, T: DeserializeOwned, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    let json: &str = Deserialize::deserialize(deserializer)?;
    serde_json::from_str(json).map_err(D::Error::custom)
}
