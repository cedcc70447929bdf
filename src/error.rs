//! What can go wrong with a request, by who must act. Knows no HTTP.

use ml_app_model::RunError;
use std::fmt;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bytes do not have the format they claim.
    #[error("{0}")]
    Malformed(Faults),
    /// The format is right, the values are not what the model takes.
    #[error("{0}")]
    Invalid(Faults),
    #[error("content type: expected {expected}, found {found}")]
    UnsupportedFormat { expected: String, found: String },
    #[error("content encoding: expected {expected}, found {found}")]
    UnsupportedCoding { expected: &'static str, found: String },
    #[error("accept header: expected one of {offered}, found {wanted}")]
    NotAcceptable { offered: String, wanted: String },
    #[error("expected a body of at most {limit} bytes, found more")]
    TooLarge { limit: usize },
    #[error("expected rows of at most {limit} values in total, found more")]
    TooManyValues { limit: usize },
    #[error("expected at most {limit} rows, found {found}")]
    TooManyRows { limit: usize, found: usize },
    #[error("expected request headers of at most {limit} bytes, found {found}")]
    HeaderTooLarge { limit: usize, found: usize },
    /// The client went away, or its connection broke, before the body was whole.
    #[error("the body ended early: {0}")]
    Interrupted(String),
    #[error("expected the whole body within {seconds} s")]
    TooSlow { seconds: u64 },
    #[error("expected an API key (`Authorization: Bearer KEY` or `X-API-Key: KEY`), found {found}")]
    Unauthorized { found: &'static str },
    #[error("{0}; try again in a second")]
    Busy(Busy),
    #[error(transparent)]
    Model(RunError),
    /// A fault of ours: what it is, for the log.
    #[error("{0}")]
    Internal(String),
}

/// What there is no place or no time for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Busy {
    #[error("the server is at capacity: {limit} predictions are already waiting or running")]
    InFlight { limit: usize },
    #[error(
        "the server is at capacity: request bodies already take all of the {limit} bytes for them"
    )]
    Buffered { limit: usize },
    #[error("no inference thread became free within {seconds} s")]
    Queue { seconds: u64 },
    #[error("the prediction did not complete within {seconds} s of the request")]
    Deadline { seconds: u64 },
}

impl From<RunError> for Error {
    fn from(error: RunError) -> Error {
        match error {
            RunError::Refused { row, mismatch } => {
                Error::Invalid(Fault::new(mismatch.to_string()).row(row).into())
            }
            error => Error::Model(error),
        }
    }
}

impl Error {
    /// Which limit refused the request, if one did, in a word.
    pub fn limit(&self) -> Option<&'static str> {
        Some(match self {
            Error::HeaderTooLarge { .. } => "header",
            Error::TooLarge { .. } | Error::TooManyValues { .. } => "body",
            Error::TooManyRows { .. } => "rows",
            Error::TooSlow { .. } => "body_timeout",
            Error::Unauthorized { .. } => "api_key",
            Error::Busy(Busy::InFlight { .. }) => "in_flight",
            Error::Busy(Busy::Buffered { .. }) => "buffered",
            Error::Busy(Busy::Queue { .. }) => "queue_timeout",
            Error::Busy(Busy::Deadline { .. }) => "request_timeout",
            _ => return None,
        })
    }

    /// All that [`Error::limit`] can be.
    pub const LIMITS: [&'static str; 9] = [
        "header",
        "body",
        "rows",
        "body_timeout",
        "api_key",
        "in_flight",
        "buffered",
        "queue_timeout",
        "request_timeout",
    ];
}

/// One fault and its place.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Fault {
    /// What was expected and what was found.
    pub detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub feature: Option<String>,
    /// Whether `detail` names the feature, so that the place need not repeat it.
    #[serde(skip)]
    pub(crate) detail_names_feature: bool,
    /// Counted from 1, without a header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub row: Option<usize>,
    /// Line of the body, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// Byte of the line, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<u64>,
}

