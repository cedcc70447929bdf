//! The settings of the server: flag, variable, default, unit.

use std::fs;
use std::net::IpAddr;
use std::time::Duration;

/// Bytes: some 500,000 rows of three features as JSON.
const MAX_BODY: usize = 32 * 1024 * 1024;

/// A request takes a multiple of its body in memory while it is answered: the default is this part of
/// the memory that the process may have, if that is less.
const BODY_SHARE: usize = 32;

/// Seconds for a whole body: a client that sends a byte now and then must not hold a connection
/// for ever.
const BODY_TIMEOUT: u64 = 60;

/// Seconds.
const KEEP_ALIVE: u64 = 5;

/// What a request may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes.
    pub max_body: usize,
    /// Seconds for a whole body.
    pub body_timeout: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { max_body: MAX_BODY, body_timeout: BODY_TIMEOUT }
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

/// Settings as given on the command line, unread: [`Config::load`] reads them together with the
/// environment, so that every mistake is reported in one go.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Flags {
    #[command(flatten)]
    pub socket: SocketFlags,
    /// Largest request body, in bytes, KiB or MiB [env: ML_APP_MAX_BODY] [default: 32MiB,
    /// or 1/32 of the memory limit]
    #[arg(long, value_name = "SIZE")]
    pub max_body: Option<String>,
    /// Time for a request's whole body, in seconds [env: ML_APP_BODY_TIMEOUT] [default: 60]
    #[arg(long, value_name = "SECONDS")]
    pub body_timeout: Option<String>,
    /// Time that a connection may be idle, in seconds [env: ML_APP_KEEP_ALIVE] [default: 5]
    #[arg(long, value_name = "SECONDS")]
    pub keep_alive: Option<String>,
    /// Time to go on answering after SIGTERM, while readiness is off, in seconds
    /// [env: ML_APP_DRAIN_DELAY] [default: 0]
    #[arg(long, value_name = "SECONDS")]
    pub drain_delay: Option<String>,
    /// Threads that answer requests [env: ML_APP_WORKERS] [default: the CPU quota, rounded up]
    #[arg(long, value_name = "N")]
    pub workers: Option<String>,
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    pub host: IpAddr,
    /// 0 lets the system choose.
    pub port: u16,
    pub limits: Limits,
    /// How long a connection may be idle: longer than a proxy keeps its own, where there is one.
    pub keep_alive: Duration,
    /// From the signal to stop until connections are refused: as long as it takes those who send
    /// requests to notice that the server is not ready.
    pub drain_delay: Duration,
    pub workers: usize,
    pub vertex: VertexRoutes,
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
        let mut source = Source { variable: &variable, mistakes: vec![] };
        let host = source.read(
            ("--host", &flags.socket.host, &["ML_APP_HOST"]),
            "an IP address",
            |text| text.parse().ok(),
        );
        let port = source.read(
            ("--port", &flags.socket.port, &["AIP_HTTP_PORT", "SAGEMAKER_BIND_TO_PORT", "PORT"]),
            "a port from 0 to 65535",
            |text| text.parse().ok(),
        );
        let max_body = source.read(
            ("--max-body", &flags.max_body, &["ML_APP_MAX_BODY"]),
            "a size such as 1048576, 512KiB or 32MiB",
            size,
        );
        let body_timeout = source.read(
            ("--body-timeout", &flags.body_timeout, &["ML_APP_BODY_TIMEOUT"]),
            "a number of seconds from 1 to 86400",
            |text| text.parse().ok().filter(|seconds| (1..=86_400).contains(seconds)),
        );
        let keep_alive = source.read(
            ("--keep-alive", &flags.keep_alive, &["ML_APP_KEEP_ALIVE"]),
            "a number of seconds from 1 to 86400",
            |text| text.parse().ok().filter(|seconds| (1..=86_400).contains(seconds)),
        );
        let drain_delay = source.read(
            ("--drain-delay", &flags.drain_delay, &["ML_APP_DRAIN_DELAY"]),
            "a number of seconds from 0 to 3600",
            |text| text.parse().ok().filter(|seconds| *seconds <= 3600),
        );
        let workers = source.read(
            ("--workers", &flags.workers, &["ML_APP_WORKERS"]),
            "a number of threads from 1 to 1024",
            |text| text.parse().ok().filter(|workers| (1..=1024).contains(workers)),
        );
        let mut route = |name| source.read(("", &None, &[name]), "a path such as /predict", route);
        let vertex =
            VertexRoutes { predict: route("AIP_PREDICT_ROUTE"), health: route("AIP_HEALTH_ROUTE") };
        if !source.mistakes.is_empty() {
            return Err(source.mistakes);
        }
        Ok(Config {
            host: host.unwrap_or(IpAddr::from([0, 0, 0, 0])),
            port: port.unwrap_or(5000),
            limits: Limits {
                max_body: max_body.unwrap_or_else(|| default_max_body(memory_limit())),
                body_timeout: body_timeout.unwrap_or(BODY_TIMEOUT),
            },
            keep_alive: Duration::from_secs(keep_alive.unwrap_or(KEEP_ALIVE)),
            drain_delay: Duration::from_secs(drain_delay.unwrap_or(0)),
            workers: workers
                .or_else(|| std::thread::available_parallelism().ok().map(usize::from))
                .unwrap_or(1),
            vertex,
        })
    }
}

/// Flag, its value, and the variables that stand in for it.
type Setting<'a> = (&'a str, &'a Option<String>, &'a [&'a str]);

struct Source<'a> {
    variable: &'a dyn Fn(&str) -> Option<String>,
    mistakes: Vec<String>,
}

impl Source<'_> {
    fn read<T>(
        &mut self,
        (flag, value, variables): Setting<'_>,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let given = value.clone().map(|value| (flag, value));
        let (name, value) = given
            .or_else(|| variables.iter().find_map(|name| Some((*name, (self.variable)(name)?))))?;
        let parsed = parse(value.trim());
        if parsed.is_none() {
            self.mistakes.push(format!("{name}: expected {expected}, but found `{value}`"));
        }
        parsed
    }
}

fn default_max_body(memory_limit: Option<usize>) -> usize {
    memory_limit.map_or(MAX_BODY, |limit| MAX_BODY.min(limit / BODY_SHARE))
}

/// Bytes that the process's control group may take, as a container sees it: of version 2, or 1.
fn memory_limit() -> Option<usize> {
    let files = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    files.iter().find_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok())
}

/// Braces would make it a pattern.
fn route(text: &str) -> Option<String> {
    (text.starts_with('/') && !text.contains(['{', '}'])).then(|| text.to_owned())
}

fn size(text: &str) -> Option<usize> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit: usize = match text[digits.len()..].trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    digits.parse::<usize>().ok()?.checked_mul(unit)
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
    fn every_mistake_is_told() {
        let socket = SocketFlags { host: Some("localhost".into()), ..SocketFlags::default() };
        let flags = Flags { socket, ..Flags::default() };
        let mistakes = load(flags, &[("PORT", "http"), ("ML_APP_WORKERS", "0")]);
        assert_eq!(
            mistakes,
            Err(vec![
                "--host: expected an IP address, but found `localhost`".to_owned(),
                "PORT: expected a port from 0 to 65535, but found `http`".to_owned(),
                "ML_APP_WORKERS: expected a number of threads from 1 to 1024, but found `0`"
                    .to_owned(),
            ])
        );
    }
}
