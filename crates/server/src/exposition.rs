//! Metrics as scrapers before OpenMetrics read them.
//!
//! The two formats differ in little: OpenMetrics names a counter's family without `_total` and an
//! information metric's without `_info`, has two types of its own, and ends with `# EOF`.

/// Rewrites OpenMetrics text as Prometheus text format 0.0.4.
#[must_use]
pub fn classic(open_metrics: &str) -> String {
    let mut out = String::with_capacity(open_metrics.len() + 256);
    // The help line comes before the type line, and the type decides both names.
    let mut help = None;
    for line in open_metrics.lines() {
        match line.strip_prefix("# ").and_then(|rest| rest.split_once(' ')) {
            Some(("HELP", rest)) => help = rest.split_once(' ').map(|(_, text)| text),
            Some(("TYPE", rest)) => {
                let (name, kind) = rest.rsplit_once(' ').unwrap_or((rest, "untyped"));
                let (suffix, kind) = match kind {
                    "counter" => ("_total", "counter"),
                    "info" => ("_info", "gauge"),
                    "unknown" => ("", "untyped"),
                    kind => ("", kind),
                };
                if let Some(text) = help.take() {
                    out.extend(["# HELP ", name, suffix, " ", text, "\n"]);
                }
                out.extend(["# TYPE ", name, suffix, " ", kind, "\n"]);
            }
            Some(("UNIT", _)) => {}
            _ if line == "# EOF" => {}
            _ => out.extend([line, "\n"]),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_types_are_the_older_ones() {
        let text = "# HELP a_b Lines.\n# TYPE a_b counter\na_b_total{x=\"# EOF\"} 3\n\
                    # HELP build Which.\n# TYPE build info\nbuild_info{v=\"1\"} 1\n\
                    # HELP t Time.\n# TYPE t histogram\n# UNIT t seconds\nt_sum 1\n# EOF\n";
        let expected = "# HELP a_b_total Lines.\n# TYPE a_b_total counter\n\
                        a_b_total{x=\"# EOF\"} 3\n\
                        # HELP build_info Which.\n# TYPE build_info gauge\nbuild_info{v=\"1\"} 1\n\
                        # HELP t Time.\n# TYPE t histogram\nt_sum 1\n";
        assert_eq!(classic(text), expected);
    }
}
