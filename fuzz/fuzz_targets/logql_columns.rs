//! Any pipeline over any lines gives the same rows whether the lines are whole or were taken apart:
//! stages, a zero byte, lines. With an `@` it is a whole metric query, in which the `@` stands for the
//! selector. Every line is repeated with its digits changed, so that there are shapes
//! with several rows.
#![no_main]

use std::sync::Arc;

use logql::Expr;
use logql::eval::{Control, Limits, Params, evaluate};
use logql::pipeline::{ColumnRow, Hints, Metadata, Pipeline, RowView};
use logql::source::{Batch, Piece, Selection, Source, SourceError, StreamRun, StreamSummary, Want};
use model::column_lines::ColumnLines;
use model::{Direction, Labels, Matcher, TenantId, TimeRange, Timestamp};
use segment::{EncodeSettings, IndexPolicy, Row, SegmentFacts, SegmentWriter};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some(end) = bytes.iter().position(|byte| *byte == 0) else { return };
    let Ok(stages) = std::str::from_utf8(&bytes[..end]) else { return };
    let query = stages.replace('@', "{app=\"x\"}");
    let query = if query == stages { format!("{{app=\"x\"}} {stages}") } else { query };
    let Ok(expr) = logql::parse(&query) else { return };
    let facts = SegmentFacts { tenant: TenantId::anonymous(), day: 1, level: 0, coverage: None };
    let settings = EncodeSettings { index: IndexPolicy::Nothing, ..EncodeSettings::to_stay() };
    let mut writer = SegmentWriter::new(facts, settings);
    let labels = Labels::new([("app", "x")]);
    writer.add_stream(&labels);
    for (at, line) in (0..).zip(&varied(&bytes[end + 1..])) {
        writer.add_row(Row { timestamp: Timestamp(at), line, level: None, metadata: &[] });
    }
    let segment = writer.finish().expect("rows in order");
    let part =
        |range: &std::ops::Range<u64>| &segment.bytes[range.start as usize..range.end as usize];
    for block in segment.footer.blocks() {
        let timestamps = segment::decode_timestamps(block, part(&block.timestamps)).expect("times");
        let lengths = segment::decode_lengths(block, part(&block.lengths)).expect("lengths");
        let chunk = part(&block.lines);
        let lines = segment::decode_lines(block, &timestamps, &lengths, chunk).expect("lines");
        let Some(columns) = segment::decode_columns(block, chunk).expect("columns") else {
            continue;
        };
        let columns: Arc<dyn ColumnLines> = Arc::new(columns);
        let rows = 0..timestamps.len();
        let fingerprint = labels.fingerprint();
        let runs = vec![StreamRun { labels: labels.clone(), fingerprint, rows, copies: None }];
        let times = timestamps.clone();
        let whole = Batch { timestamps: times, lines, runs: runs.clone(), ..Batch::default() };
        let apart = Batch { timestamps, columns: Some(columns), runs, ..Batch::default() };
        if let Expr::Log(log) = &expr {
            let Ok(pipeline) = Pipeline::build(&log.stages, None, Hints::log()) else { return };
            assert_eq!(rows_of(&pipeline, &labels, &whole), rows_of(&pipeline, &labels, &apart));
        } else {
            // Printed, because NaN is not equal to itself.
            assert_eq!(answer(&expr, whole), answer(&expr, apart), "{query}");
        }
    }
});

/// One batch as a source.
struct OneBatch(Batch);

impl Source for OneBatch {
    fn pieces(&self, _: &Selection) -> Result<Vec<Piece>, SourceError> {
        let rows = self.0.timestamps.len() as u64;
        let (first, last) = (Timestamp(0), Timestamp(rows as i64));
        let (rank, origin, bytes) = (0, 0, 0);
        Ok(vec![Piece { id: 0, origin, rank, first, last, rows, bytes, is_head: false }])
    }

    fn load(&self, _: &Piece, _: &Want) -> Result<Batch, SourceError> {
        Ok(self.0.clone())
    }

    fn streams(&self, _: &[Matcher], _: TimeRange) -> Result<Vec<StreamSummary>, SourceError> {
        Ok(Vec::new())
    }
}

/// What a metric query answers, or what went wrong.
fn answer(expr: &Expr, batch: Batch) -> String {
    let params = Params {
        start: Timestamp(0),
        end: Timestamp(400),
        step_ns: 100,
        interval_ns: 0,
        split_ns: 0,
        direction: Direction::Forward,
        limit: 10,
        categorize: false,
        threads: 1,
        shard: None,
    };
    let answer = evaluate(expr, &params, &OneBatch(batch), &Control::new(), &Limits::default());
    format!("{:?}", answer.map(|answer| answer.value).map_err(|error| error.to_string()))
}

/// The rows that pass: their number, line and labels.
fn rows_of(
    pipeline: &Pipeline,
    labels: &Labels,
    batch: &Batch,
) -> Vec<(usize, Vec<u8>, Vec<(String, String)>)> {
    let (mut scratch, mut swept, mut found) = (pipeline.scratch(), Vec::new(), Vec::new());
    pipeline.sweep(batch, 0..batch.timestamps.len(), &mut scratch, &mut swept);
    for row in swept {
        let row = row as usize;
        let view = RowView {
            timestamp: Timestamp(batch.timestamps[row]),
            line: if batch.columns.is_some() { &[] } else { batch.lines.row(row) },
            columns: batch.columns.as_ref().and_then(|lines| ColumnRow::new(lines, row)),
            metadata: Metadata::Columns(&batch.metadata, row),
        };
        if let Some(outcome) = pipeline.process(labels, view, &mut scratch) {
            let mut line = Vec::new();
            outcome.append_line(&mut line);
            found.push((row, line, outcome.series_labels()));
        }
    }
    found
}

/// Every line of a text, a few times, each time with other digits.
fn varied(text: &[u8]) -> Vec<Vec<u8>> {
    let mut lines = Vec::new();
    for copy in 0..24 {
        for line in text.split(|byte| *byte == b'\n').take(16) {
            let change = |(at, byte): (usize, &u8)| match byte {
                b'0'..=b'9' => b'0' + (byte - b'0' + (copy * (at % 7)) as u8) % 10,
                other => *other,
            };
            lines.push(line.iter().enumerate().map(change).collect());
        }
    }
    lines
}