impl Fault {
    pub fn new(detail: impl Into<String>) -> Fault {
        Fault { detail: detail.into(), ..Fault::default() }
    }

    pub fn of(feature: &str, detail: impl fmt::Display) -> Fault {
        Fault::new(detail.to_string()).feature(feature)
    }

    /// "missing feature `age`".
    pub fn missing(what: &str, feature: &str) -> Fault {
        Fault::naming(format!("missing {what} `{feature}`"), feature)
    }

    /// "duplicate feature `age`".
    pub fn duplicate(what: &str, feature: &str) -> Fault {
        Fault::naming(format!("duplicate {what} `{feature}`"), feature)
    }

    /// An error of a feature whose name is in `detail`.
    pub fn naming(detail: impl Into<String>, feature: &str) -> Fault {
        Fault { detail_names_feature: true, ..Fault::new(detail).feature(feature) }
    }

    pub fn feature(self, feature: &str) -> Fault {
        Fault { feature: Some(feature.to_owned()), ..self }
    }

    /// `row` is counted from 0.
    pub fn row(self, row: usize) -> Fault {
        Fault { row: Some(row + 1), ..self }
    }

    pub fn line(self, line: u64) -> Fault {
        Fault { line: Some(line), ..self }
    }

    pub fn column(self, column: u64) -> Fault {
        Fault { column: Some(column), ..self }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut place = vec![];
        match (self.line, self.row) {
            (Some(line), _) => place.push(format!("line {line}")),
            (None, Some(row)) => place.push(format!("row {row}")),
            (None, None) => {}
        }
        if let Some(column) = self.column {
            place.push(format!("column {column}"));
        }
        if let (Some(feature), false) = (&self.feature, self.detail_names_feature) {
            place.push(format!("`{feature}`"));
        }
        if place.is_empty() {
            return f.write_str(&self.detail);
        }
        write!(f, "{}: {}", place.join(", "), self.detail)
    }
}

/// All faults found in one request; those past [`Faults::LISTED`] are only counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults {
    pub listed: Vec<Fault>,
    pub omitted: usize,
    /// One of them is of the format, not of the values.
    pub malformed: bool,
}

impl Faults {
    /// A body of a million wrong cells must not make an answer of a hundred megabytes.
    pub const LISTED: usize = 100;

    /// Nor must it take long to find out.
    pub const COUNTED: usize = 10_000;

    pub fn push(&mut self, fault: Fault) {
        if self.listed.len() < Faults::LISTED {
            self.listed.push(fault);
        } else {
            self.omitted += 1;
        }
    }

    /// Faults of what comes after `rows` rows more.
    pub fn extend(&mut self, more: Faults, rows: usize) {
        self.malformed |= more.malformed;
        self.omitted += more.omitted;
        for fault in more.listed {
            self.push(Fault { row: fault.row.map(|row| row + rows), ..fault });
        }
    }

    pub fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }

    /// A further fault would only be counted.
    pub fn is_full(&self) -> bool {
        self.listed.len() == Faults::LISTED
    }

    /// There are so many that the rest need not be read.
    pub fn is_exhausted(&self) -> bool {
        self.len() >= Faults::COUNTED
    }

    pub fn len(&self) -> usize {
        self.listed.len() + self.omitted
    }
}

impl From<Fault> for Faults {
    fn from(fault: Fault) -> Faults {
        Faults { listed: vec![fault], ..Faults::default() }
    }
}

impl From<Faults> for Error {
    fn from(faults: Faults) -> Error {
        if faults.malformed { Error::Malformed(faults) } else { Error::Invalid(faults) }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(first) = self.listed.first() else { return f.write_str("no errors") };
        write!(f, "{first}")?;
        match self.len() - 1 {
            0 => Ok(()),
            1 => f.write_str(" (and 1 more error)"),
            more => write!(f, " (and {more} more errors)"),
        }
    }
}
