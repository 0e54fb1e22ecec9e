//! Runs the LogQL scripts over stored segments, laid out in every way that this crate and the
//! ingester lay rows out. How rows are kept must not change an answer: fresh or compacted, as
//! columns or as plain lines, with indexes or without.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "scripts/layout.rs"]
mod layout;
#[path = "../../../tests/src/script.rs"]
mod script;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use layout::{Layout, tenant};
use logql::request::{QueryRequest, QueryTime};
use model::answer::Value;
use model::time::DAY_NS;
use model::{Direction, Timestamp};
use querier::{NothingRecent, Querier};
use runtime::clock::ManualClock;
use runtime::limits::SameLimits;
use script::{Driver, Question, QuestionKind, Streams};
use store::Store;
use tokio::runtime::Runtime;

/// A querier over segments of some layout.
struct Stored<'a> {
    layout: &'a Layout,
    runtime: &'a Runtime,
    /// What was loaded, one load after the other.
    loads: Vec<Streams>,
    /// The segments of all loads; made when first asked.
    store: Option<Arc<Store>>,
}

impl Stored<'_> {
    fn store(&mut self) -> Arc<Store> {
        let (layout, loads) = (self.layout, &self.loads);
        let make = || self.runtime.block_on(layout.store(loads, layout::clock(base())));
        Arc::clone(self.store.get_or_insert_with(make))
    }
}

fn base() -> Timestamp {
    Timestamp::from_seconds(20_600 * 86_400)
}

impl Driver for Stored<'_> {
    fn base(&self) -> Timestamp {
        base()
    }

    fn clear(&mut self) -> Result<(), String> {
        (self.loads, self.store) = (Vec::new(), None);
        Ok(())
    }

    fn load(&mut self, streams: &Streams) -> Result<(), String> {
        self.loads.push(streams.clone());
        self.store = None;
        Ok(())
    }

    fn evaluate(&mut self, question: &Question) -> Result<Value, String> {
        let dependencies = querier::Dependencies {
            store: self.store(),
            recent: Arc::new(NothingRecent),
            limits: Arc::new(SameLimits::new(querier::Limits {
                approx_topk: true,
                split_interval: std::time::Duration::ZERO,
                max_query_length: std::time::Duration::ZERO,
                ..querier::Limits::default()
            })),
            clock: Arc::new(ManualClock::new(Timestamp(base().0 + 30 * DAY_NS))),
            metrics: querier::Metrics::default(),
        };
        let querier = Querier::new(querier::Config::default(), dependencies);
        let request = request(question);
        let answer = self.runtime.block_on(querier.query(&[tenant()], request));
        answer.map(|answer| answer.value).map_err(|error| error.to_string())
    }
}

fn request(question: &Question) -> QueryRequest {
    let mut request = QueryRequest {
        text: question.query.clone(),
        time: QueryTime::Instant(Timestamp(0)),
        direction: Direction::Backward,
        limit: 100,
        interval_ns: 0,
        categorize: false,
        tags: BTreeMap::new(),
        part: None,
    };
    match question.kind {
        QuestionKind::Instant { at } => request.time = QueryTime::Instant(at),
        QuestionKind::Range { start, end, step_ns } => {
            request.time = QueryTime::Range { start, end, step_ns };
        }
        QuestionKind::Log { start, end, direction, limit, interval_ns, categorize } => {
            // The step matters to metric queries only.
            request.time = QueryTime::Range { start, end, step_ns: 1_000_000_000 };
            (request.direction, request.limit) = (direction, limit);
            (request.interval_ns, request.categorize) = (interval_ns, categorize);
        }
    }
    request
}

fn check(layout: &Layout) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/logql");
    let runtime = Runtime::new().unwrap();
    let (mut faults, mut count) = (String::new(), 0);
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "test") {
            continue;
        }
        count += 1;
        let text = std::fs::read_to_string(&path).unwrap();
        let (loads, store) = (Vec::new(), None);
        let mut driver = Stored { layout, runtime: &runtime, loads, store };
        if let Err(fault) = script::run(&text, &mut driver) {
            faults += &format!("{}:\n{fault}\n", path.display());
        }
    }
    assert!(count > 10, "the scripts were not found");
    assert!(faults.is_empty(), "\n{faults}");
}

#[test]
fn from_fresh_segments() {
    check(&Layout::fresh());
}

#[test]
fn from_fresh_segments_of_tiny_blocks() {
    check(&Layout { block_rows: 3, ..Layout::fresh() });
}

#[test]
fn from_fresh_segments_without_indexes() {
    check(&Layout { indexed: false, ..Layout::fresh() });
}

#[test]
fn from_compacted_segments_with_columns() {
    check(&Layout::compacted());
}

#[test]
fn from_compacted_segments_with_columns_and_no_indexes() {
    check(&Layout { indexed: false, ..Layout::compacted() });
}

#[test]
fn from_compacted_segments_with_columns_in_small_blocks() {
    check(&Layout { block_rows: 701, ..Layout::compacted() });
}

#[test]
fn from_compacted_segments_with_plain_lines() {
    check(&Layout { columns: false, block_rows: 4, ..Layout::compacted() });
}

#[test]
fn from_compacted_segments_with_plain_lines_and_no_indexes() {
    check(&Layout { columns: false, indexed: false, ..Layout::compacted() });
}
