//! The log on standard error: text, or JSON lines as [Cloud Logging] reads them. Feature values are never
//! logged.
//!
//! [Cloud Logging]: https://cloud.google.com/logging/docs/structured-logging

use log::{Level, Record};
use once_cell::sync::Lazy;
use serde_json::json;
use std::env;
use std::io::{self, IsTerminal, Write};
use std::panic;
use std::time::Duration;

/// Default filter. It hides actix's messages about the start and the stop of the server, actix-http's messages about
/// malformed requests, which are errors of the client, and tract's warnings about opsets that are newer than its own.
pub(crate) const DEFAULT_FILTER: &str = "info,actix=warn,actix_http=off,tract_onnx=error";

/// Log target of requests. With JSON logs, the message of such a record already consists of the members of a JSON
/// object.
const REQUEST: &str = "request";

/// Format of the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, otherwise JSON.
    #[default]
    Auto,
    Text,
    Json,
}

impl LogFormat {
    pub(crate) fn parse(text: &str) -> Option<LogFormat> {
        match text {
            "auto" => Some(LogFormat::Auto),
            "text" => Some(LogFormat::Text),
            "json" => Some(LogFormat::Json),
            _ => None,
        }
    }

    fn is_json(self) -> bool {
        match self {
            LogFormat::Auto => !io::stderr().is_terminal(),
            LogFormat::Text => false,
            LogFormat::Json => true,
        }
    }
}

/// Settings for logging.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Logging {
    pub format: LogFormat,
    /// Fraction of the requests that are logged, 0.0–1.0. Requests with status 500 are always logged.
    pub rate: f64,
}

/// Starts logging. If a thread panics, the location of the panic is logged at level `error`. The message of the panic
/// is logged at level `debug`, because it can contain feature values.
pub fn start(format: LogFormat) {
    let filter = env_logger::Env::default().default_filter_or(DEFAULT_FILTER);
    let mut logger = env_logger::Builder::from_env(filter);
    logger.format_target(false);
    if format.is_json() {
        logger.format(|line, record| {
            let time = line.timestamp_micros();
            let severity = severity(record.level());
            let members = members(record);
            writeln!(line, "{{\"time\":\"{time}\",\"severity\":\"{severity}\",{members}}}")
        });
    }
    logger.init();
    panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        log::error!("panic at {location}");
        log::debug!("{panic}");
    }));
}

/// Returns the severity in Cloud Logging that corresponds to a level.
fn severity(level: Level) -> &'static str {
    match level {
        Level::Error => "ERROR",
        Level::Warn => "WARNING",
        Level::Info => "INFO",
        Level::Debug | Level::Trace => "DEBUG",
    }
}

/// Returns the members of a record's JSON object, without braces.
fn members(record: &Record<'_>) -> String {
    let text = record.args().to_string();
    match record.target() {
        REQUEST => text,
        _ => format!("\"message\":{}", serde_json::Value::from(text)),
    }
}

/// A completed request.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub method: &'a str,
    /// The path without the query, because a query can contain feature values.
    pub path: &'a str,
    pub status: u16,
    pub latency: Duration,
    pub request_bytes: Option<u64>,
    pub response_bytes: Option<u64>,
    pub rows: Option<usize>,
    pub id: &'a str,
    /// Value of the [`traceparent`](https://www.w3.org/TR/trace-context/#traceparent-header) header.
    pub traceparent: &'a str,
}

/// The ID of the Google Cloud project. The name of a trace in Cloud Logging contains this ID.
static PROJECT: Lazy<Option<String>> = Lazy::new(|| env::var("GOOGLE_CLOUD_PROJECT").ok());

impl Request<'_> {
    /// Logs the request. Its status determines the level.
    pub fn log(&self, format: LogFormat) {
        let level = match self.status {
            500.. => Level::Error,
            400.. => Level::Warn,
            _ => Level::Info,
        };
        if !log::log_enabled!(target: REQUEST, level) {
            return;
        }
        if format.is_json() {
            log::log!(target: REQUEST, level, "{}", self.members());
        } else {
            log::log!(target: REQUEST, level, "{} {}", self.text(), self.id);
        }
    }

    /// Returns a summary such as "POST /predict 200 in 0.31 ms, 2 rows".
    fn text(&self) -> String {
        let ms = self.latency.as_secs_f64() * 1e3;
        let mut text = format!("{} {} {} in {ms:.2} ms", self.method, self.path, self.status);
        match self.rows {
            Some(1) => text.push_str(", 1 row"),
            Some(rows) => text.push_str(&format!(", {rows} rows")),
            None => {}
        }
        text
    }

    /// Returns the members of the request's JSON object, without braces.
    fn members(&self) -> String {
        let mut trace = self.traceparent.split('-').skip(1);
        let (trace, span) = (trace.next().unwrap_or_default(), trace.next().unwrap_or_default());
        let mut request = json!({
            "requestMethod": self.method,
            "requestUrl": self.path,
            "status": self.status,
            "latency": format!("{:.6}s", self.latency.as_secs_f64()),
        });
        // Cloud Logging represents 64-bit integers as strings.
        for (name, bytes) in
            [("requestSize", self.request_bytes), ("responseSize", self.response_bytes)]
        {
            if let Some(bytes) = bytes {
                request[name] = bytes.to_string().into();
            }
        }
        let mut members = json!({
            "message": self.text(),
            "httpRequest": request,
            "logging.googleapis.com/trace": match &*PROJECT {
                Some(project) => format!("projects/{project}/traces/{trace}"),
                None => trace.to_owned(),
            },
            "logging.googleapis.com/spanId": span,
            "request_id": self.id,
        });
        if let Some(rows) = self.rows {
            members["rows"] = rows.into();
        }
        let text = members.to_string();
        text[1..text.len() - 1].to_owned()
    }
}
