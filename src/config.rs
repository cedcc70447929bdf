//! The settings of the server. The module `settings` declares each setting once.

mod environment;
mod flags;
mod lookup;
mod origins;
mod setting;
mod settings;
#[cfg(test)]
mod table;
mod vertex;

use crate::access::Access;
use crate::logging::Logging;
use crate::machine;
use crate::sandbox::Sandbox;
pub(crate) use flags::{Flags, SocketFlags};
use lookup::Lookup;
pub use origins::Origins;
use settings::{
    AIP_HEALTH_ROUTE, AIP_PREDICT_ROUTE, API_KEY_SCOPE, CORS_ORIGINS, DRAIN_DELAY, HEADER_TIMEOUT,
    HOST, INFERENCE_THREADS, KEEP_ALIVE, LOG_FORMAT, LOG_REQUESTS, MAX_BODY, MAX_BUFFERED,
    MAX_CONNECTIONS, MAX_HEADER, MAX_IN_FLIGHT, MAX_ROWS, PORT, QUEUE_TIMEOUT, REQUEST_TIMEOUT,
    SANDBOX, WORKERS,
};
use std::ffi::OsString;
use std::net::IpAddr;
use std::time::Duration;
use std::{env, fmt};
pub use vertex::VertexRoutes;

/// Default maximum size of a request body, in bytes. About 500,000 rows of three features as JSON have this size.
const MAX_BODY_DEFAULT: usize = 32 * 1024 * 1024;

/// The default of the maximum body size is at most the memory limit divided by this number, because a prediction needs
/// memory of several times the size of its body.
const BODY_DIVISOR: usize = 32;

/// The default of the maximum size of all buffered bodies is the maximum body size, multiplied by this number.
const BUFFERED_BODIES: usize = 8;

/// Maximum memory of an idle connection, in the process and in the kernel, in bytes.
const CONNECTION_BYTES: usize = 32 * 1024;

const MAX_CONNECTIONS_DEFAULT: usize = 10_000;

/// Number of open files per connection.
const CONNECTION_FILES: usize = 2;

/// Number of open files that are reserved for purposes other than connections.
const OTHER_FILES: usize = 64;

/// Limits for a single request, and for all requests together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Maximum size of a request head, in bytes.
    pub max_header: usize,
    /// Maximum size of a body in bytes, both before and after decompression.
    pub max_body: usize,
    pub max_rows: usize,
    /// Maximum time from a request's headers to its response.
    pub request_timeout: Duration,
    /// Maximum number of predictions that are waiting or running.
    pub max_in_flight: usize,
    /// Maximum time that a prediction waits for an inference thread.
    pub queue_timeout: Duration,
    /// Maximum size of all buffered bodies together, in bytes.
    pub max_buffered: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Config::default().limits
    }
}

/// Number of threads of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Threads {
    /// I/O threads, which also run short predictions inline.
    pub io: usize,
    /// Threads of the inference pool, which runs slow predictions.
    pub inference: usize,
}

impl fmt::Display for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} for I/O, {} for inference", self.io, self.inference)
    }
}

/// The settings, validated.
#[derive(Debug, Clone)]
pub struct Config {
    pub host: IpAddr,
    /// 0 lets the system choose a port.
    pub port: u16,
    pub limits: Limits,
    /// Time limit for the headers of a connection's first request.
    pub header_timeout: Duration,
    /// Time after which an idle connection is closed.
    pub keep_alive: Duration,
    pub max_connections: usize,
    /// Time after SIGTERM during which connections are still accepted.
    pub drain_delay: Duration,
    pub threads: Threads,
    pub access: Access,
    pub cors: Origins,
    pub sandbox: Sandbox,
    pub logging: Logging,
    pub vertex: VertexRoutes,
}

/// The errors in the settings: one message per invalid setting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub(crate) struct InvalidSettings(pub Vec<String>);

impl Default for Config {
    /// Returns the defaults for a machine without limits, with one thread of each kind.
    fn default() -> Config {
        let flags = Flags::default();
        let mut lookup = Lookup { flags: &flags, variable: &|_| None, errors: vec![] };
        Config::read(&mut lookup, &Machine::UNLIMITED)
    }
}

/// Returns a warning for each environment variable of this process whose name begins with `ML_APP_` and that sets
/// nothing.
pub fn environment_warnings() -> Vec<String> {
    let lossy = |value: OsString| value.to_string_lossy().into_owned();
    environment::warnings(env::vars_os().map(|(name, value)| (lossy(name), lossy(value))))
}

