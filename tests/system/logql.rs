//! The LogQL scripts against the real program, with the entries in heads, in segments as they are
//! flushed, and in segments that were merged.

use std::path::Path;
use std::time::Duration;

use model::answer::{ResultEntry, ResultLabels, ResultStream, Sample, Series, Value, VectorSample};
use model::{Direction, Entry, Labels, Timestamp};
use serde_json::{Map, Value as Json, json};
use system::client::Client;
use system::process::{Sigyn, Start};
use system::script::{self, Driver, Question, QuestionKind, Streams};
use tokio::runtime::Handle;

/// Where entries are when questions are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Heads,
    Segments,
    /// Questions are asked once all entries of all scripts are stored; until then, they are not.
    Stored,
    /// Nothing is loaded: [`Place::Stored`] did that.
    Merged,
}

/// A server over HTTP; every script has tenants of its own.
struct OverHttp {
    client: Client,
    handle: Handle,
    script: String,
    place: Place,
    /// A number for the tenant.
    tenants: usize,
    /// What the tenant has, and whether that was asked about already: then more goes to another.
    loaded: Streams,
    asked: bool,
}

impl OverHttp {
    fn client(&self) -> Client {
        self.client.as_tenant(&format!("{}-{}", self.script, self.tenants))
    }

    async fn push(&self, streams: &[(Labels, &[Entry])]) -> Result<(), String> {
        let streams: Vec<Json> = streams
            .iter()
            .filter(|(_, entries)| !entries.is_empty())
            .map(|(labels, entries)| {
                let stream: Map<String, Json> =
                    labels.iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
                let values: Vec<Json> = entries.iter().map(entry_json).collect();
                json!({"stream": stream, "values": values})
            })
            .collect();
        if streams.is_empty() {
            return Ok(());
        }
        let body = json!({ "streams": streams }).to_string();
        let (client, kind) = (self.client(), [("Content-Type", "application/json")]);
        let answer = client.post("/loki/api/v1/push", &kind, body).await;
        let answer = answer.map_err(|error| error.to_string())?;
        if answer.status() != 204 {
            return Err(answer.text().await.unwrap_or_default());
        }
        if self.place != Place::Heads {
            let flushed = client.post("/flush", &[], "").await;
            flushed.map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

impl Driver for OverHttp {
    fn base(&self) -> Timestamp {
        Timestamp::from_seconds(20_700 * 86_400)
    }

    fn clear(&mut self) -> Result<(), String> {
        self.tenants += 1;
        (self.loaded, self.asked) = (Streams::new(), false);
        Ok(())
    }

    fn load(&mut self, streams: &Streams) -> Result<(), String> {
        if matches!(self.place, Place::Heads | Place::Segments) {
            let all: Vec<_> = streams.iter().map(|(l, e)| (l.clone(), &e[..])).collect();
            return self.handle.block_on(self.push(&all));
        }
        let mut new = streams.clone();
        if self.asked {
            // Earlier questions must not see the new entries.
            let loaded = std::mem::take(&mut self.loaded);
            self.clear()?;
            new = loaded.into_iter().chain(new).collect();
        }
        self.loaded.extend(new.iter().cloned());
        if self.place == Place::Merged {
            return Ok(());
        }
        // In two parts, so that there is something to merge.
        let early: Vec<_> = new.iter().map(|(l, e)| (l.clone(), &e[..e.len() / 2])).collect();
        let late: Vec<_> = new.iter().map(|(l, e)| (l.clone(), &e[e.len() / 2..])).collect();
        self.handle.block_on(self.push(&early))?;
        self.handle.block_on(self.push(&late))
    }

    fn evaluate(&mut self, question: &Question) -> Result<Value, String> {
        self.asked = true;
        if self.place == Place::Stored {
            return Err("not asked yet".to_owned());
        }
        let (path, params, headers) = request(question);
        let mut client = self.client();
        if let Some((name, value)) = headers {
            client = client.with_header(name, value);
        }
        self.handle.block_on(async {
            let params: Vec<(&str, &str)> = params.iter().map(|(k, v)| (*k, v.as_str())).collect();
            let answer = client.get(path, &params).await.map_err(|error| error.to_string())?;
            let is_success = answer.status() == 200;
            let text = answer.text().await.map_err(|error| error.to_string())?;
            if !is_success {
                return Err(text.trim_end().to_owned());
            }
            let body: Json = serde_json::from_str(&text).map_err(|error| error.to_string())?;
            value(&body["data"]).ok_or_else(|| format!("unreadable answer {body}"))
        })
    }
}

fn entry_json(entry: &Entry) -> Json {
    let metadata: Map<String, Json> = entry
        .structured_metadata
        .iter()
        .map(|(name, value)| (name.to_string(), Json::from(&**value)))
        .collect();
    let line = String::from_utf8_lossy(&entry.line).into_owned();
    json!([entry.timestamp.0.to_string(), line, metadata])
}

type Request = (&'static str, Vec<(&'static str, String)>, Option<(&'static str, &'static str)>);

fn request(question: &Question) -> Request {
    let mut params = vec![("query", question.query.clone())];
    match question.kind {
        QuestionKind::Instant { at } => {
            params.push(("time", at.0.to_string()));
            ("/loki/api/v1/query", params, None)
        }
        QuestionKind::Range { start, end, step_ns } => {
            params.push(("start", start.0.to_string()));
            params.push(("end", end.0.to_string()));
            params.push((
                "step",
                Duration::from_nanos(step_ns.unsigned_abs()).as_secs_f64().to_string(),
            ));
            ("/loki/api/v1/query_range", params, None)
        }
        QuestionKind::Log { start, end, direction, limit, interval_ns, categorize } => {
            let direction = match direction {
                Direction::Forward => "forward",
                Direction::Backward => "backward",
            };
            let interval = Duration::from_nanos(interval_ns.unsigned_abs()).as_secs_f64();
            params.push(("start", start.0.to_string()));
            params.push(("end", end.0.to_string()));
            params.push(("direction", direction.to_owned()));
            params.push(("limit", limit.to_string()));
            params.push(("interval", interval.to_string()));
            let flags = ("X-Loki-Response-Encoding-Flags", "categorize-labels");
            ("/loki/api/v1/query_range", params, categorize.then_some(flags))
        }
    }
}

fn value(data: &Json) -> Option<Value> {
    let result = &data["result"];
    let rows = || result.as_array().into_iter().flatten();
    Some(match data["resultType"].as_str()? {
        "streams" => Value::Streams(rows().map(stream).collect::<Option<_>>()?),
        "vector" => Value::Vector(
            rows()
                .map(|row| {
                    Some(VectorSample {
                        labels: labels(&row["metric"]),
                        sample: sample(&row["value"])?,
                    })
                })
                .collect::<Option<_>>()?,
        ),
        "matrix" => Value::Matrix(
            rows()
                .map(|row| {
                    let samples = row["values"].as_array()?.iter().map(sample);
                    Some(Series {
                        labels: labels(&row["metric"]),
                        samples: samples.collect::<Option<_>>()?,
                    })
                })
                .collect::<Option<_>>()?,
        ),
        // A scalar's time alone is in milliseconds.
        "scalar" => Value::Scalar(Sample {
            timestamp: Timestamp::from_millis(result[0].as_i64()?),
            value: number(&result[1])?,
        }),
        _ => return None,
    })
}

fn stream(row: &Json) -> Option<ResultStream> {
    let entries = row["values"].as_array()?.iter().map(|value| {
        Some(ResultEntry {
            timestamp: Timestamp(value[0].as_str()?.parse().ok()?),
            line: value[1].as_str()?.as_bytes().to_vec(),
            structured_metadata: labels(&value[2]["structuredMetadata"]),
            parsed: labels(&value[2]["parsed"]),
        })
    });
    Some(ResultStream { labels: labels(&row["stream"]), entries: entries.collect::<Option<_>>()? })
}

fn labels(object: &Json) -> ResultLabels {
    let pairs = object.as_object().into_iter().flatten();
    let mut labels: ResultLabels = pairs
        .map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned()))
        .collect();
    labels.sort();
    labels
}

