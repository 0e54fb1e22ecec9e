//! Fields that the lines of a query hold: names, types, how many values, and how to get at them.
//!
//! The newest lines are taken as a sample. Each is read as JSON, and if that fails as logfmt;
//! structured metadata, and labels that the query's own stages made, are fields too.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use logql::eval::{Control, Params, evaluate};
use logql::pipeline::{Hints, Metadata, Pipeline, RowView, Scratch, json_keys};
use logql::syntax::ast::{Expr, Logfmt, Stage};
use model::answer::{ResultEntry, ResultLabels, ResultStream, Value};
use model::{Direction, Labels, TenantId, Timestamp, units};

use crate::admit;
use crate::error::Error;
use crate::limits::Limits;
use crate::metrics::Operation;
use crate::querier::{Querier, Rows};
use logql::request::{QueryRequest, QueryTime};

/// Ends the name of a parsed label that another category has already.
const DUPLICATE_SUFFIX: &str = "_extracted";
/// Names that tell about errors rather than about lines.
const ERROR_NAMES: [&str; 3] = ["__error__", "__error_details__", "__preserve_error__"];

/// Which fields are asked for.
#[derive(Debug, Clone)]
pub struct DetectedFieldsRequest {
    /// A log query.
    pub query: String,
    /// First instant.
    pub start: Timestamp,
    /// First instant after.
    pub end: Timestamp,
    /// How many lines are looked at.
    pub line_limit: u32,
    /// Most fields, or most values.
    pub limit: u32,
}

/// A field found in lines or structured metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetectedField {
    /// The label the field would become.
    pub label: String,
    /// What the value in the last of the lines looks like.
    pub kind: FieldKind,
    /// How many distinct values it has in the lines looked at.
    pub cardinality: u64,
    /// The parsers that find it; empty for structured metadata.
    pub parsers: Vec<String>,
    /// The keys that lead to it in a JSON line; empty when it is in none.
    pub json_path: Vec<String>,
}

/// What a value looks like; the first that fits, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    /// A whole number.
    Int,
    /// A number.
    Float,
    /// A truth value.
    Boolean,
    /// A duration.
    Duration,
    /// A size.
    Bytes,
    /// Anything else.
    String,
}

impl FieldKind {
    /// Its name in answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Int => "int",
            Self::Float => "float",
            Self::Boolean => "boolean",
            Self::Duration => "duration",
            Self::Bytes => "bytes",
            Self::String => "string",
        }
    }

    /// What a value looks like.
    #[must_use]
    pub fn of(value: &str) -> Self {
        const BOOLEANS: [&str; 12] =
            ["1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False"];
        if value.parse::<i64>().is_ok() {
            return Self::Int;
        }
        if logql::pipeline::parse_float(value).is_ok() {
            return Self::Float;
        }
        if BOOLEANS.contains(&value) {
            return Self::Boolean;
        }
        if units::parse_go_duration(value).is_ok() {
            return Self::Duration;
        }
        if units::parse_query_bytes(value).is_ok() {
            return Self::Bytes;
        }
        Self::String
    }
}

impl Querier {
    /// The fields of a query's newest lines, by name.
    ///
    /// # Errors
    ///
    /// [`Error`] when the query, the time or a limit is refused, or rows cannot be read.
    pub async fn detected_fields(
        self: &Arc<Self>,
        tenants: &[TenantId],
        request: &DetectedFieldsRequest,
    ) -> Result<Vec<DetectedField>, Error> {
        let limit = request.limit as usize;
        self.over_lines(tenants, request, move |streams, reader| {
            let mut fields = Fields { limit, found: BTreeMap::new() };
            for stream in streams {
                let base = stream_labels(stream);
                stream.entries.iter().for_each(|entry| fields.add(&base, entry, reader));
            }
            fields.finish()
        })
        .await
    }

