//! Discovery of the service that a stream belongs to.

use model::Labels;

use crate::limits::Limits;

/// The label that names a stream's service.
pub(crate) const SERVICE_NAME: &str = "service_name";
/// Its value when no label names a service.
const UNKNOWN_SERVICE: &str = "unknown_service";

/// Adds `service_name` from the first label of the tenant's list that the stream carries. A stream
/// that names its service, and a tenant without a list, stay as they are.
pub(crate) fn with_service_name(labels: Labels, limits: &Limits) -> Labels {
    let candidates = &limits.discover_service_name;
    if candidates.is_empty() || labels.get(SERVICE_NAME).is_some() {
        return labels;
    }
    let found = candidates.iter().find_map(|name| labels.get(name));
    labels.with(SERVICE_NAME, found.unwrap_or(UNKNOWN_SERVICE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_label_names_the_service() {
        let check = |pairs: &[(&str, &str)], expected: &str| {
            let labels = Labels::new(pairs.iter().copied());
            let labels = with_service_name(labels, &Limits::default());
            assert_eq!(labels.get(SERVICE_NAME), Some(expected), "{pairs:?}");
        };
        check(&[("service_name", "explicit"), ("app", "x")], "explicit");
        check(&[("job", "j"), ("app", "a")], "a");
        check(&[("k8s_job_name", "kjn")], "kjn");
        check(&[("filename", "/var/log/x")], "unknown_service");
        let off = Limits { discover_service_name: vec![], ..Limits::default() };
        assert_eq!(with_service_name(Labels::default(), &off), Labels::default());
    }
}
