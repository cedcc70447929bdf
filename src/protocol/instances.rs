//! The JSON of [KServe's v1 protocol][kserve], of [TensorFlow Serving][serving] and of [Vertex AI][vertex].
//!
//! A request has `instances` or `inputs`:
//!
//! - `instances` is a list of rows. An instance is a list of the features' values in the model's order, or an object
//!   with the names of features or inputs as keys. If the model has only one feature, an instance may be the value of
//!   this feature. The response has `predictions`. If the model has outputs that belong to the whole request, the
//!   response also has `outputs`. For an output of shape `[N, 1]`, the value in a prediction is a number, as in the
//!   responses of KServe's scikit-learn server. TensorFlow Serving would write a list with one number instead.
//! - `inputs` is an object that maps names of features or inputs to columns. If the model has only one input, `inputs`
//!   may also be the list of this input's rows. The response has `outputs`, which are whole tensors.
//!
//! Features that have one value for the whole request are in `parameters`, an object that maps names to values. These
//! features may also be members of instances that are objects, and members of `inputs`. If the model has no such
//! features, `parameters` is ignored.
//!
//! [kserve]: https://kserve.github.io/website/latest/modelserving/data_plane/v1_protocol/
//! [serving]: https://www.tensorflow.org/tfx/serving/api_rest#predict_api
//! [vertex]: https://cloud.google.com/vertex-ai/docs/predictions/custom-container-requirements#prediction

mod body;

use crate::error::Error;
use crate::protocol::json::{self, Keys, TensorView, fast_path};
use crate::protocol::reader::Reader;
use crate::protocol::{Encoded, Protocol};
use body::BodyVisitor;
pub use body::InstancesLayout;
use ml_app_model::{RowOutputs, Signature, Tensors};

/// The protocol. Its only operation is to predict.
#[derive(Debug, Clone, Copy)]
pub struct Predict;

impl Protocol for Predict {
    type ResponseOptions = InstancesLayout;

    fn decode(
        &self,
        body: &[u8],
        signature: &Signature,
        limit: usize,
    ) -> Result<(Tensors, InstancesLayout), Error> {
        let text = json::text(body, "an object with `instances` or `inputs`")?;
        decode_fast(text, signature).map_or_else(|| decode_serde(text, signature, limit), Ok)
    }

    fn encode(
        &self,
        layout: InstancesLayout,
        _: &[u8],
        signature: &Signature,
        outputs: Tensors,
    ) -> Result<Encoded, Error> {
        let outputs = RowOutputs::new(signature, outputs);
        let views = TensorView::of_outputs(signature, &outputs);
        let keys = Keys::new(signature.outputs.iter().map(|output| &*output.name));
        let row = views.iter().map(TensorView::row_size).sum::<usize>() + keys.size();
        let mut body = Vec::with_capacity(32 + outputs.rows() * row);
        match layout {
            InstancesLayout::Instances => {
                let is_given_once =
                    |index: &usize| signature.is_given_once(&signature.outputs[*index]);
                let (of_request, of_rows): (Vec<usize>, Vec<usize>) =
                    (0..views.len()).partition(is_given_once);
                body.extend_from_slice(b"{\"predictions\":");
                let rows = if of_rows.is_empty() { 0 } else { outputs.rows() };
                json::list(&mut body, b"[]", rows, |out, row| match *of_rows {
                    [output] => views[output].row(out, row),
                    _ => object(out, &keys, &of_rows, |out, output| views[output].row(out, row)),
                });
                if !of_request.is_empty() {
                    body.extend_from_slice(b",\"outputs\":");
                    object(&mut body, &keys, &of_request, |out, output| views[output].row(out, 0));
                }
            }
            InstancesLayout::Columns => {
                body.extend_from_slice(b"{\"outputs\":");
                match &*views {
                    [view] => view.whole(&mut body),
                    views => json::list(&mut body, b"{}", views.len(), |out, output| {
                        out.extend_from_slice(keys.get(output));
                        views[output].whole(out);
                    }),
                }
            }
        }
        body.push(b'}');
        Ok(Encoded::json(body))
    }
}

/// Appends an object with the values of some outputs. `keys` has the keys of all outputs.
fn object(out: &mut Vec<u8>, keys: &Keys, outputs: &[usize], value: impl Fn(&mut Vec<u8>, usize)) {
    json::list(out, b"{}", outputs.len(), |out, index| {
        out.extend_from_slice(keys.get(outputs[index]));
        value(out, outputs[index]);
    });
}

fn decode_serde(
    text: &str,
    signature: &Signature,
    limit: usize,
) -> Result<(Tensors, InstancesLayout), Error> {
    let mut reader = Reader::new(signature, limit);
    let read = json::read(text, BodyVisitor(&mut reader));
    reader.finish_json(read)
}

/// Decodes a body on the [fast path](fast_path): its only member is `instances`, and every instance is a list of
/// numbers. Returns `None` for any other body.
fn decode_fast(text: &str, signature: &Signature) -> Option<(Tensors, InstancesLayout)> {
    if !fast_path::supports_lists(signature) {
        return None;
    }
    fast_path::rows(text, signature, |scanner, rows| {
        scanner.take(b'{')?;
        scanner.key("instances")?;
        scanner.lists(rows)?;
        scanner.take(b'}').map(|()| InstancesLayout::Instances)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::json::fast_path::Random;
    use crate::source::Source;

    #[test]
    fn fast_path_and_serde_read_the_same_instances() {
        let model = Source::Embedded.load().expect("the embedded model loads");
        let signature = model.signature();
        let (mut random, mut read) = (Random::default(), 0);
        for _ in 0..20_000 {
            let mut list = || {
                let values: Vec<String> =
                    signature.features.iter().map(|_| random.integer()).collect();
                format!("[{}]", values.join(","))
            };
            let text = format!("{{\"instances\":[{},{}]}}", list(), list());
            let text = random.damaged(text);
            if let Some(decoded) = decode_fast(&text, signature) {
                let expected = decode_serde(&text, signature, usize::MAX).ok();
                assert_eq!(Some(decoded), expected, "{text}");
                read += 1;
            }
        }
        assert!(read > 1_000, "{read}");
    }
}
