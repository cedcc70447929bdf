//! CSV that may lack the header row, as SageMaker's clients send it: the columns then are the features
//! in their order, and the answer has no header either. Blank lines are no rows.

use crate::error::{Error, Fault, Faults};
use crate::protocol::csv::watch::Watch;
use crate::protocol::features::{Asked, Named};
use crate::protocol::{Body, Encoded, Format, Protocol, json};
use csv::ReaderBuilder;
use ml_app_model::{Signature, Tensors};

#[derive(Debug, Clone, Copy)]
pub struct Headerless {
    pub answer: Format,
}

impl Headerless {
    fn named(self) -> Named {
        Named { question: Format::Csv, answer: self.answer }
    }
}

/// The header that `body` lacks, as a line; `None` where the first row has a feature's name in it.
fn header(body: &[u8], signature: &Signature) -> Option<Vec<u8>> {
    let mut records = ReaderBuilder::new().has_headers(false).from_reader(Watch::new(body));
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

impl Protocol for Headerless {
    type Wish = (Asked, bool);

    fn decode(
        &self,
        body: &[u8],
        signature: &Signature,
        limit: usize,
    ) -> Result<(Tensors, Self::Wish), Error> {
        let body = json::without_mark(body);
        let Some(header) = header(body, signature) else {
            let (inputs, asked) = self.named().decode(body, signature, limit)?;
            return Ok((inputs, (asked, false)));
        };
        let (inputs, asked) = self
            .named()
            .decode(&[&header, body].concat(), signature, limit)
            .map_err(|error| match error {
                Error::Malformed(faults) => Error::Malformed(line_before(faults)),
                Error::Invalid(faults) => Error::Invalid(line_before(faults)),
                error => error,
            })?;
        Ok((inputs, (asked, true)))
    }

    fn encode(
        &self,
        (asked, lacked): Self::Wish,
        body: &[u8],
        signature: &Signature,
        outputs: Tensors,
    ) -> Result<Encoded, Error> {
        let body = json::without_mark(body);
        let header = lacked.then(|| header(body, signature)).flatten().unwrap_or_default();
        let body = [&header, body].concat();
        let mut encoded = self.named().encode(asked, &body, signature, outputs)?;
        if let (true, Format::Csv, Body::Whole(rows)) = (lacked, self.answer, &mut encoded.body) {
            let mut records = ReaderBuilder::new().has_headers(false).from_reader(&rows[..]);
            records.byte_records().next();
            let end = records.position().byte() as usize;
            rows.drain(..end);
        }
        Ok(encoded)
    }
}

fn line_before(faults: Faults) -> Faults {
    let line =
        |fault: Fault| Fault { line: fault.line.map(|line| line.saturating_sub(1)), ..fault };
    Faults { listed: faults.listed.into_iter().map(line).collect(), ..faults }
}
