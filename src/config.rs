//! The settings of the server: flag, variable, default, unit.

mod source;

use crate::access::{Access, Scope};
use crate::logging::{self, Logging};
use crate::machine;
use crate::sandbox::Sandbox;
use source::Source;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

/// Bytes: some 500,000 rows of three features as JSON.
const MAX_BODY: usize = 32 * 1024 * 1024;

/// A request takes a multiple of its body in memory while it is answered: the default is this part of
/// the memory that the process may have, if that is less.
const BODY_SHARE: usize = 32;

/// All bodies that are held at once, where nothing else is set: so many of the largest.
const BODIES: usize = 8;

/// Memory for a connection that sends nothing, in the process and in the kernel, with room to spare.
const CONNECTION_BYTES: usize = 32 * 1024;

const MAX_CONNECTIONS: usize = 10_000;

/// Files that the process has open beside its connections, which have two each.
const OTHER_FILES: usize = 64;

/// What requests may cost: each alone, and all at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes, of a request's head as it is sent.
    pub max_header: usize,
    /// Bytes.
    pub max_body: usize,
    pub max_rows: usize,
    /// From its head to its answer.
    pub request_timeout: Duration,
    /// Predictions that wait or run.
    pub max_in_flight: usize,
    /// For a thread.
    pub queue_timeout: Duration,
    /// Bytes of all bodies at once.
    pub max_buffered: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            max_header: 32 * 1024,
            max_body: MAX_BODY,
            max_rows: 1_000_000,
            request_timeout: Duration::from_secs(60),
            max_in_flight: 256,
            queue_timeout: Duration::from_secs(5),
            max_buffered: BODIES * MAX_BODY,
        }
    }
}

/// How many threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Threads {
    /// That read requests, and answer those that take little.
    pub http: usize,
    /// That do what would keep others waiting.
    pub inference: usize,
}

impl fmt::Display for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} for HTTP, {} for inference", self.http, self.inference)
    }
}

/// Paths that [Vertex AI](https://cloud.google.com/vertex-ai/docs/predictions/custom-container-requirements)
/// tells its containers to answer at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VertexRoutes {
    /// `AIP_PREDICT_ROUTE`.
    pub predict: Option<String>,
    /// `AIP_HEALTH_ROUTE`.
    pub health: Option<String>,
}

/// Whose pages may ask, beside the server's own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Origins {
    #[default]
    None,
    Any,
    These(Vec<String>),
}

impl Origins {
    fn read(text: &str) -> Option<Origins> {
        if text == "*" {
            return Some(Origins::Any);
        }
        let origins: Vec<String> = text.split(',').map(|origin| origin.trim().to_owned()).collect();
        let is_origin = |origin: &String| {
            let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
            host.is_some_and(|host| {
                !host.is_empty() && !host.contains(|c: char| c == '/' || !c.is_ascii_graphic())
            })
        };
        origins.iter().all(is_origin).then_some(Origins::These(origins))
    }
}

