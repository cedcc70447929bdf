//! The JSON of [KServe's v1 protocol][kserve], of [TensorFlow Serving][serving] and of [Vertex AI][vertex].
//!
//! A request has `instances` or `inputs`:
//!
//! - `instances` is a list of rows. An instance is a list of the features' values in the model's order, or an object
//!   with the names of features or inputs as keys. If the model has only one feature, an instance may be just the value
//!   of this feature. The response has `predictions`. For an output of shape `[N, 1]`, a prediction is a number, as in
//!   the responses of KServe's scikit-learn server. TensorFlow Serving would write a list with one number instead.
//! - `inputs` is an object with a column for each feature or input, or a list of rows if the model has only one input.
//!   The response has `outputs`, which contains whole tensors.
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
use ml_app_model::{Signature, Tensors};

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
        let views: Vec<TensorView<'_>> = outputs.tensors().iter().map(TensorView::new).collect();
        let keys = Keys::new(signature.outputs.iter().map(|output| &*output.name));
        let row = views.iter().map(TensorView::row_size).sum::<usize>() + keys.size();
        let mut body = Vec::with_capacity(32 + outputs.rows() * row);
        match layout {
            InstancesLayout::Instances => {
                body.extend_from_slice(b"{\"predictions\":");
                json::list(&mut body, b"[]", outputs.rows(), |out, row| match &*views {
                    [view] => view.row(out, row),
                    views => json::list(out, b"{}", views.len(), |out, output| {
                        out.extend_from_slice(keys.get(output));
                        views[output].row(out, row);
                    }),
                });
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
