//! Any line through any pipeline that parses: a query, a zero byte, the line.
#![no_main]

use libfuzzer_sys::fuzz_target;
use logql::Expr;
use logql::pipeline::{Hints, Metadata, Pipeline, RowView};
use model::{Labels, Timestamp};

fuzz_target!(|bytes: &[u8]| {
    let Some(end) = bytes.iter().position(|byte| *byte == 0) else { return };
    let (query, line) = (&bytes[..end], &bytes[end + 1..]);
    let Ok(query) = std::str::from_utf8(query) else { return };
    let Ok(Expr::Log(log)) = logql::parse(query) else { return };
    let Ok(pipeline) = Pipeline::build(&log.stages, None, Hints::log()) else { return };
    let mut scratch = pipeline.scratch();
    let base = Labels::new([("app", "x"), ("level", "info")]);
    let _ = pipeline.admits(line, &mut scratch);
    let metadata = [("pod", "p"), ("a", "sm")];
    let row = RowView {
        timestamp: Timestamp(0),
        line,
        columns: None,
        metadata: Metadata::Pairs(&metadata),
    };
    if let Some(outcome) = pipeline.process(&base, row, &mut scratch) {
        let labels = outcome.series_labels();
        assert!(labels.windows(2).all(|pair| pair[0].0 < pair[1].0));
        let _ = outcome.categories();
    }
});
