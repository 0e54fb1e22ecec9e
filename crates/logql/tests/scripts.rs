//! Runs the LogQL scripts against the engine, over entries in memory.
//!
//! Every script runs several times: in one piece and in many, with and without cells, with copies
//! in several origins, on one thread and on more. The answers must not change.

#[path = "../../../tests/src/script.rs"]
mod script;

use std::path::Path;

use logql::eval::memory::{Layout, MemorySource};
use logql::eval::{Control, Limits, Params, evaluate};
use logql::syntax::ast::Expr;
use logql::syntax::parse;
use model::answer::Value;
use model::{Direction, TimeRange, Timestamp};
use script::{Driver, Question, QuestionKind, Streams};

/// The engine over entries in memory, laid out in some way.
struct InMemory {
    name: &'static str,
    layout: Layout,
    /// In how many origins each entry stands.
    origins: usize,
    threads: usize,
    streams: Streams,
}

impl InMemory {
    fn source(&self) -> MemorySource {
        let mut source = MemorySource::new(self.layout);
        let copies = (self.origins > 1).then_some(TimeRange::ALL);
        for origin in 0..self.origins {
            // All origins but the first lack some rows.
            let lacks = |index: usize| origin > 0 && index % self.origins == origin;
            let streams = self.streams.iter().map(|(labels, entries)| {
                let own = entries.iter().enumerate().filter(|(index, _)| !lacks(*index));
                (labels.clone(), own.map(|(_, entry)| entry.clone()).collect())
            });
            source.add_origin(streams, copies);
        }
        source
    }
}

impl Driver for InMemory {
    fn base(&self) -> Timestamp {
        Timestamp::from_seconds(20_500 * 86_400)
    }

    fn clear(&mut self) -> Result<(), String> {
        self.streams.clear();
        Ok(())
    }

    fn load(&mut self, streams: &Streams) -> Result<(), String> {
        self.streams.extend(streams.iter().cloned());
        Ok(())
    }

    fn evaluate(&mut self, question: &Question) -> Result<Value, String> {
        let expr = parse(&question.query).map_err(|error| error.to_string())?;
        let params = params(&question.kind, self.threads);
        if matches!((&expr, &question.kind), (Expr::Log(_), QuestionKind::Instant { .. })) {
            return Err("log queries are not supported as an instant query type".to_owned());
        }
        let limits = Limits { approx_topk: true, ..Limits::default() };
        evaluate(&expr, &params, &self.source(), &Control::new(), &limits)
            .map(|answer| answer.value)
            .map_err(|error| error.to_string())
    }
}

fn params(kind: &QuestionKind, threads: usize) -> Params {
    let mut params = Params {
        start: Timestamp(0),
        end: Timestamp(0),
        step_ns: 0,
        interval_ns: 0,
        split_ns: 0,
        direction: Direction::Backward,
        limit: 100,
        categorize: false,
        threads,
        shard: None,
    };
    match *kind {
        QuestionKind::Instant { at } => (params.start, params.end) = (at, at),
        QuestionKind::Range { start, end, step_ns } => {
            (params.start, params.end, params.step_ns) = (start, end, step_ns);
        }
        QuestionKind::Log { start, end, direction, limit, interval_ns, categorize } => {
            (params.start, params.end, params.interval_ns) = (start, end, interval_ns);
            (params.direction, params.limit, params.categorize) = (direction, limit, categorize);
        }
    }
    params
}

fn drivers() -> Vec<InMemory> {
    let driver = |name, piece_rows, cell_seconds: i64, origins, threads| InMemory {
        name,
        layout: Layout { piece_rows, cell_ns: cell_seconds * 1_000_000_000 },
        origins,
        threads,
        streams: Streams::new(),
    };
    vec![
        driver("in one piece", 1 << 20, 0, 1, 1),
        driver("in pieces of three rows", 3, 0, 1, 1),
        driver("with cells, on three threads", 7, 10, 1, 3),
        driver("with copies in three origins", 5, 0, 3, 2),
        driver("with copies and cells", 4, 7, 2, 1),
    ]
}

#[test]
fn scripts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/logql");
    let files = std::fs::read_dir(&folder).expect("the folder of scripts can be read");
    let mut files: Vec<_> = files
        .filter_map(|file| file.ok().map(|file| file.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "test"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no scripts in {}", folder.display());
    let mut faults = String::new();
    for path in &files {
        let text = std::fs::read_to_string(path).expect("a script can be read");
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        for mut driver in drivers() {
            if let Err(fault) = script::run(&text, &mut driver) {
                faults += &format!("{name} {}:\n{fault}", driver.name);
                break;
            }
        }
    }
    assert!(faults.is_empty(), "\n{faults}");
}
