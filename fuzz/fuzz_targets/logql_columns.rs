//! Any pipeline over any lines gives the same rows whether the lines are whole or were taken apart:
//! stages, a zero byte, lines. Every line is repeated with its digits changed, so that there are shapes
//! with several rows.
#![no_main]

use std::sync::Arc;

use logql::Expr;
use logql::pipeline::{ColumnRow, Hints, Metadata, Pipeline, RowView};
use logql::source::Batch;
use model::column_lines::ColumnLines;
use model::{Labels, TenantId, Timestamp};
use segment::{EncodeSettings, IndexPolicy, Row, SegmentFacts, SegmentWriter};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some(end) = bytes.iter().position(|byte| *byte == 0) else { return };
    let Ok(stages) = std::str::from_utf8(&bytes[..end]) else { return };
    let Ok(Expr::Log(log)) = logql::parse(&format!("{{app=\"x\"}} {stages}")) else { return };
    let Ok(pipeline) = Pipeline::build(&log.stages, None, Hints::log()) else { return };
    let facts = SegmentFacts { tenant: TenantId::anonymous(), day: 1, level: 0, coverage: None };
    let settings = EncodeSettings { index: IndexPolicy::Nothing, ..EncodeSettings::to_stay() };
    let mut writer = SegmentWriter::new(facts, settings);
    let labels = Labels::new([("app", "x")]);
    writer.add_stream(&labels);
    for (at, line) in (0..).zip(&varied(&bytes[end + 1..])) {
        writer.add_row(Row { timestamp: Timestamp(at), line, level: None, metadata: &[] });
    }
    let segment = writer.finish().expect("rows in order");
    let part = |range: &std::ops::Range<u64>| {
        &segment.bytes[range.start as usize..range.end as usize]
    };
    for block in segment.footer.blocks() {
        let timestamps = segment::decode_timestamps(block, part(&block.timestamps)).expect("times");
        let lengths = segment::decode_lengths(block, part(&block.lengths)).expect("lengths");
        let chunk = part(&block.lines);
        let lines = segment::decode_lines(block, &timestamps, &lengths, chunk).expect("lines");
        let Some(columns) = segment::decode_columns(block, chunk).expect("columns") else { continue };
        let columns: Arc<dyn ColumnLines> = Arc::new(columns);
        let whole = Batch { timestamps: timestamps.clone(), lines, ..Batch::default() };
        let apart = Batch { timestamps, columns: Some(columns), ..Batch::default() };
        assert_eq!(rows(&pipeline, &labels, &whole), rows(&pipeline, &labels, &apart));
    }
});

/// The rows that pass: their number, line and labels.
fn rows(
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