    /// The values of one field of a query's newest lines, in the order in which they are found.
    ///
    /// # Errors
    ///
    /// As [`Querier::detected_fields`].
    pub async fn detected_field_values(
        self: &Arc<Self>,
        tenants: &[TenantId],
        name: &str,
        request: &DetectedFieldsRequest,
    ) -> Result<Vec<String>, Error> {
        let (name, limit) = (name.to_owned(), request.limit as usize);
        self.over_lines(tenants, request, move |streams, reader| {
            let mut values = Values { limit, seen: HashSet::new(), found: Vec::new() };
            for stream in streams {
                let base = stream_labels(stream);
                for entry in &stream.entries {
                    let metadata = entry.structured_metadata.iter();
                    let read = reader.read(&base, entry);
                    for (_, value) in metadata.chain(&read.labels).filter(|(n, _)| *n == name) {
                        values.add(value);
                    }
                }
            }
            values.found
        })
        .await
    }

    /// Reads the newest lines of a log query and hands them to `take`, streams in order.
    async fn over_lines<T: Send + 'static>(
        self: &Arc<Self>,
        tenants: &[TenantId],
        request: &DetectedFieldsRequest,
        take: impl Fn(&[ResultStream], &mut Reader) -> T + Send + Sync + 'static,
    ) -> Result<T, Error> {
        let expr = logql::parse(&request.query)?;
        if expr.log_expr().is_none() {
            return Err(Error::refused("only log queries are supported"));
        }
        let tenants = self.readable(tenants)?;
        let limits = self.limits_of(&tenants);
        let query = as_query(request);
        admit::check_query(&expr, &query, &limits)?;
        let now = self.clock.now();
        let start = admit::look_back(request.start, request.end, now, &limits);
        let params = Params {
            start: start.unwrap_or(request.end),
            end: request.end,
            step_ns: 0,
            interval_ns: 0,
            split_ns: 0,
            direction: Direction::Backward,
            limit: request.line_limit,
            categorize: true,
            threads: self.config.threads_per_query,
            shard: None,
        };
        let own = Arc::clone(&limits);
        self.run_measured(Operation::detected_fields, &tenants, &limits, move |rows, control| {
            let streams = newest(&expr, &params, rows, &own, control)?;
            Ok(take(&streams, &mut Reader::new()?))
        })
        .await
    }
}

fn as_query(request: &DetectedFieldsRequest) -> QueryRequest {
    QueryRequest {
        text: request.query.clone(),
        time: QueryTime::Range { start: request.start, end: request.end, step_ns: 1 },
        direction: Direction::Backward,
        limit: request.line_limit,
        interval_ns: 0,
        categorize: true,
        tags: BTreeMap::new(),
        part: None,
    }
}

fn newest(
    expr: &Expr,
    params: &Params,
    rows: &Rows,
    limits: &Limits,
    control: &Control,
) -> Result<Vec<ResultStream>, Error> {
    let engine = logql::eval::Limits {
        max_entries: limits.max_entries,
        max_memory_bytes: limits.max_memory_bytes,
        ..logql::eval::Limits::default()
    };
    match evaluate(expr, params, &*rows.source(), control, &engine)?.value {
        Value::Streams(streams) => Ok(streams),
        _ => Err(Error::Internal("a log query answered with samples".to_owned())),
    }
}

fn stream_labels(stream: &ResultStream) -> Labels {
    Labels::new(stream.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())))
}

/// Reads lines as JSON or logfmt.
struct Reader {
    json: (Pipeline, Scratch),
    logfmt: (Pipeline, Scratch),
}

/// What a line holds.
struct ReadLine {
    /// With the labels that the query's stages made.
    labels: ResultLabels,
    /// The parser that understood the line.
    parser: Option<&'static str>,
}

impl Reader {
    fn new() -> Result<Self, Error> {
        let build = |stage: Stage| {
            let pipeline = Pipeline::build(&[stage], None, Hints::log());
            let pipeline = pipeline.map_err(|error| Error::Internal(error.to_string()))?;
            let scratch = pipeline.scratch();
            Ok::<_, Error>((pipeline, scratch))
        };
        let plain = Logfmt { strict: false, keep_empty: false, extracts: Vec::new() };
        Ok(Self {
            json: build(Stage::Json { extracts: Vec::new() })?,
            logfmt: build(Stage::Logfmt(plain))?,
        })
    }

