//! JSON for programs: versioned, in base units, with the unit in the key.

use serde::Serialize;

/// Changes only when a key changes its meaning or goes away.
pub const SCHEMA: u32 = 1;

#[derive(Serialize)]
struct ErrorDocument<'a> {
    error: ErrorBody<'a>,
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    code: &'a str,
    message: &'a str,
    hint: Option<&'a str>,
}

/// One error, on one line.
#[must_use]
pub fn error(code: &str, message: &str, hint: Option<&str>) -> String {
    to_line(&ErrorDocument {
        error: ErrorBody { code, message, hint },
    })
}

/// Any value on one line; data of ours always has string keys, so it cannot fail.
pub(crate) fn to_line<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
