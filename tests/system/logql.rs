//! The LogQL scripts against the real program, with the entries in heads and again from segments.

use std::path::Path;
use std::time::Duration;

use model::answer::{ResultEntry, ResultLabels, ResultStream, Sample, Series, Value, VectorSample};
use model::{Direction, Entry, Timestamp};
use serde_json::{Map, Value as Json, json};
use system::client::Client;
use system::process::{Sigyn, Start};
use system::script::{self, Driver, Question, QuestionKind, Streams};
use tokio::runtime::Handle;

/// A server over HTTP; every script has tenants of its own.
struct OverHttp {
    client: Client,
    handle: Handle,
    script: String,
    clears: usize,
    flushes: bool,
}

impl OverHttp {
    fn client(&self) -> Client {
        self.client.as_tenant(&format!("{}-{}", self.script, self.clears))
    }
}

impl Driver for OverHttp {
    fn base(&self) -> Timestamp {
        Timestamp::from_seconds(20_700 * 86_400)
    }

    fn clear(&mut self) -> Result<(), String> {
        self.clears += 1;
        Ok(())
    }

    fn load(&mut self, streams: &Streams) -> Result<(), String> {
        let streams: Vec<Json> = streams
            .iter()
            .map(|(labels, entries)| {
                let stream: Map<String, Json> =
                    labels.iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
                let values: Vec<Json> = entries.iter().map(entry_json).collect();
                json!({"stream": stream, "values": values})
            })
            .collect();
        let body = json!({ "streams": streams }).to_string();
        let client = self.client();
        self.handle.block_on(async {
            let kind = [("Content-Type", "application/json")];
            let answer = client.post("/loki/api/v1/push", &kind, body).await;
            let answer = answer.map_err(|error| error.to_string())?;
            if answer.status() != 204 {
                return Err(answer.text().await.unwrap_or_default());
            }
            if self.flushes {
                let flushed = client.post("/flush", &[], "").await;
                flushed.map_err(|error| error.to_string())?;
            }
            Ok(())
        })
    }

    fn evaluate(&mut self, question: &Question) -> Result<Value, String> {
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

#[test]
fn scripts_answer_from_heads_as_from_segments() {
    let threads = tokio::runtime::Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    // Scripts choose times that are no multiples of their steps: no alignment.
    let config = "auth_enabled: true\nlimits_config: {reject_old_samples: false, \
                  ingestion_rate_mb: 1000, ingestion_burst_size_mb: 1000, \
                  split_queries_by_interval: 0, discover_service_name: [], \
                  discover_log_levels: false, shard_aggregations: [approx_topk]}\ningester: {max_chunk_age: 48h}\n"
        .to_owned();
    let start = Start { config, wrapper: Vec::new() };
    let sigyn = threads.block_on(Sigyn::start(folder.path(), start));
    let mut failures = Vec::new();
    let mut count = 0;
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("logql");
    for entry in std::fs::read_dir(scripts).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "test") {
            continue;
        }
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        for flushes in [false, true] {
            count += 1;
            let place = if flushes { "segments" } else { "heads" };
            let mut driver = OverHttp {
                client: sigyn.client(),
                handle: threads.handle().clone(),
                script: format!("{name}-{place}"),
                clears: 0,
                flushes,
            };
            if let Err(failure) = script::run(&text, &mut driver) {
                failures.push(format!("{name} from {place}: {failure}"));
            }
        }
    }
    assert!(count > 20, "the scripts were not found");
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}
