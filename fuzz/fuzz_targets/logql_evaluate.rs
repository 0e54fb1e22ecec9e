//! Any query over any lines ends, and answers the same however the rows are laid out: a query, a
//! zero byte, lines.
#![no_main]

use libfuzzer_sys::fuzz_target;
use logql::Expr;
use logql::eval::memory::{Layout, MemorySource};
use logql::eval::{Control, Limits, Params, evaluate};
use model::answer::Value;
use model::{Direction, Entry, Labels, Timestamp};

const SECOND: i64 = 1_000_000_000;

fn source(lines: &[u8], layout: Layout) -> MemorySource {
    let mut streams = [("a", Vec::new()), ("b", Vec::new())];
    for (number, line) in lines.split(|byte| *byte == b'\n').take(64).enumerate() {
        // Every third line has the time of the one before.
        let at = (number - number % 3 / 2) as i64 * SECOND;
        let entry = Entry::new(Timestamp(at), line.to_vec());
        streams[number % 2].1.push(entry);
    }
    let streams = streams.map(|(app, rows)| (Labels::new([("app", app), ("job", "x")]), rows));
    let mut source = MemorySource::new(layout);
    source.add_origin(streams, None);
    source
}

/// How many rows an answer has, which does not depend on how sums are rounded.
fn rows(value: &Value) -> usize {
    match value {
        Value::Streams(streams) => streams.iter().map(|stream| stream.entries.len()).sum(),
        Value::Vector(samples) => samples.len(),
        Value::Matrix(series) => series.iter().map(|series| series.samples.len()).sum(),
        Value::Scalar(_) => 1,
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some(end) = bytes.iter().position(|byte| *byte == 0) else { return };
    let (query, lines) = (&bytes[..end], &bytes[end + 1..]);
    let Ok(query) = std::str::from_utf8(query) else { return };
    let Ok(expr) = logql::parse(query) else { return };
    let params = Params {
        start: Timestamp(0),
        end: Timestamp(70 * SECOND),
        step_ns: 7 * SECOND,
        interval_ns: 0,
        split_ns: 0,
        direction: Direction::Backward,
        limit: 100,
        categorize: false,
        threads: 1,
        shard: None,
    };
    let limits = Limits { max_memory_bytes: 64 << 20, approx_topk: true, ..Limits::default() };
    let ask =
        |layout: Layout| evaluate(&expr, &params, &source(lines, layout), &Control::new(), &limits);
    let whole = ask(Layout { piece_rows: usize::MAX, cell_ns: 0 });
    let pieces = ask(Layout { piece_rows: 3, cell_ns: 5 * SECOND });
    // Comparisons may tip over with the last bit of a sum.
    let compares = matches!(&expr, Expr::Metric(_)) && query.contains(['<', '>', '=']);
    match (whole, pieces) {
        (Ok(whole), Ok(pieces)) if !compares => {
            assert_eq!(rows(&whole.value), rows(&pieces.value), "{query}");
        }
        (Ok(_), Ok(_)) | (Err(_), Err(_)) => {}
        (whole, pieces) => panic!("{query}: {whole:?} {pieces:?}"),
    }
});
