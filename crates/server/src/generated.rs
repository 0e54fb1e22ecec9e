//! Pages of `docs/` that are made from tables in the code, compared with them by tests.

use std::fs;
use std::path::Path;

/// Compares a page with what the code says; with `UPDATE_DOCS=1` in the environment it writes the
/// page instead.
///
/// # Panics
///
/// When the page differs.
#[allow(clippy::disallowed_methods, reason = "the person who runs the tests asks for an update")]
pub fn assert_fresh(page: &str, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(page);
    if std::env::var("UPDATE_DOCS").is_ok() {
        fs::write(&path, expected).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == expected, "{page} is stale: run the tests once with UPDATE_DOCS=1");
}
