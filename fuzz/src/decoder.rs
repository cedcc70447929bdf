//! Checks for the decoder of any protocol.

use crate::response;
use ml_app::error::Error;
use ml_app::http::problem::Problem;
use ml_app::protocol::oip::JSON_SIZE_HEADER;
use ml_app::protocol::predictions::Predictions;
use ml_app::protocol::{Body, Protocol};
use ml_app_model::{Model, Signature, Tensors};

/// Maximum number of values in the rows of a body.
const LIMIT: usize = 1 << 16;

/// Checks that the decoder rejects a body with a client error, or decodes the body to tensors that fit the model. If
/// the model then makes a prediction, the response must be well formed.
pub fn check<P: Protocol>(protocol: P, model: &Model, body: &[u8]) {
    let signature = model.signature();
    let (inputs, options) = match protocol.decode(body, signature, LIMIT) {
        Ok(decoded) => decoded,
        Err(error) => return assert_client_error(error),
    };
    assert_fit(signature, &inputs);
    let Ok(outputs) = model.run(inputs) else { return };
    let encoded = protocol.encode(options, body, signature, outputs);
    let encoded = encoded.expect("a decoded request has a response");
    let length = encoded.headers.iter().find(|(name, _)| *name == JSON_SIZE_HEADER);
    let length = length.map(|(_, length)| &**length);
    match encoded.body {
        Body::Whole(body) => response::check(&encoded.content_type, length, &body),
        Body::Lines(outputs) => {
            let predictions = Predictions::new(signature, &outputs);
            for row in 0..predictions.rows() {
                let mut line = vec![];
                predictions.object(&mut line, row);
                response::check("application/json", None, &line);
            }
        }
    }
}

/// Checks that an error has a status from 400 to 499.
fn assert_client_error(error: Error) {
    assert!(!matches!(error, Error::Internal(_) | Error::Interrupted(_)), "{error}");
    let problem = Problem::from(error);
    assert!((400..500).contains(&problem.status), "{problem}");
    assert!(!problem.detail.is_empty());
}

/// Checks that tensors fit the model's inputs.
fn assert_fit(signature: &Signature, inputs: &Tensors) {
    assert!(inputs.rows() > 0);
    assert_eq!(inputs.tensors().len(), signature.inputs.len());
    for (spec, tensor) in signature.inputs.iter().zip(inputs.tensors()) {
        assert_eq!(tensor.datatype(), spec.datatype, "{}", spec.name);
        assert_eq!(tensor.shape().first(), Some(&inputs.rows()), "{}", spec.name);
        assert_eq!(tensor.len(), tensor.shape().iter().product::<usize>(), "{}", spec.name);
        if let Err(mismatch) = spec.check(tensor.shape()) {
            panic!("{}: {mismatch}", spec.name);
        }
    }
}
