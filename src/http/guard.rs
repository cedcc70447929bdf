//! The checks before a request reaches its route: the size of the request line and the headers, and the API key if keys
//! are configured.

use crate::error::Error;
use crate::http::state::State;
use actix_web::dev::ServiceRequest;
use actix_web::http::header::{self, HeaderMap};

/// Returns an error if the request must be rejected.
pub(crate) fn check(request: &ServiceRequest, state: &State) -> Result<(), Error> {
    let (found, limit) = (head_size(request), state.limits.max_header);
    if found > limit {
        return Err(Error::HeaderTooLarge { limit, found });
    }
    let access = &state.access;
    if access.keys.is_empty() {
        return Ok(());
    }
    let found = match api_key(request.headers()) {
        Some(key) if access.admits(key) => return Ok(()),
        Some(_) => "an unknown key",
        None => "none",
    };
    let level = state.router.access(request.path(), request.match_info().as_str());
    if level.needs_key(access.scope) { Err(Error::Unauthorized { found }) } else { Ok(()) }
}

/// Returns the size of the request line and the headers, in bytes. Optional whitespace is not included, because the
/// parser has removed it.
fn head_size(request: &ServiceRequest) -> usize {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    // 12 bytes: two spaces, `HTTP/1.1` and the line end. For each header, 4 bytes: `: ` and the line end.
    let line = request.method().as_str().len() + target + 12;
    let headers = request.headers().iter();
    line + headers.map(|(name, value)| name.as_str().len() + value.len() + 4).sum::<usize>()
}

/// Returns the API key in `Authorization: Bearer`. If there is no such key, returns the API key in `X-API-Key`.
fn api_key(headers: &HeaderMap) -> Option<&[u8]> {
    const BEARER: &str = "bearer ";
    let authorization = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes());
    let bearer = authorization.and_then(|value| {
        let (scheme, key) = value.split_at_checked(BEARER.len())?;
        scheme.eq_ignore_ascii_case(BEARER.as_bytes()).then(|| key.trim_ascii())
    });
    bearer.or_else(|| Some(headers.get("x-api-key")?.as_bytes()))
}