/// Settings as given on the command line, unread: [`Config::load`] reads them together with the
/// environment, so that every mistake is reported in one go.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Flags {
    #[command(flatten)]
    pub socket: SocketFlags,
    /// Largest head of a request, in bytes or KiB [env: ML_APP_MAX_HEADER] [default: 32KiB]
    #[arg(long, value_name = "SIZE")]
    pub max_header: Option<String>,
    /// Largest body of a request, in bytes, KiB or MiB [env: ML_APP_MAX_BODY] [default: 32MiB,
    /// or 1/32 of the memory limit]
    #[arg(long, value_name = "SIZE")]
    pub max_body: Option<String>,
    /// Most rows of a request [env: ML_APP_MAX_ROWS] [default: 1000000]
    #[arg(long, value_name = "N")]
    pub max_rows: Option<String>,
    /// Time for the head of a connection's first request, in seconds [env: ML_APP_HEADER_TIMEOUT]
    /// [default: 5]
    #[arg(long, value_name = "SECONDS")]
    pub header_timeout: Option<String>,
    /// Time for a request, from its head to its answer, in seconds [env: ML_APP_REQUEST_TIMEOUT]
    /// [default: 60]
    #[arg(long, value_name = "SECONDS")]
    pub request_timeout: Option<String>,
    /// Time that a connection may be idle, in seconds [env: ML_APP_KEEP_ALIVE] [default: 5]
    #[arg(long, value_name = "SECONDS")]
    pub keep_alive: Option<String>,
    /// Connections at once; more wait until one ends [env: ML_APP_MAX_CONNECTIONS] [default: 10000,
    /// or what fits a quarter of the memory limit and the limit of open files]
    #[arg(long, value_name = "N")]
    pub max_connections: Option<String>,
    /// Predictions that wait or run at once; more are refused [env: ML_APP_MAX_IN_FLIGHT]
    /// [default: 256]
    #[arg(long, value_name = "N")]
    pub max_in_flight: Option<String>,
    /// Time that a prediction may wait for a thread, in seconds [env: ML_APP_QUEUE_TIMEOUT]
    /// [default: 5]
    #[arg(long, value_name = "SECONDS")]
    pub queue_timeout: Option<String>,
    /// All bodies held at once, in bytes, KiB or MiB [env: ML_APP_MAX_BUFFERED] [default: 8 of the
    /// largest]
    #[arg(long, value_name = "SIZE")]
    pub max_buffered: Option<String>,
    /// Time to go on answering after SIGTERM, while readiness is off, in seconds
    /// [env: ML_APP_DRAIN_DELAY] [default: 0]
    #[arg(long, value_name = "SECONDS")]
    pub drain_delay: Option<String>,
    /// Threads that read requests, and answer those that take little [env: ML_APP_WORKERS]
    /// [default: the CPU quota, rounded up]
    #[arg(long, value_name = "N")]
    pub workers: Option<String>,
    /// Threads that answer requests that take long [env: ML_APP_INFERENCE_THREADS] [default: the CPU
    /// quota, rounded up]
    #[arg(long, value_name = "N")]
    pub inference_threads: Option<String>,
    /// Ask for one of the API keys in this file, one a line; ML_APP_API_KEYS has them in itself
    /// [env: ML_APP_API_KEY_FILE]
    #[arg(long, value_name = "FILE")]
    pub api_key_file: Option<String>,
    /// What an API key is asked for: predictions, or all but the probes
    /// [env: ML_APP_API_KEY_SCOPE] [default: predictions]
    #[arg(long, value_name = "predictions|all")]
    pub api_key_scope: Option<String>,
    /// Origins whose pages may ask, separated by commas, or * [env: ML_APP_CORS_ORIGINS]
    /// [default: none]
    #[arg(long, value_name = "ORIGINS")]
    pub cors_origins: Option<String>,
    /// Give up, once the socket is open, the right to open files and connections and to start
    /// programs: where the kernel can, never, or not to start where it cannot
    /// [env: ML_APP_SANDBOX] [default: auto]
    #[arg(long, value_name = "auto|off|required")]
    pub sandbox: Option<String>,
    /// Lines for people, or JSON as Cloud Logging reads it; auto: text on a terminal
    /// [env: ML_APP_LOG_FORMAT] [default: auto]
    #[arg(long, value_name = "auto|text|json")]
    pub log_format: Option<String>,
    /// Part of the requests that are logged, from 0 to 1; those that the server failed on always are
    /// [env: ML_APP_LOG_REQUESTS] [default: 0]
    #[arg(long, value_name = "RATE")]
    pub log_requests: Option<String>,
}

/// Where the server listens.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct SocketFlags {
    /// Address to listen on [env: ML_APP_HOST] [default: 0.0.0.0]
    #[arg(long, value_name = "ADDRESS")]
    pub host: Option<String>,
    /// Port to listen on [env: AIP_HTTP_PORT, SAGEMAKER_BIND_TO_PORT, PORT] [default: 5000]
    #[arg(long, short, value_name = "PORT")]
    pub port: Option<String>,
}

/// Settings that hold.
#[derive(Debug, Clone)]
pub struct Config {
    pub host: IpAddr,
    /// 0 lets the system choose.
    pub port: u16,
    pub limits: Limits,
    /// For the head of a connection's first request.
    pub header_timeout: Duration,
    /// How long a connection may be idle: longer than a proxy keeps its own, where there is one.
    pub keep_alive: Duration,
    pub max_connections: usize,
    /// From the signal to stop until connections are refused: as long as it takes those who send
    /// requests to notice that the server is not ready.
    pub drain_delay: Duration,
    pub threads: Threads,
    pub access: Access,
    pub cors: Origins,
    pub sandbox: Sandbox,
    pub logging: Logging,
    pub vertex: VertexRoutes,
}

impl Default for Config {
    /// Where nothing is set, on a machine with no limits.
    fn default() -> Config {
        Config {
            host: IpAddr::from([0, 0, 0, 0]),
            port: 5000,
            limits: Limits::default(),
            header_timeout: Duration::from_secs(5),
            keep_alive: Duration::from_secs(5),
            max_connections: MAX_CONNECTIONS,
            drain_delay: Duration::ZERO,
            threads: Threads { http: 1, inference: 1 },
            access: Access::default(),
            cors: Origins::default(),
            sandbox: Sandbox::default(),
            logging: Logging::default(),
            vertex: VertexRoutes::default(),
        }
    }
}

