//! The errors of a request. The cause is the client, the load of the server or a bug. This module does not depend on
//! HTTP.

use ml_app_model::RunError;
use std::fmt;

/// The reason why a request has no result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The body does not have the format that its content type declares.
    #[error("{0}")]
    Malformed(RequestErrors),
    /// The body has the right format, but its values do not fit the model.
    #[error("{0}")]
    Invalid(RequestErrors),
    #[error("content type: expected {expected}, found {found}")]
    UnsupportedFormat { expected: String, found: String },
    #[error("content encoding: expected {expected}, found {found}")]
    UnsupportedCoding { expected: &'static str, found: String },
    #[error("accept header: expected one of {offered}, found {found}")]
    NotAcceptable { offered: String, found: String },
    #[error("expected a body of at most {limit} bytes, found more")]
    TooLarge { limit: usize },
    #[error("expected rows of at most {limit} values in total, found more")]
    TooManyValues { limit: usize },
    #[error("expected at most {limit} rows, found {found}")]
    TooManyRows { limit: usize, found: usize },
    #[error("expected a request line and headers of at most {limit} bytes in total, found {found}")]
    HeaderTooLarge { limit: usize, found: usize },
    /// The client disconnected, or the connection broke, before the whole body had arrived.
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
    /// A bug in this program. The text is for the log.
    #[error("{0}")]
    Internal(String),
}

/// The reason why the server cannot complete a request at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Busy {
    #[error("the server is at capacity: {limit} predictions are already waiting or running")]
    InFlight { limit: usize },
    #[error(
        "the server is at capacity: buffered request bodies have reached the limit of {limit} bytes"
    )]
    Buffered { limit: usize },
    /// Under overload, the executor rejects predictions much earlier than after the queue timeout.
    #[error("the server is overloaded: the prediction has waited too long in the queue")]
    Overload,
    #[error("no inference thread became free within {seconds} s")]
    Queue { seconds: u64 },
    #[error("the prediction did not complete within {seconds} s of the request")]
    Deadline { seconds: u64 },
}

impl From<RunError> for Error {
    fn from(error: RunError) -> Error {
        match error {
            RunError::Rejected { row, mismatch } => {
                Error::Invalid(RequestError::new(mismatch.to_string()).row(row).into())
            }
            error => Error::Model(error),
        }
    }
}

impl Error {
    /// Returns the name of the limit that the request exceeded, which is one of [`Error::LIMITS`]. Returns `None` if
    /// the error has a different cause.
    pub fn limit(&self) -> Option<&'static str> {
        Some(match self {
            Error::HeaderTooLarge { .. } => "header",
            Error::TooLarge { .. } | Error::TooManyValues { .. } => "body",
            Error::TooManyRows { .. } => "rows",
            Error::TooSlow { .. } => "body_timeout",
            Error::Unauthorized { .. } => "api_key",
            Error::Busy(Busy::InFlight { .. }) => "in_flight",
            Error::Busy(Busy::Buffered { .. }) => "buffered",
            Error::Busy(Busy::Overload) => "overload",
            Error::Busy(Busy::Queue { .. }) => "queue_timeout",
            Error::Busy(Busy::Deadline { .. }) => "request_timeout",
            _ => return None,
        })
    }

    /// All names that [`Error::limit`] returns. These names are the values of the label `reason` of the metric
    /// `ml_app_rejected_total`.
    pub const LIMITS: [&'static str; 10] = [
        "header",
        "body",
        "rows",
        "body_timeout",
        "api_key",
        "in_flight",
        "buffered",
        "overload",
        "queue_timeout",
        "request_timeout",
    ];
}

/// One error in a request, and its position. In a response in the format of RFC 9457, it is an entry of `errors`.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct RequestError {
    /// Message without the position, such as "expected …, found …" or "missing …".
    pub detail: String,
    /// Name of the feature or column. If the error is an unknown name, this is the unknown name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub feature: Option<String>,
    /// True if `detail` contains the name of the feature, so that [`Display`](fmt::Display) does not repeat the name.
    #[serde(skip)]
    pub(crate) detail_names_feature: bool,
    /// Number of the row, counted from 1. A header is not a row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub row: Option<usize>,
    /// Number of the line in the body, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// Number of the byte in the line, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<u64>,
}

impl RequestError {
    /// Creates an error without a position.
    pub fn new(detail: impl Into<String>) -> RequestError {
        RequestError { detail: detail.into(), ..RequestError::default() }
    }

    /// Creates an error in the value of a feature.
    pub fn in_feature(feature: &str, detail: impl fmt::Display) -> RequestError {
        RequestError::new(detail.to_string()).feature(feature)
    }