impl Config {
    /// Reads the settings of this process.
    ///
    /// # Errors
    ///
    /// Returns an error with a message for each invalid setting.
    pub(crate) fn from_environment(flags: &Flags) -> Result<Config, InvalidSettings> {
        // A value that is not UTF-8 becomes a value that its setting rejects.
        let lossy = |name: &str| Some(env::var_os(name)?.to_string_lossy().into_owned());
        Config::load(flags, lossy)
    }

    /// Reads the settings from `flags` and the environment. `variable` returns the value of an environment variable.
    ///
    /// # Errors
    ///
    /// Returns an error with a message for each invalid setting.
    pub(crate) fn load(
        flags: &Flags,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Config, InvalidSettings> {
        let mut lookup = Lookup { flags, variable: &variable, errors: vec![] };
        let config = Config::read(&mut lookup, &Machine::THIS);
        if lookup.errors.is_empty() { Ok(config) } else { Err(InvalidSettings(lookup.errors)) }
    }

    fn read(lookup: &mut Lookup<'_>, machine: &Machine) -> Config {
        let memory_limit = (machine.memory_limit)();
        let threads = (machine.threads)();
        let (host, port) = (lookup.value(&HOST), lookup.value(&PORT));
        let max_body = lookup.explicit(&MAX_BODY).unwrap_or_else(|| default_max_body(memory_limit));
        Config {
            host,
            port,
            limits: Limits {
                max_header: lookup.value(&MAX_HEADER),
                max_body,
                max_rows: lookup.value(&MAX_ROWS),
                request_timeout: lookup.value(&REQUEST_TIMEOUT),
                max_in_flight: lookup.value(&MAX_IN_FLIGHT),
                queue_timeout: lookup.value(&QUEUE_TIMEOUT),
                max_buffered: lookup
                    .explicit(&MAX_BUFFERED)
                    .unwrap_or(max_body.saturating_mul(BUFFERED_BODIES)),
            },
            header_timeout: lookup.value(&HEADER_TIMEOUT),
            keep_alive: lookup.value(&KEEP_ALIVE),
            max_connections: lookup.explicit(&MAX_CONNECTIONS).unwrap_or_else(|| {
                default_max_connections(memory_limit, (machine.open_file_limit)())
            }),
            drain_delay: lookup.value(&DRAIN_DELAY),
            threads: Threads {
                io: lookup.explicit(&WORKERS).unwrap_or(threads),
                inference: lookup.explicit(&INFERENCE_THREADS).unwrap_or(threads),
            },
            access: Access { keys: lookup.api_keys(), scope: lookup.value(&API_KEY_SCOPE) },
            cors: lookup.explicit(&CORS_ORIGINS).unwrap_or_default(),
            sandbox: lookup.value(&SANDBOX),
            logging: Logging {
                format: lookup.value(&LOG_FORMAT),
                rate: lookup.value(&LOG_REQUESTS),
            },
            vertex: VertexRoutes {
                predict: lookup.explicit(&AIP_PREDICT_ROUTE),
                health: lookup.explicit(&AIP_HEALTH_ROUTE),
            },
        }
    }
}

/// The limits of the machine. Some defaults are computed from these limits.
struct Machine {
    memory_limit: fn() -> Option<usize>,
    threads: fn() -> usize,
    open_file_limit: fn() -> usize,
}

impl Machine {
    const THIS: Machine = Machine {
        memory_limit: machine::memory_limit,
        threads: machine::threads,
        open_file_limit: machine::raise_open_file_limit,
    };
    const UNLIMITED: Machine =
        Machine { memory_limit: || None, threads: || 1, open_file_limit: || usize::MAX };
}

fn default_max_body(memory_limit: Option<usize>) -> usize {
    memory_limit.map_or(MAX_BODY_DEFAULT, |limit| MAX_BODY_DEFAULT.min(limit / BODY_DIVISOR))
}

fn default_max_connections(memory_limit: Option<usize>, open_files: usize) -> usize {
    let memory = memory_limit.map_or(usize::MAX, |limit| limit / 4 / CONNECTION_BYTES);
    let files = open_files.saturating_sub(OTHER_FILES) / CONNECTION_FILES;
    MAX_CONNECTIONS_DEFAULT.min(memory).min(files).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(
        flags: &[(&'static str, &str)],
        variables: &[(&str, &str)],
    ) -> Result<Config, Vec<String>> {
        let variable = |name: &str| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Config::load(&Flags::new(flags), variable).map_err(|InvalidSettings(errors)| errors)
    }

    #[test]
    fn a_flag_overrides_variables_and_variables_have_priorities() {
        let variables = [
            ("PORT", "1"),
            ("SAGEMAKER_BIND_TO_PORT", "2"),
            ("AIP_HTTP_PORT", "3"),
            ("ML_APP_PORT", "4"),
        ];
        let port = |flags: &[(&'static str, &str)], count: usize| {
            load(flags, &variables[..count]).map(|config| config.port)
        };
        assert_eq!(port(&[], 0), Ok(5000));
        assert_eq!(port(&[], 1), Ok(1));
        assert_eq!(port(&[], 2), Ok(2));
        assert_eq!(port(&[], 3), Ok(3));
        assert_eq!(port(&[], 4), Ok(4));
        assert_eq!(port(&[("port", "5")], 4), Ok(5));
        let link = ("ML_APP_PORT", "tcp://10.0.171.239:80");
        assert_eq!(load(&[], &[link]).map(|config| config.port), Ok(5000));
        assert_eq!(load(&[], &[link, ("PORT", "1")]).map(|config| config.port), Ok(1));
    }

    #[test]
    fn parses_sizes_with_units() {
        let max_body = |text| load(&[], &[("ML_APP_MAX_BODY", text)]);
        assert_eq!(max_body("512KiB").map(|config| config.limits.max_body), Ok(512 * 1024));
        assert_eq!(max_body("100").map(|config| config.limits.max_body), Ok(100));
        assert!(max_body("1.5MiB").is_err());
        assert!(max_body("99999999999GiB").is_err());
    }

    #[test]
    fn the_default_of_max_body_follows_the_memory_limit() {
        assert_eq!(default_max_body(None), 32 << 20);
        assert_eq!(default_max_body(Some(usize::MAX / 2)), 32 << 20);
        assert_eq!(default_max_body(Some(32 << 20)), 1 << 20);
    }

    #[test]
    fn the_default_of_max_connections_follows_memory_and_open_files() {
        assert_eq!(default_max_connections(None, usize::MAX), 10_000);
        assert_eq!(default_max_connections(None, 1024), 480);
        assert_eq!(default_max_connections(Some(32 << 20), 1_000_000), 256);
        assert_eq!(default_max_connections(Some(0), 0), 1);
    }

    #[test]
    fn the_default_of_max_buffered_is_eight_bodies() {
        let config = load(&[], &[("ML_APP_MAX_BODY", "1MiB")]).expect("valid settings");
        assert_eq!(config.limits.max_buffered, 8 << 20);
    }

    #[test]
    fn origins_are_schemes_and_hosts() {
        let origins = |text| load(&[], &[("ML_APP_CORS_ORIGINS", text)]);
        let origins_list = ["https://shop.example", "http://localhost:8080"];
        assert_eq!(
            origins("https://shop.example, http://localhost:8080").map(|config| config.cors),
            Ok(Origins::List(origins_list.map(str::to_owned).into()))
        );
        assert_eq!(origins("*").map(|config| config.cors), Ok(Origins::Any));
        for wrong in ["", "shop.example", "https://shop.example/", "https://", "*, https://a"] {
            assert!(origins(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn vertex_routes_are_paths_without_parameters() {
        let route = |text| load(&[], &[("AIP_PREDICT_ROUTE", text)]);
        let predict = route("/predict").map(|config| config.vertex.predict);
        assert_eq!(predict, Ok(Some("/predict".to_owned())));
        for wrong in ["", "predict", "/{model}"] {
            assert!(route(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn api_keys_come_from_the_variable_or_from_the_file() {
        let keys = "0123456789abcdef\nfedcba9876543210\n";
        let variables = [("ML_APP_API_KEYS", keys), ("ML_APP_API_KEY_FILE", "/no/such")];
        let keys = |variables| load(&[], variables).map(|config| config.access.keys.len());
        assert_eq!(keys(&[]), Ok(0));
        assert_eq!(keys(&variables[..1]), Ok(2));
        assert!(keys(&variables[1..]).is_err_and(|errors| errors[0].contains("/no/such")));
        assert!(keys(&variables).is_err_and(|errors| errors.len() == 1));
        assert!(keys(&[("ML_APP_API_KEYS", "# none\n")]).is_err());
        assert_eq!(
            keys(&[("ML_APP_API_KEYS", "0123456789abcdef\n\nshort\ntwo words")]),
            Err(vec![
                "ML_APP_API_KEYS: line 3: expected a key of at least 16 characters, found 5".to_owned(),
                "ML_APP_API_KEYS: line 4: expected visible ASCII characters other than a comma, found U+0020"
                    .to_owned(),
            ])
        );
    }

    #[test]
    fn reports_every_invalid_setting() {
        let errors = load(&[("host", "localhost")], &[("PORT", "http"), ("ML_APP_WORKERS", "0")]);
        assert_eq!(
            errors.err(),
            Some(vec![
                "--host: expected an IP address, found `localhost`".to_owned(),
                "PORT: expected a port from 0 to 65535, found `http`".to_owned(),
                "ML_APP_WORKERS: expected a number from 1 to 1024, found `0`".to_owned(),
            ])
        );
    }
}
