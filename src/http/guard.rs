//! What is asked of every request before its route sees it: a head that is not too large, and an API
//! key, where there are any.

use crate::access::Scope;
use crate::error::Error;
use crate::http::State;
use actix_web::dev::ServiceRequest;
use actix_web::http::header::{self, HeaderMap};

/// # Errors
///
/// Where the request is to be refused.
pub fn check(request: &ServiceRequest, state: &State) -> Result<(), Error> {
    let (found, limit) = (head_bytes(request), state.limits.max_header);
    if found > limit {
        return Err(Error::HeaderTooLarge { limit, found });
    }
    let access = &state.access;
    if access.keys.is_empty() || is_public(request.path(), state) {
        return Ok(());
    }
    match key(request.headers()) {
        None => Err(Error::Unauthorized { found: "none" }),
        Some(key) if access.admits(key) => Ok(()),
        Some(_) => Err(Error::Unauthorized { found: "an unknown key" }),
    }
}

/// About as it was sent: spaces may have been more or fewer.
fn head_bytes(request: &ServiceRequest) -> usize {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    let line = request.method().as_str().len() + target + 12;
    let headers = request.headers().iter();
    line + headers.map(|(name, value)| name.as_str().len() + value.len() + 4).sum::<usize>()
}

/// Only what stands here needs no key, and only as it is written here: the router takes other
/// spellings of a path for the same, as with `%64` for `d`.
pub fn is_public(path: &str, state: &State) -> bool {
    let vertex = &state.vertex;
    if vertex.predict.as_deref() == Some(path) {
        return false;
    }
    let is_probe = match path {
        "/" | "/healthz" | "/readyz" | "/ping" | "/v2/health/live" | "/v2/health/ready" => true,
        path if vertex.health.as_deref() == Some(path) => true,
        path => path.starts_with("/v2/models/") && path.ends_with("/ready"),
    };
    let is_described = || {
        matches!(path, "/apidocs" | "/openapi.json" | "/metrics") || path.starts_with("/apidocs/")
    };
    is_probe || (state.access.scope == Scope::Predictions && is_described())
}

/// Of `Authorization: Bearer`, or of `X-API-Key`.
fn key(headers: &HeaderMap) -> Option<&[u8]> {
    const BEARER: &str = "bearer ";
    let authorization = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes());
    let bearer = authorization.and_then(|value| {
        let (scheme, key) = value.split_at_checked(BEARER.len())?;
        scheme.eq_ignore_ascii_case(BEARER.as_bytes()).then(|| key.trim_ascii())
    });
    bearer.or_else(|| Some(headers.get("x-api-key")?.as_bytes()))
}