    /// Creates an error such as "missing feature `age`". `what` is "feature" or "column".
    pub fn missing(what: &str, name: &str) -> RequestError {
        RequestError::naming(format!("missing {what} `{name}`"), name)
    }

    /// Creates an error such as "duplicate feature `age`". `what` is "feature" or "column".
    pub fn duplicate(what: &str, name: &str) -> RequestError {
        RequestError::naming(format!("duplicate {what} `{name}`"), name)
    }

    /// Creates an error about a feature. `detail` must contain the name of the feature.
    pub fn naming(detail: impl Into<String>, feature: &str) -> RequestError {
        RequestError { detail_names_feature: true, ..RequestError::new(detail).feature(feature) }
    }

    /// Sets the feature.
    pub fn feature(self, feature: &str) -> RequestError {
        RequestError { feature: Some(feature.to_owned()), ..self }
    }

    /// Sets the row. The argument is counted from 0, unlike the field.
    pub fn row(self, row: usize) -> RequestError {
        RequestError { row: Some(row + 1), ..self }
    }

    /// Sets the line.
    pub fn line(self, line: u64) -> RequestError {
        RequestError { line: Some(line), ..self }
    }

    /// Sets the column.
    pub fn column(self, column: u64) -> RequestError {
        RequestError { column: Some(column), ..self }
    }
}

/// Formats the error as in "line 3, `age`: expected an integer, found `abc`". Shows the row only if there is no line.
impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut position = vec![];
        match (self.line, self.row) {
            (Some(line), _) => position.push(format!("line {line}")),
            (None, Some(row)) => position.push(format!("row {row}")),
            (None, None) => {}
        }
        if let Some(column) = self.column {
            position.push(format!("column {column}"));
        }
        if let Some(feature) = &self.feature
            && !self.detail_names_feature
        {
            position.push(format!("`{feature}`"));
        }
        if position.is_empty() {
            return f.write_str(&self.detail);
        }
        write!(f, "{}: {}", position.join(", "), self.detail)
    }
}

/// The errors in one request. After [`RequestErrors::MAX_LISTED`] errors, further errors are only counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestErrors {
    pub listed: Vec<RequestError>,
    /// Number of errors that are not listed.
    pub omitted: usize,
    /// True if at least one error is in the format of the body, not in a value.
    pub malformed: bool,
}

impl RequestErrors {
    /// Maximum number of errors listed in a response. Without this limit, a body with a million invalid cells would get
    /// a response of 100 MB.
    pub const MAX_LISTED: usize = 100;

    /// Number of errors after which the reader stops reading the body. This limits the time spent on an invalid body.
    pub const MAX_COUNTED: usize = 10_000;

    pub fn push(&mut self, error: RequestError) {
        if self.listed.len() < RequestErrors::MAX_LISTED {
            self.listed.push(error);
        } else {
            self.omitted += 1;
        }
    }

    /// Appends `more`, the errors in a later part of the body. `rows` is the number of rows before that part.
    pub fn extend(&mut self, more: RequestErrors, rows: usize) {
        self.malformed |= more.malformed;
        self.omitted += more.omitted;
        for error in more.listed {
            self.push(RequestError { row: error.row.map(|row| row + rows), ..error });
        }
    }

    pub fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }

    /// Returns whether a further error would only be counted.
    pub fn is_full(&self) -> bool {
        self.listed.len() == RequestErrors::MAX_LISTED
    }

    /// Returns whether reading should stop because there are too many errors.
    pub fn is_exhausted(&self) -> bool {
        self.len() >= RequestErrors::MAX_COUNTED
    }

    pub fn len(&self) -> usize {
        self.listed.len() + self.omitted
    }
}

impl From<RequestError> for RequestErrors {
    fn from(error: RequestError) -> RequestErrors {
        RequestErrors { listed: vec![error], ..RequestErrors::default() }
    }
}

impl Error {
    /// Creates the error for a malformed body, without a position.
    pub(crate) fn malformed(detail: impl Into<String>) -> Error {
        Error::Malformed(RequestError::new(detail).into())
    }

    /// Creates the error for values that do not fit the model, without a position.
    pub(crate) fn invalid(detail: impl Into<String>) -> Error {
        Error::Invalid(RequestError::new(detail).into())
    }
}

impl From<RequestErrors> for Error {
    fn from(errors: RequestErrors) -> Error {
        if errors.malformed { Error::Malformed(errors) } else { Error::Invalid(errors) }
    }
}

impl fmt::Display for RequestErrors {
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
