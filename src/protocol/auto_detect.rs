//! JSON of any protocol, for the routes of SageMaker and Vertex AI, which clients of several protocols share. The
//! names of the members show which protocol a body uses.

use crate::error::Error;
use crate::protocol::features::{self, NamedFeatures};
use crate::protocol::instances::{InstancesLayout, Predict};
use crate::protocol::oip::{self, Infer};
use crate::protocol::{Encoded, Protocol, WireFormat, json};
use ml_app_model::{Signature, Tensors};
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// A protocol that detects the protocol of each body, and decodes the body with the detected protocol.
#[derive(Debug, Clone, Copy)]
pub struct AutoDetect;

/// The protocol of bodies with named features.
const FEATURES: NamedFeatures =
    NamedFeatures { request: WireFormat::Json, response: WireFormat::Json };

/// The response options of the protocol that was detected.
#[derive(Debug)]
pub enum ResponseOptions {
    Features(features::ResponseOptions),
    Instances(InstancesLayout),
    Tensors(oip::ResponseOptions),
}

impl Protocol for AutoDetect {
    type ResponseOptions = ResponseOptions;

    fn decode(
        &self,
        body: &[u8],
        signature: &Signature,
        limit: usize,
    ) -> Result<(Tensors, ResponseOptions), Error> {
        match Detected::from_members(body, signature) {
            Detected::Features => FEATURES
                .decode(body, signature, limit)
                .map(|(inputs, options)| (inputs, ResponseOptions::Features(options))),
            Detected::Instances => Predict
                .decode(body, signature, limit)
                .map(|(inputs, layout)| (inputs, ResponseOptions::Instances(layout))),
            Detected::Tensors => Infer::Json
                .decode(body, signature, limit)
                .map(|(inputs, options)| (inputs, ResponseOptions::Tensors(options))),
        }
    }

    fn encode(
        &self,
        options: ResponseOptions,
        body: &[u8],
        signature: &Signature,
        outputs: Tensors,
    ) -> Result<Encoded, Error> {
        match options {
            ResponseOptions::Features(options) => {
                FEATURES.encode(options, body, signature, outputs)
            }
            ResponseOptions::Instances(layout) => Predict.encode(layout, body, signature, outputs),
            ResponseOptions::Tensors(options) => {
                Infer::Json.encode(options, body, signature, outputs)
            }
        }
    }
}

/// The protocol of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Detected {
    /// [`features`].
    Features,
    /// [`instances`](crate::protocol::instances).
    Instances,
    /// The Open Inference Protocol, [`oip`].
    Tensors,
}

impl Detected {
    /// Detects the protocol from the first member that identifies a protocol: `instances`, `inputs` or the name of a
    /// feature. Returns [`Detected::Features`] if there is no such member.
    ///
    /// The member `instances` always means a list of instances, even if a feature has this name. The member `inputs`
    /// belongs to the Open Inference Protocol if its value is a list of tensors. Otherwise, if a feature is called
    /// `inputs`, the member is this feature. In all other cases, the member belongs to the protocol of `instances`.
    fn from_members(body: &[u8], signature: &Signature) -> Detected {
        let mut detected = Detected::Features;
        let members = MembersVisitor { signature, detected: &mut detected };
        // The visitor ends parsing with an error as soon as it has found the protocol. Errors in the JSON do not
        // matter here, because the protocol's own parser will report them.
        let _ =
            serde_json::Deserializer::from_slice(json::without_bom(body)).deserialize_map(members);
        detected
    }
}

/// Visits the members of a body until a member identifies the protocol.
struct MembersVisitor<'a> {
    signature: &'a Signature,
    detected: &'a mut Detected,
}

impl<'de> Visitor<'de> for MembersVisitor<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            let is_feature = || self.signature.feature(&name).is_some();
            *self.detected = match &*name {
                "instances" => Detected::Instances,
                "inputs" => {
                    let inputs: &RawValue = map.next_value()?;
                    if is_tensors(inputs.get()) {
                        Detected::Tensors
                    } else if is_feature() {
                        Detected::Features
                    } else {
                        Detected::Instances
                    }
                }
                // A feature called `parameters` proves nothing, because in a request to Vertex AI, the member
                // `parameters` may come before `instances`.
                other if other != "parameters" && is_feature() => Detected::Features,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            return Err(A::Error::custom("detected"));
        }
        Ok(())
    }
}

/// Returns whether the value of `inputs` is an array whose first element is an object with a `datatype`, as in the
/// Open Inference Protocol.
fn is_tensors(inputs: &str) -> bool {
    /// The part of an entry of `inputs` that identifies the Open Inference Protocol.
    #[derive(serde::Deserialize)]
    struct Input {
        #[serde(rename = "datatype")]
        _datatype: IgnoredAny,
    }
    let Some(first) = inputs.trim_start().strip_prefix('[') else { return false };
    // Without this check, serde would also deserialize the struct from an array.
    if !first.trim_start().starts_with('{') {
        return false;
    }
    let mut first = serde_json::Deserializer::from_str(first).into_iter::<Input>();
    first.next().is_some_and(|input| input.is_ok())
}