fn sample(pair: &Json) -> Option<Sample> {
    let millis = (pair[0].as_f64()? * 1000.0).round();
    Some(Sample { timestamp: Timestamp::from_millis(millis as i64), value: number(&pair[1])? })
}

fn number(text: &Json) -> Option<f64> {
    match text.as_str()? {
        "+Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        text => text.parse().ok(),
    }
}

/// Runs all scripts; answers what was wrong.
fn run_all(sigyn: &Sigyn, handle: &Handle, place: Place) -> Vec<String> {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("logql");
    let mut failures = Vec::new();
    let mut count = 0;
    for entry in std::fs::read_dir(scripts).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "test") {
            continue;
        }
        count += 1;
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let folder = if place == Place::Merged { Place::Stored } else { place };
        let mut driver = OverHttp {
            client: sigyn.client(),
            handle: handle.clone(),
            script: format!("{name}-{folder:?}").to_lowercase(),
            place,
            tenants: 0,
            loaded: Streams::new(),
            asked: false,
        };
        if let Err(failure) = script::run(&text, &mut driver) {
            failures.push(format!("{name} from {place:?}: {failure}"));
        }
    }
    assert!(count > 10, "the scripts were not found");
    failures
}

/// Scripts choose times that are no multiples of their steps: no alignment.
fn settings(compactor: &str) -> Start {
    let config = format!(
        "auth_enabled: true\nlimits_config: {{reject_old_samples: false, \
         ingestion_rate_mb: 1000, ingestion_burst_size_mb: 1000, \
         split_queries_by_interval: 0, discover_service_name: [], \
         discover_log_levels: false, shard_aggregations: [approx_topk]}}\n\
         ingester: {{max_chunk_age: 48h}}\ncompactor: {{{compactor}}}\n"
    );
    Start { config, wrapper: Vec::new() }
}

#[test]
fn scripts_answer_from_heads_as_from_segments() {
    let threads = tokio::runtime::Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let sigyn = threads.block_on(Sigyn::start(folder.path(), settings("")));
    let mut failures = run_all(&sigyn, threads.handle(), Place::Heads);
    failures.extend(run_all(&sigyn, threads.handle(), Place::Segments));
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn scripts_answer_from_merged_segments() {
    let threads = tokio::runtime::Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let sigyn = threads.block_on(Sigyn::start(folder.path(), settings("")));
    // What they say now does not matter.
    run_all(&sigyn, threads.handle(), Place::Stored);
    threads.block_on(sigyn.stop());
    let fast = settings("compaction_interval: 100ms, superseded_delete_delay: 1s");
    let sigyn = threads.block_on(Sigyn::start(folder.path(), fast));
    let merged = threads.block_on(async {
        let metric = async |name: &str| {
            let text = sigyn.client().get("/metrics", &[]).await.unwrap().text().await.unwrap();
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.and_then(|value| value.parse::<f64>().ok()).unwrap_or(0.0)
        };
        let rounds = "loki_compactor_apply_retention_operation_total{status=\"success\"}";
        system::wait::until("everything is merged", || async {
            (metric(rounds).await >= 2.0).then_some(())
        })
        .await;
        metric("sigyn_compactor_input_segments_total").await
    });
    assert!(merged > 20.0, "only {merged} segments were merged");
    let failures = run_all(&sigyn, threads.handle(), Place::Merged);
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}
