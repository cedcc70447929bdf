//! What is logged, to standard error: lines for people on a terminal, else JSON as [Cloud
//! Logging](https://cloud.google.com/logging/docs/structured-logging) reads it. The values of features
//! are in neither.

use log::{Level, Record};
use once_cell::sync::Lazy;
use serde_json::json;
use std::env;
use std::io::{self, IsTerminal, Write};
use std::panic;
use std::time::Duration;

/// A malformed request is the client's fault, and tract warns of every newer opset.
const FILTER: &str = "info,actix=warn,actix_http=off,tract_onnx=error";

/// What a line about a request is logged as: it brings its own members.
const REQUEST: &str = "request";

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// Text on a terminal, else JSON.
    #[default]
    Auto,
    Text,
    Json,
}

impl Format {
    pub fn read(text: &str) -> Option<Format> {
        match text {
            "auto" => Some(Format::Auto),
            "text" => Some(Format::Text),
            "json" => Some(Format::Json),
            _ => None,
        }
    }

    fn is_json(self) -> bool {
        match self {
            Format::Auto => !io::stderr().is_terminal(),
            format => format == Format::Json,
        }
    }
}

/// What a server logs.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Logging {
    pub format: Format,
    /// Part of the requests that have a line, from 0 to 1.
    pub rate: f64,
}

/// Begins to log, panics too: by their place, as their words may have values in them.
pub fn start(format: Format) {
    let filter = env_logger::Env::default().default_filter_or(FILTER);
    let mut logger = env_logger::Builder::from_env(filter);
    logger.format_target(false);
    if format.is_json() {
        logger.format(|line, record| {
            let time = line.timestamp_micros();
            let severity = severity(record.level());
            writeln!(
                line,
                "{{\"time\":\"{time}\",\"severity\":\"{severity}\",{}}}",
                members(record)
            )
        });
    }
    logger.init();
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        log::error!("a panic at {place}");
        log::debug!("{panic}");
    }));
}

fn severity(level: Level) -> &'static str {
    match level {
        Level::Error => "ERROR",
        Level::Warn => "WARNING",
        Level::Info => "INFO",
        Level::Debug | Level::Trace => "DEBUG",
    }
}

fn members(record: &Record<'_>) -> String {
    let text = record.args().to_string();
    match record.target() {
        REQUEST => text,
        _ => format!("\"message\":{}", serde_json::Value::from(text)),
    }
}

/// A request that has been answered.
#[derive(Debug)]
pub struct Request<'a> {
    pub method: &'a str,
    /// Without the query, which may have features in it.
    pub path: &'a str,
    pub status: u16,
    pub latency: Duration,
    pub request_bytes: Option<u64>,
    pub response_bytes: Option<u64>,
    pub rows: Option<usize>,
    pub id: &'a str,
    /// [W3C's](https://www.w3.org/TR/trace-context/#traceparent-header), of this request.
    pub traceparent: &'a str,
}

/// Google Cloud's project, which a trace's name there begins with.
static PROJECT: Lazy<Option<String>> = Lazy::new(|| env::var("GOOGLE_CLOUD_PROJECT").ok());

impl Request<'_> {
    pub fn log(&self, format: Format) {
        let level = match self.status {
            500.. => Level::Error,
            400.. => Level::Warn,
            _ => Level::Info,
        };
        if !log::log_enabled!(target: REQUEST, level) {
            return;
        }
        match format.is_json() {
            true => log::log!(target: REQUEST, level, "{}", self.members()),
            false => log::log!(target: REQUEST, level, "{} {}", self.text(), self.id),
        }
    }

    /// "POST /predict 200 in 0.31 ms, 2 rows".
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

    fn members(&self) -> String {
        let mut trace = self.traceparent.split('-').skip(1);
        let (trace, span) = (trace.next().unwrap_or_default(), trace.next().unwrap_or_default());
        let mut request = json!({
            "requestMethod": self.method,
            "requestUrl": self.path,
            "status": self.status,
            "latency": format!("{:.6}s", self.latency.as_secs_f64()),
        });
        // As strings: that is how Cloud Logging has integers of 64 bits.
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
