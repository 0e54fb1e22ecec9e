//! The queries of the benchmark, answered by the program and again by looking at every row.
//!
//! What looks at every row knows nothing of the engine: it uses the facts of which lines were made.

mod rows;

use std::collections::{BTreeMap, BTreeSet};

use rows::{END, Facts, NEEDLE, Row, SECOND, START};
use serde_json::{Map, Value, json};
use system::client::Client;
use system::process::{Sigyn, Start};

/// Rows of the test, and how many one push has.
const ROWS: usize = 6000;
const PUSH_ROWS: usize = 500;

/// Series by labels; each has its values by time in seconds.
type Matrix = BTreeMap<String, BTreeMap<i64, f64>>;

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_those_of_looking_at_every_row() {
    let folder = tempfile::tempdir().unwrap();
    let config = "limits_config: {reject_old_samples: false, ingestion_rate_mb: 1000, \
                  ingestion_burst_size_mb: 1000, discover_service_name: [], \
                  discover_log_levels: false, volume_enabled: true, \
                  max_query_length: 0}\ningester: {max_chunk_age: 48h}\n"
        .to_owned();
    let sigyn = Sigyn::start(folder.path(), Start { config, wrapper: Vec::new() }).await;
    let client = sigyn.client();
    let rows = rows::rows(7, ROWS);
    for part in rows.chunks(PUSH_ROWS) {
        push(&client, part).await;
    }
    let parts = [(START, END), (START + 3600 * SECOND, START + 7200 * SECOND)];
    for place in ["heads", "segments"] {
        for (start, end) in parts {
            let check = Check { client: &client, rows: &rows, start, end, place };
            check.lines().await;
            check.counts().await;
            check.parsed().await;
            check.metadata().await;
        }
        let flushed = client.post("/flush", &[], "").await.unwrap();
        assert!(flushed.status().is_success());
    }
}

async fn push(client: &Client, rows: &[Row]) {
    let streams: Vec<Value> = rows
        .iter()
        .map(|row| {
            let metadata: Map<String, Value> =
                row.trace_id.iter().map(|id| ("trace_id".to_owned(), json!(id))).collect();
            json!({
                "stream": {"app": row.app, "pod": row.pod, "cluster": row.cluster},
                "values": [[row.at.to_string(), row.line, metadata]],
            })
        })
        .collect();
    let body = json!({ "streams": streams }).to_string();
    let kind = [("Content-Type", "application/json")];
    let answer = client.post("/loki/api/v1/push", &kind, body).await.unwrap();
    assert_eq!(answer.status(), 204, "{}", answer.text().await.unwrap());
}

/// Questions about the rows between two times.
struct Check<'a> {
    client: &'a Client,
    rows: &'a [Row],
    start: i64,
    end: i64,
    place: &'static str,
}