    fn read(&mut self, base: &Labels, entry: &ResultEntry) -> ReadLine {
        let row = RowView {
            timestamp: entry.timestamp,
            line: &entry.line,
            columns: None,
            metadata: Metadata::Pairs(&[]),
        };
        let mut labels: ResultLabels =
            entry.parsed.iter().filter(|(name, _)| !is_error(name)).cloned().collect();
        for (parser, (pipeline, scratch)) in
            [("json", &mut self.json), ("logfmt", &mut self.logfmt)]
        {
            let Some(outcome) = pipeline.process(base, row, scratch) else { continue };
            if outcome.error().is_empty() {
                let parsed = outcome.categories().parsed;
                labels.extend(parsed.into_iter().filter(|(name, _)| !is_error(name)));
                labels.sort();
                labels.dedup();
                return ReadLine { labels, parser: Some(parser) };
            }
        }
        ReadLine { labels, parser: None }
    }
}

fn is_error(name: &str) -> bool {
    ERROR_NAMES.contains(&name)
}

/// Distinct values of one field.
struct Values {
    limit: usize,
    seen: HashSet<String>,
    found: Vec<String>,
}

impl Values {
    fn add(&mut self, value: &str) {
        if self.found.len() < self.limit && self.seen.insert(value.to_owned()) {
            self.found.push(value.to_owned());
        }
    }
}

/// The fields found so far.
struct Fields {
    limit: usize,
    found: BTreeMap<String, Field>,
}

struct Field {
    last: String,
    values: HashSet<String>,
    parsers: Vec<&'static str>,
    json_path: Vec<String>,
}

impl Fields {
    fn add(&mut self, base: &Labels, entry: &ResultEntry, reader: &mut Reader) {
        for (name, value) in &entry.structured_metadata {
            self.field(name, value);
        }
        let read = reader.read(base, entry);
        let mut paths: Option<HashMap<String, Vec<String>>> = None;
        for (name, value) in &read.labels {
            let Some(field) = self.field(name, value) else { continue };
            let Some(parser) = read.parser else { continue };
            if !field.parsers.contains(&parser) {
                field.parsers.push(parser);
            }
            if parser == "json" {
                let paths =
                    paths.get_or_insert_with(|| json_keys(&entry.line).into_iter().collect());
                let plain = name.strip_suffix(DUPLICATE_SUFFIX).unwrap_or(name);
                if let Some(path) = paths.get(name).or_else(|| paths.get(plain)) {
                    field.json_path.clone_from(path);
                }
            }
        }
    }

    /// Counts a value; `None` when there are too many fields already.
    fn field(&mut self, name: &str, value: &str) -> Option<&mut Field> {
        if !self.found.contains_key(name) {
            if self.found.len() >= self.limit {
                return None;
            }
            let field = Field {
                last: String::new(),
                values: HashSet::new(),
                parsers: Vec::new(),
                json_path: Vec::new(),
            };
            self.found.insert(name.to_owned(), field);
        }
        let field = self.found.get_mut(name)?;
        value.clone_into(&mut field.last);
        if !field.values.contains(value) {
            field.values.insert(value.to_owned());
        }
        Some(field)
    }

    fn finish(self) -> Vec<DetectedField> {
        self.found
            .into_iter()
            .map(|(label, field)| DetectedField {
                label,
                kind: FieldKind::of(&field.last),
                cardinality: field.values.len() as u64,
                parsers: field.parsers.into_iter().map(str::to_owned).collect(),
                json_path: field.json_path,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_from_values() {
        let check = |kind: FieldKind, values: &[&str]| {
            values.iter().for_each(|value| assert_eq!(FieldKind::of(value), kind, "{value}"));
        };
        check(FieldKind::Int, &["0", "-7", "+7", "9223372036854775807"]);
        check(
            FieldKind::Float,
            &["0.5", "1e3", "9223372036854775808", "NaN", "-Inf", "1_000", "0x1p-2"],
        );
        check(FieldKind::Boolean, &["true", "False", "t"]);
        check(FieldKind::Duration, &["1.5s", "1h2m", "0ms"]);
        check(FieldKind::Bytes, &["5KB", "29KiB", "7 mb"]);
        check(FieldKind::String, &["", "x", "1e999", "GET"]);
    }
}
