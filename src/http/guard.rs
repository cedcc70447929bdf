//! The checks before a request reaches its route: headers that are not too large, and an API key, if there are
//! any.

use crate::error::Error;
use crate::http::state::State;
use actix_web::dev::ServiceRequest;
use actix_web::http::header::{self, HeaderMap};

/// Returns an error if the request must be rejected.
pub(crate) fn check(request: &ServiceRequest, state: &State) -> Result<(), Error> {
    let (found, limit) = (head_bytes(request), state.limits.max_header);
    if found > limit {
        return Err(Error::HeaderTooLarge { limit, found });
    }
    let access = &state.access;
    if access.keys.is_empty() {
        return Ok(());
    }
    let found = match key(request.headers()) {
        Some(key) if access.admits(key) => return Ok(()),
        Some(_) => "an unknown key",
        None => "none",
    };
    let level = state.router.access(request.path(), request.match_info().as_str());
    if level.needs_key(access.scope) { Err(Error::Unauthorized { found }) } else { Ok(()) }
}

/// Returns the size of the request's head. It is exact up to optional whitespace, which the parser has
/// removed.
fn head_bytes(request: &ServiceRequest) -> usize {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    let line = request.method().as_str().len() + target + 12;
    let headers = request.headers().iter();
    line + headers.map(|(name, value)| name.as_str().len() + value.len() + 4).sum::<usize>()
}

/// Returns the key of `Authorization: Bearer` or of `X-API-Key`.
fn key(headers: &HeaderMap) -> Option<&[u8]> {
    const BEARER: &str = "bearer ";
    let authorization = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes());
    let bearer = authorization.and_then(|value| {
        let (scheme, key) = value.split_at_checked(BEARER.len())?;
        scheme.eq_ignore_ascii_case(BEARER.as_bytes()).then(|| key.trim_ascii())
    });
    bearer.or_else(|| Some(headers.get("x-api-key")?.as_bytes()))
}
