//! Environment variables whose names begin with the prefix of this server's variables.

use super::settings::ALL;
use ml_app_model::value::nearest_name;

/// Prefix of the variables that set the settings.
const PREFIX: &str = "ML_APP_";

/// Returns whether Kubernetes sets this variable to describe a Service. A Service that is named `ml-app` sets
/// `ML_APP_SERVICE_HOST`, `ML_APP_PORT=tcp://10.0.0.1:80`, `ML_APP_PORT_80_TCP_ADDR` and others in all Pods of its
/// namespace. See [environment variables of Services].
///
/// [environment variables of Services]: https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
pub fn is_service_link(name: &str, value: &str) -> bool {
    if name.ends_with("_PORT")
        && ["tcp://", "udp://", "sctp://"].iter().any(|s| value.starts_with(s))
    {
        return true;
    }
    if name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
    {
        return true;
    }
    // `ML_APP_PORT_80_TCP`, or this name with a suffix such as `_ADDR`.
    let Some((_, port)) = name.split_once("_PORT_") else { return false };
    let mut parts = port.split('_');
    parts.next().is_some_and(|number| number.parse::<u16>().is_ok())
        && parts.next().is_some_and(|protocol| ["TCP", "UDP", "SCTP"].contains(&protocol))
}

/// Returns a warning for each variable that begins with `ML_APP_` and sets no setting. The variables of Services are
/// no errors, so they get no warning.
pub fn warnings(variables: impl Iterator<Item = (String, String)>) -> Vec<String> {
    let unknown = variables.filter(|(name, value)| {
        name.starts_with(PREFIX)
            && !names().any(|known| known == name)
            && !is_service_link(name, value)
    });
    let mut warnings: Vec<String> = unknown.map(|(name, _)| warning(&name)).collect();
    warnings.sort_unstable();
    warnings
}

/// Returns the names of the variables of all settings.
fn names() -> impl Iterator<Item = &'static str> {
    ALL.iter().flat_map(|setting| setting.variables()).copied()
}

fn warning(name: &str) -> String {
    // The names are compared without the prefix, because equal prefixes would make short names similar.
    let known = names().filter_map(|known| known.strip_prefix(PREFIX));
    match nearest_name(name.strip_prefix(PREFIX).unwrap_or(name), known) {
        Some(known) => {
            format!("unknown variable `{name}` is ignored (did you mean `{PREFIX}{known}`?)")
        }
        None => format!(
            "unknown variable `{name}` is ignored; `ml-app serve --help` lists the variables"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_variables_get_a_warning_with_the_nearest_name() {
        let variables = [
            ("ML_APP_PORTS", "80"),
            ("ML_APP_MAX_BDOY", "1MiB"),
            ("ML_APP_MAX_BODY", "1MiB"),
            ("ML_APP_SOMETHING_ELSE", ""),
            ("ML_APPLE", "x"),
            ("PATH", "/bin"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(
            warnings(variables.into_iter()),
            [
                "unknown variable `ML_APP_MAX_BDOY` is ignored (did you mean `ML_APP_MAX_BODY`?)",
                "unknown variable `ML_APP_PORTS` is ignored (did you mean `ML_APP_PORT`?)",
                "unknown variable `ML_APP_SOMETHING_ELSE` is ignored; `ml-app serve --help` lists the variables",
            ]
        );
    }

    /// The names and values that the kubelet sets for Services named `ml-app` and `ml-app-canary`.
    #[test]
    fn variables_of_services_get_no_warning() {
        let variables = [
            ("ML_APP_SERVICE_HOST", "10.0.171.239"),
            ("ML_APP_SERVICE_PORT", "80"),
            ("ML_APP_SERVICE_PORT_HTTP", "80"),
            ("ML_APP_PORT", "tcp://10.0.171.239:80"),
            ("ML_APP_PORT_80_TCP", "tcp://10.0.171.239:80"),
            ("ML_APP_PORT_80_TCP_PROTO", "tcp"),
            ("ML_APP_PORT_80_TCP_PORT", "80"),
            ("ML_APP_PORT_80_TCP_ADDR", "10.0.171.239"),
            ("ML_APP_CANARY_SERVICE_HOST", "10.0.171.240"),
            ("ML_APP_CANARY_PORT", "tcp://10.0.171.240:53"),
            ("ML_APP_CANARY_PORT_53_UDP_ADDR", "10.0.171.240"),
        ];
        for (name, value) in variables {
            assert!(is_service_link(name, value), "{name}={value}");
        }
        for (name, value) in [("ML_APP_PORT", "5799"), ("ML_APP_PORT_80", "80"), ("PORT", "tcp://")]
        {
            assert!(!is_service_link(name, value), "{name}={value}");
        }
    }
}
