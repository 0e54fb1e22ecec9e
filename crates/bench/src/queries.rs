//! The queries that are timed, with the figures of others to compare with.

/// A query and what others need for it on the reference machine, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Query {
    /// Short name.
    pub name: &'static str,
    /// What it stands for.
    pub what: &'static str,
    /// The path behind the server's address; `START` and `END` are replaced by the data's range.
    pub path: &'static str,
    /// Loki.
    pub loki: f64,
    /// VictoriaLogs.
    pub victorialogs: f64,
    /// What Sigyn aims for.
    pub goal: f64,
}

/// CPU seconds of `zstd -3` over the reference data on the reference machine: the unit in which
/// figures of different machines are compared.
pub const REFERENCE_ZSTD_3: f64 = 2.7;
/// Line bytes of the reference data.
pub const REFERENCE_BYTES: f64 = 1e9;

macro_rules! queries {
    ($($name:literal, $what:literal, $loki:literal, $vl:literal, $goal:literal, $path:literal;)*) => {
        &[$(Query { name: $name, what: $what, path: $path, loki: $loki, victorialogs: $vl, goal: $goal }),*]
    };
}

/// All of them, in the order in which they run.
pub const QUERIES: &[Query] = queries! {
    "needle_day", "one line of the day, no label known", 6822.0, 9.0, 5.0,
        "/loki/api/v1/query_range?query=%7Bapp%3D~%22.%2B%22%7D%20%7C%3D%20%22needle-3f9a1c77e2b84d60%22&start=START&end=END&limit=100";
    "nomatch", "a word that is nowhere", 4917.0, 5.7, 3.0,
        "/loki/api/v1/query_range?query=%7Bapp%3D~%22.%2B%22%7D%20%7C%3D%20%22zzzz-not-there-zzzz%22&start=START&end=END&limit=100";
    "needle_app", "an identifier in one app", 234.0, 1.6, 1.6,
        "/loki/api/v1/query_range?query=%7Bapp%3D~%22storage-node%7Chdfs%22%7D%20%7C%3D%20%22blk_7128370237687728475%22&start=START&end=END&limit=100";
    "regex_ssh", "regular expression in one app, 1,000 lines back", 199.0, 39.7, 10.0,
        "/loki/api/v1/query_range?query=%7Bapp%3D~%22sshd%7Copenssh%22%7D%20%7C~%20%22Failed%20password%20for%20%28invalid%20user%20%29%3F%5Ba-z%5D%2B%20from%201%5B0-9%5D%2B%5C%5C.%22&start=START&end=END&limit=1000";
    "tail_100", "the newest 100 lines of one app", 10.2, 54.7, 2.0,
        "/loki/api/v1/query_range?query=%7Bapp%3D%22web%22%7D&start=START&end=END&limit=100";
    "count_by_app", "all lines counted by app and 5 m", 5560.0, 142.0, 10.0,
        "/loki/api/v1/query_range?query=sum%20by%20%28app%29%20%28count_over_time%28%7Bapp%3D~%22.%2B%22%7D%5B5m%5D%29%29&start=START&end=END&step=300";
    "err_rate", "(?i)error but not timeout, counted", 5954.0, 14953.0, 250.0,
        "/loki/api/v1/query_range?query=sum%28count_over_time%28%7Bapp%3D~%22.%2B%22%7D%20%7C~%20%22%28%3Fi%29error%22%20%21%3D%20%22timeout%22%20%5B5m%5D%29%29&start=START&end=END&step=300";
    "logfmt_level", "rate by a parsed label", 404.0, 211.0, 40.0,
        "/loki/api/v1/query_range?query=sum%20by%20%28level%29%20%28rate%28%7Bapp%3D~%22gateway-logfmt%7Cdistributor-logfmt%22%7D%20%7C%20logfmt%20%5B5m%5D%29%29&start=START&end=END&step=300";
    "logfmt_p99", "quantile over an unwrapped duration by component", 515.0, 545.0, 60.0,
        "/loki/api/v1/query_range?query=quantile_over_time%280.99%2C%20%7Bapp%3D~%22ingest-logfmt%7Cagent-logfmt%22%7D%20%7C%20logfmt%20%7C%20unwrap%20duration%28duration%29%20%7C%20__error__%3D%22%22%20%5B5m%5D%29%20by%20%28component%29&start=START&end=END&step=300";
    "json_5xx", "parsed number filter, counted by status", 821.0, 18.2, 15.0,
        "/loki/api/v1/query_range?query=sum%20by%20%28status%29%20%28count_over_time%28%7Bapp%3D%22web%22%7D%20%7C%20json%20%7C%20status%20%3E%3D%20500%20%5B10m%5D%29%29&start=START&end=END&step=600";
    "json_p95", "quantile over an unwrapped number by path", 1454.0, 432.0, 60.0,
        "/loki/api/v1/query_range?query=quantile_over_time%280.95%2C%20%7Bapp%3D%22web%22%7D%20%7C%20json%20%7C%20unwrap%20latency_s%20%5B10m%5D%29%20by%20%28request_path%29&start=START&end=END&step=600";
    "json_lines", "two JSON conditions, 1,000 lines back", 2412.0, 52.6, 20.0,
        "/loki/api/v1/query_range?query=%7Bapp%3D%22web%22%7D%20%7C%20json%20%7C%20user_plan%3D%22team%22%20and%20status%3D503&start=START&end=END&limit=1000";
    "topk", "bytes by pod and hour", 4490.0, 470.0, 10.0,
        "/loki/api/v1/query_range?query=topk%285%2C%20sum%20by%20%28pod%29%20%28bytes_over_time%28%7Bcluster%3D%22c1%22%7D%5B1h%5D%29%29%29&start=START&end=END&step=3600";
    "meta", "structured metadata equals an absent id", 5445.0, 2.6, 2.6,
        "/loki/api/v1/query_range?query=%7Bapp%3D~%22.%2B%22%7D%20%7C%20trace_id%3D%2200000000000000000000000000000000%22&start=START&end=END&limit=10";
    "values_pod", "values of one label", 4.4, 2.4, 2.0,
        "/loki/api/v1/label/pod/values?start=START&end=END";
    "series", "label sets of all streams", 15.0, 2.1, 2.0,
        "/loki/api/v1/series?match[]=%7Bapp%3D~%22.%2B%22%7D&start=START&end=END";
};