impl Check<'_> {
    /// Rows of the time, oldest first.
    fn rows(&self) -> impl DoubleEndedIterator<Item = &Row> {
        self.rows.iter().filter(|row| (self.start..self.end).contains(&row.at))
    }

    async fn ask(&self, path: &str, params: &[(&str, &str)]) -> Value {
        let (start, end) = (self.start.to_string(), self.end.to_string());
        let mut all = vec![("start", start.as_str()), ("end", end.as_str())];
        all.extend_from_slice(params);
        self.client.json(path, &all).await
    }

    /// Asks for lines, and compares times and texts with those of the rows that fit.
    async fn expect_lines(&self, query: &str, limit: usize, fits: impl Fn(&Row) -> bool) {
        let limit_text = limit.to_string();
        for direction in ["backward", "forward"] {
            let params =
                [("query", query), ("limit", limit_text.as_str()), ("direction", direction)];
            let body = self.ask("/loki/api/v1/query_range", &params).await;
            let mut found: Vec<(i64, String)> = system::client::lines_of(&body)
                .into_iter()
                .map(|line| (line.timestamp, line.text))
                .collect();
            found.sort();
            let fitting = self.rows().filter(|row| fits(row));
            let line = |row: &Row| (row.at, row.line.clone());
            let mut expected: Vec<(i64, String)> = match direction {
                "forward" => fitting.take(limit).map(line).collect(),
                _ => fitting.rev().take(limit).map(line).collect(),
            };
            expected.sort();
            let place = self.place;
            assert!(found == expected, "{query} {direction} from {place}: {found:?} {expected:?}");
        }
    }

    async fn lines(&self) {
        let everything = r#"{app=~".+"}"#;
        self.expect_lines(&format!("{everything} |= \"{NEEDLE}\""), 100, |row| {
            row.line.ends_with(NEEDLE)
        })
        .await;
        let absent = format!("{everything} |= \"zzzz-not-there-zzzz\"");
        self.expect_lines(&absent, 100, |_| false).await;
        self.expect_lines(r#"{app="kubernetes"}"#, 100, |row| row.app == "kubernetes").await;
        let ids = self.rows().filter_map(|row| match row.facts {
            Facts::Block { id } => Some(id),
            _ => None,
        });
        let wanted = ids.max().expect("there are blocks");
        let block = format!(r#"{{app="hdfs"}} |= "blk_{wanted} ""#);
        self.expect_lines(
            &block,
            100,
            |row| matches!(row.facts, Facts::Block { id } if id == wanted),
        )
        .await;
        let failed =
            r#"{app="openssh"} |~ "Failed password for (invalid user )?[a-z]+ from 1[0-9]+\\.""#;
        self.expect_lines(failed, 1000, |row| match &row.facts {
            Facts::Login { failed, user, address } => {
                let first = address.split('.').next().unwrap();
                *failed && *user != "user1" && first.starts_with('1') && first.len() > 1
            }
            _ => false,
        })
        .await;
        let json = r#"{app="web"} | json | user_plan="team" and status=503"#;
        self.expect_lines(json, 1000, |row| {
            matches!(row.facts, Facts::Web { status: 503, plan: "team", .. })
        })
        .await;
        let known = self.rows().find_map(|row| row.trace_id.clone()).expect("there are traces");
        for id in [known.as_str(), "00000000000000000000000000000000"] {
            let query = format!("{everything} | trace_id=\"{id}\"");
            self.expect_lines(&query, 10, |row| row.trace_id.as_deref() == Some(id)).await;
        }
    }

    /// Asks for a metric and compares it. `key` answers the label's value of rows that count;
    /// `reduce` makes a value of the numbers in a window.
    async fn expect_series(
        &self,
        query: &str,
        (label, step, range): (&str, i64, i64),
        key: impl Fn(&Row) -> Option<(String, f64)>,
        reduce: impl Fn(&mut Vec<f64>) -> f64,
    ) {
        let step_text = step.to_string();
        let params = [("query", query), ("step", step_text.as_str())];
        let body = self.ask("/loki/api/v1/query_range", &params).await;
        let found = matrix(&body, label);
        let mut expected = Matrix::new();
        for at in (self.start..=self.end).step_by((step * SECOND) as usize) {
            let window = at - range * SECOND + 1..=at;
            let mut numbers: BTreeMap<String, Vec<f64>> = BTreeMap::new();
            // Windows reach back behind the start of the question.
            for row in self.rows.iter().filter(|row| window.contains(&row.at)) {
                if let Some((key, number)) = key(row) {
                    numbers.entry(key).or_default().push(number);
                }
            }
            for (key, mut numbers) in numbers {
                let value = reduce(&mut numbers);
                expected.entry(key).or_default().insert(at / SECOND, value);
            }
        }
        self.compare(query, &found, &expected);
    }

    fn compare(&self, query: &str, found: &Matrix, expected: &Matrix) {
        let place = self.place;
        let keys = |matrix: &Matrix| -> Vec<(String, Vec<i64>)> {
            matrix.iter().map(|(k, v)| (k.clone(), v.keys().copied().collect())).collect()
        };
        assert_eq!(keys(found), keys(expected), "{query} from {place}");
        for (key, points) in expected {
            for (at, value) in points {
                let other = found[key][at];
                let is_near = (value - other).abs() <= 1e-9 * value.abs().max(other.abs());
                assert!(is_near, "{query} from {place}: {key} at {at}: {other}, not {value}");
            }
        }
    }

    async fn counts(&self) {
        let count = |numbers: &mut Vec<f64>| numbers.len() as f64;
        self.expect_series(
            r#"sum by (app) (count_over_time({app=~".+"}[5m]))"#,
            ("app", 300, 300),
            |row| Some((row.app.to_owned(), 1.0)),
            count,
        )
        .await;
        self.expect_series(
            r#"sum(count_over_time({app=~".+"} |~ "(?i)error" != "timeout" [5m]))"#,
            ("", 300, 300),
            |row| {
                let has_error = row.line.to_ascii_lowercase().contains("error");
                (has_error && !row.line.contains("timeout")).then(|| (String::new(), 1.0))
            },
            count,
        )
        .await;
        let query = r#"topk(2, sum by (pod) (bytes_over_time({cluster="c1"}[1h])))"#;
        let step = ("step", "3600");
        let body = self.ask("/loki/api/v1/query_range", &[("query", query), step]).await;
        self.compare(query, &matrix(&body, "pod"), &self.largest_pods(2));
    }

    /// The pods of a cluster with the most bytes of each hour.
    fn largest_pods(&self, k: usize) -> Matrix {
        let mut largest = Matrix::new();
        for at in (self.start..=self.end).step_by((3600 * SECOND) as usize) {
            let mut bytes: BTreeMap<&str, f64> = BTreeMap::new();
            let window = at - 3600 * SECOND + 1..=at;
            for row in self.rows.iter().filter(|row| window.contains(&row.at)) {
                if row.cluster == "c1" {
                    *bytes.entry(&row.pod).or_default() += row.line.len() as f64;
                }
            }
            let mut ranked: Vec<(&str, f64)> = bytes.into_iter().collect();
            ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
            for (pod, value) in ranked.into_iter().take(k) {
                largest.entry(pod.to_owned()).or_default().insert(at / SECOND, value);
            }
        }
        largest
    }

    async fn parsed(&self) {
        self.expect_series(
            r#"sum by (level) (rate({app="distributor-logfmt"} | logfmt [5m]))"#,
            ("level", 300, 300),
            |row| match row.facts {
                Facts::Logfmt { level, .. } if row.app == "distributor-logfmt" => {
                    Some((level.to_owned(), 1.0))
                }
                _ => None,
            },
            |numbers| numbers.len() as f64 / 300.0,
        )
        .await;
        self.expect_series(
            r#"quantile_over_time(0.99, {app="agent-logfmt"} | logfmt | unwrap duration(duration)
               | __error__="" [5m]) by (component)"#,
            ("component", 300, 300),
            |row| match row.facts {
                Facts::Logfmt { component, seconds, .. } if row.app == "agent-logfmt" => {
                    seconds.map(|seconds| (component.to_owned(), seconds))
                }
                _ => None,
            },
            |numbers| quantile(0.99, numbers),
        )
        .await;
        self.expect_series(
            r#"sum by (status) (count_over_time({app="web"} | json | status >= 500 [10m]))"#,
            ("status", 600, 600),
            |row| match row.facts {
                Facts::Web { status, .. } if status >= 500 => Some((status.to_string(), 1.0)),
                _ => None,
            },
            |numbers| numbers.len() as f64,
        )
        .await;
        // The needle makes one line no JSON; nothing else may be an error.
        let query = r#"quantile_over_time(0.95, {app="web"} | json | __error__=""
                       | unwrap latency_s [10m]) by (request_path)"#;
        self.expect_series(
            query,
            ("request_path", 600, 600),
            |row| match row.facts {
                Facts::Web { latency, path, .. } => Some((path.to_owned(), latency)),
                _ => None,
            },
            |numbers| quantile(0.95, numbers),
        )
        .await;
    }

    async fn metadata(&self) {
        let names = self.ask("/loki/api/v1/labels", &[]).await;
        assert_eq!(names["data"], json!(["app", "cluster", "pod"]));
        let pods: BTreeSet<&str> = self.rows().map(|row| row.pod.as_str()).collect();
        let found = self.ask("/loki/api/v1/label/pod/values", &[]).await;
        assert_eq!(found["data"], json!(pods));
        let everything = [("match[]", r#"{app=~".+"}"#)];
        let found = self.ask("/loki/api/v1/series", &everything).await;
        let streams: BTreeSet<String> = self
            .rows()
            .map(|row| json!({"app": row.app, "cluster": row.cluster, "pod": row.pod}).to_string())
            .collect();
        let found = found["data"].as_array().unwrap().iter().map(Value::to_string);
        assert_eq!(found.collect::<BTreeSet<_>>(), streams);
        let mut bytes: BTreeMap<String, f64> = BTreeMap::new();
        for row in self.rows() {
            let metadata = row.trace_id.as_ref().map_or(0, |id| "trace_id".len() + id.len());
            *bytes.entry(row.app.to_owned()).or_default() += (row.line.len() + metadata) as f64;
        }
        let query = [("query", r#"{app=~".+"}"#)];
        let found = self.ask("/loki/api/v1/index/volume", &query).await;
        for row in found["data"]["result"].as_array().unwrap() {
            let app = row["metric"]["app"].as_str().unwrap();
            let found: f64 = row["value"][1].as_str().unwrap().parse().unwrap();
            let expected = bytes.remove(app).expect("an app that has rows, once");
            // Volumes are estimates where a block is cut by the time asked for.
            let share = found / expected;
            assert!((0.9..1.1).contains(&share), "volume of {app}: {found}, not {expected}");
        }
        assert!(bytes.is_empty(), "volumes missing: {bytes:?}");
    }
}

/// The series of an answer, by the value of the one label they have.
fn matrix(body: &Value, label: &str) -> Matrix {
    let mut matrix = Matrix::new();
    for series in body["data"]["result"].as_array().expect("a matrix") {
        let labels = series["metric"].as_object().unwrap();
        assert_eq!(labels.len(), usize::from(!label.is_empty()), "{labels:?}");
        let key = labels.get(label).map_or("", |value| value.as_str().unwrap()).to_owned();
        let points = matrix.entry(key).or_default();
        for point in series["values"].as_array().unwrap() {
            let value = point[1].as_str().unwrap().parse().unwrap();
            points.insert(point[0].as_i64().unwrap(), value);
        }
    }
    matrix
}

/// The quantile of numbers, between neighbours by distance.
fn quantile(q: f64, numbers: &mut [f64]) -> f64 {
    numbers.sort_by(f64::total_cmp);
    let rank = q * (numbers.len() - 1) as f64;
    let (low, high) = (rank.floor() as usize, rank.ceil() as usize);
    let weight = rank - rank.floor();
    numbers[low] * (1.0 - weight) + numbers[high] * weight
}
