//! CSV from SageMaker's clients, which may lack the header row.
//!
//! Without a header, the columns are the features in the model's order, and the response has no header either. The
//! header is considered missing if the first record has as many cells as the model has features and no cell is the
//! name of a feature. Blank lines are not rows.

use crate::error::{Error, RequestError, RequestErrors};
use crate::protocol::csv::tracking_reader::TrackingReader;
use crate::protocol::features::{self, NamedFeatures};
use crate::protocol::{Body, Encoded, Protocol, WireFormat, json};
use csv::ReaderBuilder;
use ml_app_model::{Signature, Tensors};

/// The protocol of a CSV with or without a header.
#[derive(Debug, Clone, Copy)]
pub struct SageMakerCsv {
    /// Format of the response.
    pub response: WireFormat,
}

impl SageMakerCsv {
    /// Returns the protocol of a CSV with a header.
    fn with_header(self) -> NamedFeatures {
        NamedFeatures { request: WireFormat::Csv, response: self.response }
    }
}

/// Options that a request sets for its response.
#[derive(Debug)]
pub struct ResponseOptions {
    options: features::ResponseOptions,
    /// True if the request lacked a header. The response then has no header either.
    headerless: bool,
}

/// Returns the header line that `body` lacks, or `None` if `body` has a header.
fn missing_header(body: &[u8], signature: &Signature) -> Option<Vec<u8>> {
    let mut records =
        ReaderBuilder::new().has_headers(false).from_reader(TrackingReader::new(body));
    let first = records.byte_records().next()?.ok()?;
    let is_name =
        |cell: &[u8]| std::str::from_utf8(cell).is_ok_and(|cell| signature.feature(cell).is_some());
    if first.len() != signature.features.len() || first.iter().any(is_name) {
        return None;
    }
    let mut line = csv::Writer::from_writer(vec![]);
    line.write_record(signature.features.iter().map(|feature| &feature.name)).ok()?;
    line.into_inner().ok()
}

impl Protocol for SageMakerCsv {
    type ResponseOptions = ResponseOptions;

    fn decode(
        &self,
        body: &[u8],
        signature: &Signature,
        limit: usize,
    ) -> Result<(Tensors, ResponseOptions), Error> {
        let body = json::without_bom(body);
        let Some(header) = missing_header(body, signature) else {
            let (inputs, options) = self.with_header().decode(body, signature, limit)?;
            return Ok((inputs, ResponseOptions { options, headerless: false }));
        };
        let (inputs, options) = self
            .with_header()
            .decode(&[&header, body].concat(), signature, limit)
            .map_err(|error| match error {
                Error::Malformed(errors) => Error::Malformed(without_header_line(errors)),
                Error::Invalid(errors) => Error::Invalid(without_header_line(errors)),
                error => error,
            })?;
        Ok((inputs, ResponseOptions { options, headerless: true }))
    }

    fn encode(
        &self,
        ResponseOptions { options, headerless }: ResponseOptions,
        body: &[u8],
        signature: &Signature,
        outputs: Tensors,
    ) -> Result<Encoded, Error> {
        let body = json::without_bom(body);
        let header =
            headerless.then(|| missing_header(body, signature)).flatten().unwrap_or_default();
        let body = [&header, body].concat();
        let mut encoded = self.with_header().encode(options, &body, signature, outputs)?;
        if headerless
            && self.response == WireFormat::Csv
            && let Body::Whole(rows) = &mut encoded.body
        {
            // The response has a header, because `body` now has one. Remove the header of the response.
            let mut records = ReaderBuilder::new().has_headers(false).from_reader(&rows[..]);
            records.byte_records().next();
            let end = records.position().byte() as usize;
            rows.drain(..end);
        }
        Ok(encoded)
    }
}

/// Subtracts 1 from the line of each error, because a header line was inserted before the body.
fn without_header_line(errors: RequestErrors) -> RequestErrors {
    let moved_up = |error: RequestError| RequestError {
        line: error.line.map(|line| line.saturating_sub(1)),
        ..error
    };
    RequestErrors { listed: errors.listed.into_iter().map(moved_up).collect(), ..errors }
}
