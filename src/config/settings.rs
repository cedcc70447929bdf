//! Every setting of the server, declared once. The command line, the parser and the table in
//! `docs/operations.md` are derived from the declarations.
//!
//! To add a setting, declare it here and read it in `Config::read`. The order of the declarations is the order of
//! `--help` and of the table. `UPDATE_DOCS=1 cargo test -p ml-app settings_table` updates the table.

use super::origins::Origins;
use super::setting::DefaultValue::{Computed, Fixed, Unset};
use super::setting::Flag::{Long, LongAndShort, VariableOnly};
use super::setting::{Count, Declared, Parsed, Seconds, Setting, Size};
use super::vertex;
use crate::access::Scope;
use crate::logging::{self, LogFormat};
use crate::sandbox::Sandbox;
use std::net::IpAddr;

/// Number of bytes in a KiB.
const KIB: usize = 1 << 10;
/// Number of seconds in a day.
const DAY: u64 = 24 * 60 * 60;

/// Declares one static per setting, and the list of all settings. The doc comment of a setting is its help text.
macro_rules! settings {
    ($($(#[doc = $help:literal])+ $name:ident: $values:ty { $($field:ident: $value:expr,)+ })+) => {
        $(
            $(#[doc = $help])+
            pub(crate) static $name: Setting<$values> =
                Setting { $($field: $value,)+ help: concat!($($help, "\n"),+) };
        )+

        /// All settings, in the order of their declaration.
        pub(crate) static ALL: &[&dyn Declared] = &[$(&$name),+];
    };
}

settings! {
    /// IP address to listen on.
    ///
    /// `127.0.0.1` accepts connections from this machine only. `::` listens on IPv6.
    HOST: Parsed<IpAddr> {
        flag: Long("host"),
        variables: &["ML_APP_HOST"],
        values: Parsed {
            placeholder: "ADDRESS",
            expected: "an IP address",
            parse: |text| text.parse().ok(),
        },
        default: Fixed("0.0.0.0"),
    }

    /// TCP port to listen on. 0 lets the system choose a free port.
    ///
    /// Vertex AI, SageMaker and Cloud Run each set one of the last three variables. If several variables are set, the
    /// first in the list applies. Kubernetes sets `ML_APP_PORT` to an address such as `tcp://10.0.0.1:80` if a Service
    /// is named `ml-app`; such a value is ignored.
    PORT: Parsed<u16> {
        flag: LongAndShort("port", 'p'),
        variables: &["ML_APP_PORT", "AIP_HTTP_PORT", "SAGEMAKER_BIND_TO_PORT", "PORT"],
        values: Parsed {
            placeholder: "PORT",
            expected: "a port from 0 to 65535",
            parse: |text| text.parse().ok(),
        },
        default: Fixed("5000"),
    }

    /// Maximum size of a request line and its headers together. A request that exceeds the limit gets 431.
    ///
    /// Raise the limit if clients send long queries or large cookies.
    MAX_HEADER: Size {
        flag: Long("max-header"),
        variables: &["ML_APP_MAX_HEADER"],
        // actix-web buffers at most 128 KiB of a request head.
        values: Size(256..=96 * KIB),
        default: Fixed("32KiB"),
    }

    /// Maximum size of a request body, before and after decompression. A request with a larger body gets 413.
    ///
    /// A prediction needs memory of several times the size of its body. If you raise this setting, also raise the
    /// memory limit of the container.
    MAX_BODY: Size {
        flag: Long("max-body"),
        variables: &["ML_APP_MAX_BODY"],
        values: Size(0..=usize::MAX),
        default: Computed("32MiB, or 1/32 of the memory limit if that is less"),
    }

    /// Maximum number of rows in a request. A request with more rows gets 413.
    ///
    /// Lower the limit to bound the time for which one request occupies an inference thread.
    MAX_ROWS: Count {
        flag: Long("max-rows"),
        variables: &["ML_APP_MAX_ROWS"],
        values: Count(1..=1_000_000_000),
        default: Fixed("1000000"),
    }

    /// Time limit in seconds for the headers of a connection's first request. A request that is too late gets 408.
    ///
    /// The limit protects against clients that open connections and send nothing. Raise the limit only for clients on
    /// very slow networks.
    HEADER_TIMEOUT: Seconds {
        flag: Long("header-timeout"),
        variables: &["ML_APP_HEADER_TIMEOUT"],
        values: Seconds(1..=DAY),
        default: Fixed("5"),
    }

    /// Time limit in seconds from a request's headers to its response.
    ///
    /// If the body arrives too late, the request gets 408. If the prediction takes too long, the request gets 503.
    /// Keep the limit below the timeout of a proxy in front of the server. Otherwise the client gets the
    /// proxy's error instead of the server's.
    REQUEST_TIMEOUT: Seconds {
        flag: Long("request-timeout"),
        variables: &["ML_APP_REQUEST_TIMEOUT"],
        values: Seconds(1..=DAY),
        default: Fixed("60"),
    }

    /// Time in seconds after which an idle connection is closed.
    ///
    /// Behind a proxy, set a longer time than the idle timeout of the proxy. Otherwise the proxy can send a request on
    /// a connection that the server is just closing.
    KEEP_ALIVE: Seconds {
        flag: Long("keep-alive"),
        variables: &["ML_APP_KEEP_ALIVE"],
        values: Seconds(1..=DAY),
        default: Fixed("5"),
    }

    /// Maximum number of open connections. Clients beyond the limit wait until a connection is closed.
    ///
    /// Each connection needs two open files and up to 32 KiB of memory.
    MAX_CONNECTIONS: Count {
        flag: Long("max-connections"),
        variables: &["ML_APP_MAX_CONNECTIONS"],
        values: Count(1..=1_000_000),
        default: Computed(
            "10000, unless the limit of open files or a quarter of the memory limit allows fewer"
        ),
    }

    /// Maximum number of predictions that wait or run. Requests beyond the limit get 503 with `Retry-After`.
    ///
    /// With a higher limit, the server accepts longer bursts, and clients wait longer under overload.
    MAX_IN_FLIGHT: Count {
        flag: Long("max-in-flight"),
        variables: &["ML_APP_MAX_IN_FLIGHT"],
        values: Count(1..=1_000_000),
        default: Fixed("256"),
    }

    /// Maximum time in seconds for which a prediction waits for an inference thread. After this time, the request gets
    /// 503.
    ///
    /// Lower the limit if clients time out earlier.
    QUEUE_TIMEOUT: Seconds {
        flag: Long("queue-timeout"),
        variables: &["ML_APP_QUEUE_TIMEOUT"],
        values: Seconds(1..=DAY),
        default: Fixed("5"),
    }

    /// Maximum total size of the request bodies that are buffered at the same time. Requests beyond the limit get 503.
    ///
    /// Received bytes count, decompressed bytes do not. Lower the limit if many large bodies at once bring the process
    /// near its memory limit.
    MAX_BUFFERED: Size {
        flag: Long("max-buffered"),
        variables: &["ML_APP_MAX_BUFFERED"],
        values: Size(0..=usize::MAX),
        default: Computed("8 times --max-body"),
    }

    /// Time in seconds for which the server continues to serve after SIGTERM, while `/readyz` returns 503.
    ///
    /// Set the time that load balancers need to notice that the server is not ready. With 0, the server refuses new
    /// connections at once, also from load balancers that have not noticed yet.
    DRAIN_DELAY: Seconds {
        flag: Long("drain-delay"),
        variables: &["ML_APP_DRAIN_DELAY"],
        values: Seconds(0..=3600),
        default: Fixed("0"),
    }

    /// Number of I/O threads, which read requests and run short predictions.
    ///
    /// Raise the number if many small requests do not use the CPU fully.
    WORKERS: Count {
        flag: Long("workers"),
        variables: &["ML_APP_WORKERS"],
        values: Count(1..=1024),
        default: Computed("the number of CPUs, or the CPU quota rounded down if that is less"),
    }

    /// Number of inference threads, which run slow predictions.
    ///
    /// On an I/O thread, a slow prediction would delay other requests. If there are more inference threads than CPUs,
    /// each prediction takes longer.
    INFERENCE_THREADS: Count {
        flag: Long("inference-threads"),
        variables: &["ML_APP_INFERENCE_THREADS"],
        values: Count(1..=1024),
        default: Computed("the number of CPUs, or the CPU quota rounded down if that is less"),
    }

    /// File of API keys, one per line. If a file is set, clients must send one of the keys.
    ///
    /// A key has at least 16 characters and no white space. Blank lines and lines that begin with `#` are ignored.
    /// Clients send the key as `Authorization: Bearer KEY` or `X-API-Key: KEY`. With several keys, you can replace a
    /// key without downtime. The file is read once, at the start.
    API_KEY_FILE: Parsed<String> {
        flag: Long("api-key-file"),
        variables: &["ML_APP_API_KEY_FILE"],
        values: Parsed {
            placeholder: "FILE",
            expected: "a path",
            parse: |text| Some(text.to_owned()),
        },
        default: Unset,
    }

    /// API keys, as in the file of `--api-key-file`. Set either this variable or `--api-key-file`, not both.
    ///
    /// There is no flag for the keys, because other users can see the arguments of a process.
    API_KEYS: Parsed<String> {
        flag: VariableOnly,
        variables: &["ML_APP_API_KEYS"],
        values: Parsed {
            placeholder: "KEYS",
            expected: "API keys, one per line",
            parse: |text| Some(text.to_owned()),
        },
        default: Unset,
    }

    /// Requests that need an API key, if there are keys.
    ///
    /// With `predictions`, requests for probes, documentation and metrics need no key. With `all`, only requests for
    /// probes need no key.
    API_KEY_SCOPE: Parsed<Scope> {
        flag: Long("api-key-scope"),
        variables: &["ML_APP_API_KEY_SCOPE"],
        values: Parsed {
            placeholder: "predictions|all",
            expected: "predictions or all",
            parse: Scope::parse,
        },
        default: Fixed("predictions"),
    }

    /// Origins whose web pages may use the server, or `*` for all origins.
    ///
    /// Browsers stop pages of all other origins from reading responses, and from sending requests that need a CORS
    /// preflight. The server's own pages, such as the Swagger page, need no entry in the list.
    CORS_ORIGINS: Parsed<Origins> {
        flag: Long("cors-origins"),
        variables: &["ML_APP_CORS_ORIGINS"],
        values: Parsed {
            placeholder: "ORIGINS",
            expected: "* or origins such as https://shop.example, separated by commas",
            parse: Origins::parse,
        },
        default: Unset,
    }

    /// Sandbox. Once the socket is open, the process can open no files or connections, and start no programs.
    ///
    /// With `auto`, the server uses Landlock and seccomp as far as the kernel supports them. With `required`, the
    /// server does not start unless both Landlock and seccomp work. Use `off` for debuggers and profilers, because the
    /// sandbox would stop them.
    SANDBOX: Parsed<Sandbox> {
        flag: Long("sandbox"),
        variables: &["ML_APP_SANDBOX"],
        values: Parsed {
            placeholder: "auto|off|required",
            expected: "auto, off or required",
            parse: Sandbox::parse,
        },
        default: Fixed("auto"),
    }

    /// Format of the log on standard error: text, or JSON lines in the format of Cloud Logging.
    ///
    /// `auto` is text if standard error is a terminal, and JSON otherwise.
    LOG_FORMAT: Parsed<LogFormat> {
        flag: Long("log-format"),
        variables: &["ML_APP_LOG_FORMAT"],
        values: Parsed {
            placeholder: "auto|text|json",
            expected: "auto, text or json",
            parse: LogFormat::parse,
        },
        default: Fixed("auto"),
    }

    /// Fraction of the requests that are logged, from 0 to 1. Internal errors (status 500) are always logged.
    ///
    /// With 0.01, the server logs one request in a hundred.
    LOG_REQUESTS: Parsed<f64> {
        flag: Long("log-requests"),
        variables: &["ML_APP_LOG_REQUESTS"],
        values: Parsed {
            placeholder: "RATE",
            expected: "a number from 0 to 1",
            parse: |text| text.parse().ok().filter(|rate| (0.0..=1.0).contains(rate)),
        },
        default: Fixed("0"),
    }

    /// Additional path for predictions, in Vertex AI's protocol. Vertex AI sets this variable.
    AIP_PREDICT_ROUTE: Parsed<String> {
        flag: VariableOnly,
        variables: &["AIP_PREDICT_ROUTE"],
        values: Parsed {
            placeholder: "PATH",
            expected: "a path such as /predict",
            parse: vertex::parse_route,
        },
        default: Unset,
    }

    /// Additional path for the liveness probe. Vertex AI sets this variable.
    AIP_HEALTH_ROUTE: Parsed<String> {
        flag: VariableOnly,
        variables: &["AIP_HEALTH_ROUTE"],
        values: Parsed {
            placeholder: "PATH",
            expected: "a path such as /health",
            parse: vertex::parse_route,
        },
        default: Unset,
    }

    /// Filter of the log: a level for all modules, or a level for each module. An invalid filter is ignored.
    ///
    /// Levels are `off`, `error`, `warn`, `info`, `debug` and `trace`.
    RUST_LOG: Parsed<String> {
        flag: VariableOnly,
        variables: &["RUST_LOG"],
        values: Parsed {
            placeholder: "FILTER",
            expected: "a filter such as info or warn,ml_app=debug",
            parse: |text| Some(text.to_owned()),
        },
        default: Fixed(logging::DEFAULT_FILTER),
    }

    /// Google Cloud project ID. Cloud Logging needs the ID to link log entries to traces.
    GOOGLE_CLOUD_PROJECT: Parsed<String> {
        flag: VariableOnly,
        variables: &["GOOGLE_CLOUD_PROJECT"],
        values: Parsed {
            placeholder: "PROJECT",
            expected: "the ID of a project",
            parse: |text| Some(text.to_owned()),
        },
        default: Unset,
    }
}
