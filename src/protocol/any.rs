//! JSON of any of the protocols, told apart by its members: for the routes that several kinds of
//! clients share, SageMaker's and Vertex AI's.

use crate::error::Error;
use crate::protocol::features::{Asked, Named};
use crate::protocol::instances::{self, Predict};
use crate::protocol::oip::{self, Infer};
use crate::protocol::{Encoded, Format, Protocol, json};
use ml_app_model::{Signature, Tensors};
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

#[derive(Debug, Clone, Copy)]
pub struct Any;

const NAMED: Named = Named { question: Format::Json, answer: Format::Json };

#[derive(Debug)]
pub enum Wish {
    Named(Asked),
    Instances(instances::Layout),
    Tensors(oip::Wish),
}

impl Protocol for Any {
    type Wish = Wish;

    fn decode(
        &self,
        body: &[u8],
        signature: &Signature,
        limit: usize,
    ) -> Result<(Tensors, Wish), Error> {
        match Kind::of(body, signature) {
            Kind::Named => NAMED
                .decode(body, signature, limit)
                .map(|(inputs, wish)| (inputs, Wish::Named(wish))),
            Kind::Instances => Predict
                .decode(body, signature, limit)
                .map(|(inputs, layout)| (inputs, Wish::Instances(layout))),
            Kind::Tensors => Infer::Json
                .decode(body, signature, limit)
                .map(|(inputs, wish)| (inputs, Wish::Tensors(wish))),
        }
    }

    fn encode(
        &self,
        wish: Wish,
        body: &[u8],
        signature: &Signature,
        outputs: Tensors,
    ) -> Result<Encoded, Error> {
        match wish {
            Wish::Named(wish) => NAMED.encode(wish, body, signature, outputs),
            Wish::Instances(layout) => Predict.encode(layout, body, signature, outputs),
            Wish::Tensors(wish) => Infer::Json.encode(wish, body, signature, outputs),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Named,
    Instances,
    Tensors,
}

impl Kind {
    /// What a member's name means to a protocol comes before a feature of that name.
    fn of(body: &[u8], signature: &Signature) -> Kind {
        let mut kind = Kind::Named;
        let members = Members { signature, kind: &mut kind };
        // It ends with an error once it knows.
        let _ =
            serde_json::Deserializer::from_slice(json::without_mark(body)).deserialize_map(members);
        kind
    }
}

struct Members<'a> {
    signature: &'a Signature,
    kind: &'a mut Kind,
}

impl<'de> Visitor<'de> for Members<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            let is_feature = || self.signature.feature(&name).is_some();
            *self.kind = match &*name {
                "instances" => Kind::Instances,
                "inputs" => {
                    let inputs: &RawValue = map.next_value()?;
                    match is_tensors(inputs.get()) {
                        true => Kind::Tensors,
                        false if is_feature() => Kind::Named,
                        false => Kind::Instances,
                    }
                }
                // Vertex AI's `parameters` may come before its instances.
                other if other != "parameters" && is_feature() => Kind::Named,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            return Err(A::Error::custom("known"));
        }
        Ok(())
    }
}

/// Whether a list begins with an object that names its datatype.
fn is_tensors(inputs: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Input {
        #[serde(rename = "datatype")]
        _datatype: IgnoredAny,
    }
    let Some(first) = inputs.trim_start().strip_prefix('[') else { return false };
    // A struct may be read from an array too.
    if !first.trim_start().starts_with('{') {
        return false;
    }
    let mut first = serde_json::Deserializer::from_str(first).into_iter::<Input>();
    first.next().is_some_and(|input| input.is_ok())
}
