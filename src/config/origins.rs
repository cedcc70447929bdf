//! The origins whose web pages may read responses (CORS).

/// The allowed origins. The server's own origin is always allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Origins {
    #[default]
    None,
    Any,
    List(Vec<String>),
}

impl Origins {
    /// Parses `*`, or a list of origins separated by commas. An origin is `scheme://host`, or
    /// `scheme://host:port` if the port is not the scheme's default.
    pub(crate) fn parse(text: &str) -> Option<Origins> {
        if text == "*" {
            return Some(Origins::Any);
        }
        let origins: Vec<String> = text.split(',').map(|origin| origin.trim().to_owned()).collect();
        origins.iter().all(|origin| is_origin(origin)).then_some(Origins::List(origins))
    }
}

fn is_origin(text: &str) -> bool {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    host.is_some_and(|host| {
        !host.is_empty() && !host.contains(|c: char| c == '/' || !c.is_ascii_graphic())
    })
}
