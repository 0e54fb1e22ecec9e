//! A segment as a source that gives lines or columns, as one likes.

use std::ops::Range;
use std::sync::Arc;

use logql::source::{
    Batch, Piece, Selection, Source, SourceError, StreamRun, StreamSummary, Want, WantLines,
};
use model::column_lines::ColumnLines;
use model::{Labels, Matcher, TenantId, TimeRange, Timestamp};
use segment::{EncodeSettings, EncodedSegment, LineCodec, Row, SegmentFacts, SegmentWriter};

/// A segment of one tenant with three streams.
pub struct SegmentSource {
    segment: EncodedSegment,
    /// Whether columns are given where lines are kept that way.
    pub uses_columns: bool,
}

impl SegmentSource {
    /// Writes lines a hundredth of a second apart, in turn to streams of different labels; some rows
    /// have metadata.
    pub fn new(lines: &[Vec<u8>]) -> Self {
        let facts =
            SegmentFacts { tenant: TenantId::anonymous(), day: 0, level: 0, coverage: None };
        let settings = EncodeSettings { block_rows: 300, ..EncodeSettings::to_stay() };
        let mut writer = SegmentWriter::new(facts, settings);
        let streams: [&[(&str, &str)]; 3] = [
            &[("app", "a")],
            &[("app", "b"), ("level", "info"), ("status", "7")],
            &[("app", "c"), ("a_b", "x")],
        ];
        for (number, labels) in streams.into_iter().enumerate() {
            writer.add_stream(&Labels::new(labels.iter().copied()));
            for (at, line) in lines.iter().enumerate() {
                let metadata: &[(&str, &str)] = match (number, at % 9) {
                    (2, 0) => &[("a", "meta"), ("trace", "t1")],
                    (2, 1) => &[("dur", "9ms")],
                    (2, 2) => &[("__error__", "given")],
                    _ => &[],
                };
                let timestamp = Timestamp(at as i64 * 100_000_000 + number as i64);
                writer.add_row(Row { timestamp, line, level: None, metadata });
            }
        }
        Self { segment: writer.finish().unwrap(), uses_columns: true }
    }

    /// How many blocks keep their lines as columns.
    pub fn column_blocks(&self) -> usize {
        let blocks = self.segment.footer.blocks();
        blocks.iter().filter(|block| block.codec == LineCodec::Columns).count()
    }

    fn part(&self, range: &Range<u64>) -> &[u8] {
        &self.segment.bytes[range.start as usize..range.end as usize]
    }
}

impl Source for SegmentSource {
    fn pieces(&self, _: &Selection) -> Result<Vec<Piece>, SourceError> {
        let piece = |(id, block): (u64, &segment::BlockMeta)| Piece {
            id,
            origin: 0,
            rank: id,
            first: block.first,
            last: block.last,
            rows: u64::from(block.rows),
            bytes: block.raw_bytes,
            is_head: false,
        };
        Ok((0..).zip(self.segment.footer.blocks()).map(piece).collect())
    }

    fn load(&self, piece: &Piece, want: &Want) -> Result<Batch, SourceError> {
        let block = &self.segment.footer.blocks()[piece.id as usize];
        let timestamps = segment::decode_timestamps(block, self.part(&block.timestamps)).unwrap();
        let metadata = block.metadata.iter();
        let metadata = metadata
            .map(|column| segment::decode_metadata(column, self.part(&column.range)).unwrap());
        let streams = self.segment.footer.streams();
        let runs = block.run_rows().map(|(ordinal, rows)| {
            let labels = streams.labels(ordinal);
            let fingerprint = labels.fingerprint();
            StreamRun { labels, fingerprint, rows, copies: None }
        });
        let mut batch = Batch {
            runs: runs.collect(),
            timestamps,
            metadata: metadata.collect(),
            ..Batch::default()
        };
        let bytes = self.part(&block.lines);
        if want.lines == WantLines::Columns && self.uses_columns {
            let columns = segment::decode_columns(block, bytes).unwrap();
            batch.columns = columns.map(|columns| Arc::new(columns) as Arc<dyn ColumnLines>);
        }
        if batch.columns.is_none() {
            let lengths = segment::decode_lengths(block, self.part(&block.lengths)).unwrap();
            batch.lines = segment::decode_lines(block, &batch.timestamps, &lengths, bytes).unwrap();
            batch.lengths =
                (0..batch.lines.len()).map(|row| batch.lines.row_len(row) as u32).collect();
        }
        Ok(batch)
    }

    fn streams(&self, _: &[Matcher], _: TimeRange) -> Result<Vec<StreamSummary>, SourceError> {
        Ok(Vec::new())
    }
}
