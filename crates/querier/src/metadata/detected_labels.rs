//! Labels worth showing to people: those whose values say something.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::TenantId;

use crate::admit;
use crate::error::Error;
use crate::metadata::{Scope, labels};
use crate::metrics::Operation;
use crate::querier::{Querier, inclusive};

/// Labels that are shown whatever their values.
const ALWAYS: [&str; 4] = ["cluster", "namespace", "instance", "pod"];

/// A label and how many values it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetectedLabel {
    /// Its name.
    pub label: String,
    /// How many distinct values.
    pub cardinality: u64,
}

impl Querier {
    /// Labels of the matching streams, without those whose values are all numbers or identifiers,
    /// by name. An empty query matches all streams.
    ///
    /// # Errors
    ///
    /// [`Error`] when the selector or the time is refused, or streams cannot be read.
    pub async fn detected_labels(
        self: &Arc<Self>,
        tenants: &[TenantId],
        scope: &Scope,
    ) -> Result<Vec<DetectedLabel>, Error> {
        let tenants = self.readable(tenants)?;
        let limits = self.limits_of(&tenants);
        let matchers = scope.optional_matchers()?;
        scope.check(&limits)?;
        let now = self.clock.now();
        let Some(start) = admit::look_back(scope.start, scope.end, now, &limits) else {
            return Ok(Vec::new());
        };
        let range = inclusive(start, scope.end);
        self.run_measured(Operation::detected_labels, &tenants, &limits, move |rows, _| {
            let mut values: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
            labels::visit(rows, &matchers, range, &mut |pairs| {
                for (name, value) in pairs {
                    match values.get_mut(name) {
                        Some(known) if known.contains(value) => {}
                        Some(known) => {
                            known.insert(value.to_owned());
                        }
                        None => {
                            let first = BTreeSet::from([value.to_owned()]);
                            values.insert(name.to_owned(), first);
                        }
                    }
                }
            })?;
            let shown = values.into_iter().filter(|(name, values)| is_shown(name, values));
            Ok(shown
                .map(|(label, values)| DetectedLabel { label, cardinality: values.len() as u64 })
                .collect())
        })
        .await
    }
}

fn is_shown(name: &str, values: &BTreeSet<String>) -> bool {
    if ALWAYS.contains(&name) {
        return !values.is_empty();
    }
    let is_flag = values.len() <= 2 && values.iter().all(|value| value == "0" || value == "1");
    is_flag || values.iter().any(|value| !is_number(value) && !is_uuid(value))
}

fn is_number(value: &str) -> bool {
    value.parse::<f64>().is_ok()
}

/// Thirty-two hexadecimal digits, bare or with hyphens in the usual places.
fn is_uuid(value: &str) -> bool {
    let value = value.strip_prefix("urn:uuid:").unwrap_or(value);
    let value = value.strip_prefix('{').and_then(|v| v.strip_suffix('}')).unwrap_or(value);
    let bytes = value.as_bytes();
    match bytes.len() {
        32 => bytes.iter().all(u8::is_ascii_hexdigit),
        36 => bytes.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_identifiers_are_not_shown() {
        let check = |name: &str, values: &[&str]| {
            is_shown(name, &values.iter().map(|value| (*value).to_owned()).collect())
        };
        assert!(check("app", &["web", "1"]));
        assert!(!check("idx", &["1", "2", "2.5"]));
        assert!(check("flag", &["0", "1"]));
        assert!(check("pod", &["1", "2"]));
        assert!(!check("pod", &[]));
        assert!(!check("id", &["4bf92f35-77b3-4da6-a3ce-929d0e0e4736"]));
        assert!(!check("id", &["4bf92f3577b34da6a3ce929d0e0e4736", "7"]));
        assert!(check("id", &["4bf92f35+77b3-4da6-a3ce-929d0e0e4736"]));
    }
}