impl Config {
    /// `variable` looks up an environment variable. A flag comes before any variable, and the
    /// variables in the order in which they are named.
    ///
    /// # Errors
    ///
    /// Every setting that cannot be read, each with what was expected and what was found.
    pub fn load(
        flags: &Flags,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Config, Vec<String>> {
        const DAY: u64 = 86_400;
        let mut source = Source { variable: &variable, mistakes: vec![] };
        let host =
            source.read("--host", &flags.socket.host, "an IP address", |text| text.parse().ok());
        let port = source.read_as(
            ("--port", &flags.socket.port, &["AIP_HTTP_PORT", "SAGEMAKER_BIND_TO_PORT", "PORT"]),
            "a port from 0 to 65535",
            |text| text.parse().ok(),
        );
        // What actix-web's buffer for a head holds is 128 KiB.
        let max_header = source.size("--max-header", &flags.max_header, 256..=96 << 10);
        let max_body = source.size("--max-body", &flags.max_body, 0..=usize::MAX);
        let max_rows = source.count("--max-rows", &flags.max_rows, 1..=1_000_000_000);
        let header_timeout = source.seconds("--header-timeout", &flags.header_timeout, 1..=DAY);
        let request_timeout = source.seconds("--request-timeout", &flags.request_timeout, 1..=DAY);
        let keep_alive = source.seconds("--keep-alive", &flags.keep_alive, 1..=DAY);
        let max_connections =
            source.count("--max-connections", &flags.max_connections, 1..=1_000_000);
        let max_in_flight = source.count("--max-in-flight", &flags.max_in_flight, 1..=1_000_000);
        let queue_timeout = source.seconds("--queue-timeout", &flags.queue_timeout, 1..=DAY);
        let max_buffered = source.size("--max-buffered", &flags.max_buffered, 0..=usize::MAX);
        let drain_delay = source.seconds("--drain-delay", &flags.drain_delay, 0..=3600);
        let workers = source.count("--workers", &flags.workers, 1..=1024);
        let inference = source.count("--inference-threads", &flags.inference_threads, 1..=1024);
        let access = Access {
            keys: source.keys(&flags.api_key_file),
            scope: source
                .read("--api-key-scope", &flags.api_key_scope, "predictions or all", Scope::read)
                .unwrap_or_default(),
        };
        let cors = source.read(
            "--cors-origins",
            &flags.cors_origins,
            "* or origins such as https://shop.example, separated by commas",
            Origins::read,
        );
        let sandbox =
            source.read("--sandbox", &flags.sandbox, "auto, off or required", Sandbox::read);
        let format = source.read(
            "--log-format",
            &flags.log_format,
            "auto, text or json",
            logging::Format::read,
        );
        let rate =
            source.read("--log-requests", &flags.log_requests, "a number from 0 to 1", |text| {
                text.parse().ok().filter(|rate| (0.0..=1.0).contains(rate))
            });
        let mut route =
            |name| source.read_as(("", &None, &[name]), "a path such as /predict", route);
        let vertex =
            VertexRoutes { predict: route("AIP_PREDICT_ROUTE"), health: route("AIP_HEALTH_ROUTE") };
        if !source.mistakes.is_empty() {
            return Err(source.mistakes);
        }
        let memory = machine::memory_limit();
        let max_body = max_body.unwrap_or_else(|| default_max_body(memory));
        let threads = machine::threads();
        let connections = || default_max_connections(memory, machine::open_files());
        let unset = Config::default();
        Ok(Config {
            host: host.unwrap_or(unset.host),
            port: port.unwrap_or(unset.port),
            limits: Limits {
                max_header: max_header.unwrap_or(unset.limits.max_header),
                max_body,
                max_rows: max_rows.unwrap_or(unset.limits.max_rows),
                request_timeout: request_timeout.unwrap_or(unset.limits.request_timeout),
                max_in_flight: max_in_flight.unwrap_or(unset.limits.max_in_flight),
                queue_timeout: queue_timeout.unwrap_or(unset.limits.queue_timeout),
                max_buffered: max_buffered.unwrap_or(max_body.saturating_mul(BODIES)),
            },
            header_timeout: header_timeout.unwrap_or(unset.header_timeout),
            keep_alive: keep_alive.unwrap_or(unset.keep_alive),
            max_connections: max_connections.unwrap_or_else(connections),
            drain_delay: drain_delay.unwrap_or(unset.drain_delay),
            threads: Threads {
                http: workers.unwrap_or(threads),
                inference: inference.unwrap_or(threads),
            },
            access,
            cors: cors.unwrap_or(unset.cors),
            sandbox: sandbox.unwrap_or(unset.sandbox),
            logging: Logging {
                format: format.unwrap_or(unset.logging.format),
                rate: rate.unwrap_or(unset.logging.rate),
            },
            vertex,
        })
    }
}

fn default_max_body(memory_limit: Option<usize>) -> usize {
    memory_limit.map_or(MAX_BODY, |limit| MAX_BODY.min(limit / BODY_SHARE))
}

fn default_max_connections(memory_limit: Option<usize>, open_files: usize) -> usize {
    let memory = memory_limit.map_or(usize::MAX, |limit| limit / 4 / CONNECTION_BYTES);
    MAX_CONNECTIONS.min(memory).min(open_files.saturating_sub(OTHER_FILES) / 2).max(1)
}

/// Braces would make it a pattern.
fn route(text: &str) -> Option<String> {
    (text.starts_with('/') && !text.contains(['{', '}'])).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(flags: Flags, variables: &[(&str, &str)]) -> Result<Config, Vec<String>> {
        Config::load(&flags, |name| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn ports_have_an_order() {
        let variables = [("PORT", "1"), ("SAGEMAKER_BIND_TO_PORT", "2"), ("AIP_HTTP_PORT", "3")];
        let port = |flags, from: usize| load(flags, &variables[..from]).map(|config| config.port);
        assert_eq!(port(Flags::default(), 0), Ok(5000));
        assert_eq!(port(Flags::default(), 1), Ok(1));
        assert_eq!(port(Flags::default(), 2), Ok(2));
        assert_eq!(port(Flags::default(), 3), Ok(3));
        let socket = SocketFlags { port: Some("4".into()), ..SocketFlags::default() };
        assert_eq!(port(Flags { socket, ..Flags::default() }, 3), Ok(4));
    }

    #[test]
    fn sizes_have_units() {
        let max_body = |text| load(Flags::default(), &[("ML_APP_MAX_BODY", text)]);
        assert_eq!(max_body("512KiB").map(|config| config.limits.max_body), Ok(512 * 1024));
        assert_eq!(max_body("100").map(|config| config.limits.max_body), Ok(100));
        assert!(max_body("1.5MiB").is_err());
        assert!(max_body("99999999999GiB").is_err());
    }

    #[test]
    fn bodies_fit_the_memory() {
        assert_eq!(default_max_body(None), 32 << 20);
        assert_eq!(default_max_body(Some(usize::MAX / 2)), 32 << 20);
        assert_eq!(default_max_body(Some(32 << 20)), 1 << 20);
    }

    #[test]
    fn connections_fit_the_memory_and_the_files() {
        assert_eq!(default_max_connections(None, usize::MAX), 10_000);
        assert_eq!(default_max_connections(None, 1024), 480);
        assert_eq!(default_max_connections(Some(32 << 20), 1_000_000), 256);
        assert_eq!(default_max_connections(Some(0), 0), 1);
    }

    #[test]
    fn all_bodies_are_eight_of_the_largest() {
        let config = load(Flags::default(), &[("ML_APP_MAX_BODY", "1MiB")]).expect("it holds");
        assert_eq!(config.limits.max_buffered, 8 << 20);
    }

    #[test]
    fn origins_are_schemes_and_hosts() {
        let origins = |text| load(Flags::default(), &[("ML_APP_CORS_ORIGINS", text)]);
        let these = ["https://shop.example", "http://localhost:8080"];
        assert_eq!(
            origins("https://shop.example, http://localhost:8080").map(|config| config.cors),
            Ok(Origins::These(these.map(str::to_owned).into()))
        );
        assert_eq!(origins("*").map(|config| config.cors), Ok(Origins::Any));
        for wrong in ["", "shop.example", "https://shop.example/", "https://", "*, https://a"] {
            assert!(origins(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn api_keys_are_told_in_one_place() {
        let variables = [("ML_APP_API_KEYS", "one, two"), ("ML_APP_API_KEY_FILE", "/no/such")];
        let keys =
            |variables| load(Flags::default(), variables).map(|config| config.access.keys.len());
        assert_eq!(keys(&[]), Ok(0));
        assert_eq!(keys(&variables[..1]), Ok(2));
        assert!(keys(&variables[1..]).is_err_and(|told| told[0].contains("/no/such")));
        assert!(keys(&variables).is_err());
        assert!(keys(&[("ML_APP_API_KEYS", " ,")]).is_err());
    }

    #[test]
    fn every_mistake_is_told() {
        let socket = SocketFlags { host: Some("localhost".into()), ..SocketFlags::default() };
        let flags = Flags { socket, ..Flags::default() };
        let mistakes = load(flags, &[("PORT", "http"), ("ML_APP_WORKERS", "0")]);
        assert_eq!(
            mistakes.err(),
            Some(vec![
                "--host: expected an IP address, but found `localhost`".to_owned(),
                "PORT: expected a port from 0 to 65535, but found `http`".to_owned(),
                "ML_APP_WORKERS: expected a number from 1 to 1024, but found `0`".to_owned(),
            ])
        );
    }
}
