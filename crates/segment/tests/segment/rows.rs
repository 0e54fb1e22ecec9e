//! Rows as plain values, and how they travel through a segment.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use model::{Labels, Level, TenantId, Timestamp};
use segment::{
    BlockMeta, EncodeSettings, EncodedSegment, Footer, FormatError, Region, Row, SegmentFacts,
    SegmentWriter, Spill, SpilledSegment, sort_key,
};

/// A row that owns its parts; metadata includes the level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlainRow {
    pub at: i64,
    pub line: Vec<u8>,
    pub metadata: BTreeMap<String, String>,
}

/// A row to be written.
#[derive(Debug, Clone)]
pub struct InputRow {
    pub at: i64,
    pub line: Vec<u8>,
    pub level: Option<Level>,
    pub metadata: Vec<(String, String)>,
}

impl InputRow {
    pub fn new(at: i64, line: &[u8]) -> Self {
        Self { at, line: line.to_vec(), level: None, metadata: Vec::new() }
    }

    /// What reading must give back.
    fn expected(&self) -> PlainRow {
        let mut metadata: BTreeMap<_, _> = self.metadata.iter().cloned().collect();
        if let Some(level) = self.level {
            metadata.entry("detected_level".to_owned()).or_insert(level.as_str().to_owned());
        }
        PlainRow { at: self.at, line: self.line.clone(), metadata }
    }
}

pub type Streams = Vec<(Labels, Vec<InputRow>)>;

pub fn facts() -> SegmentFacts {
    SegmentFacts { tenant: TenantId::anonymous(), day: 20_000, level: 0, coverage: None }
}

/// Sorts streams and rows as the writer wants them, and drops streams without rows.
pub fn sorted(mut streams: Streams, settings: &EncodeSettings) -> Streams {
    streams.sort_by_cached_key(|(labels, _)| sort_key(labels, &settings.sort_labels));
    streams.dedup_by(|a, b| a.0 == b.0);
    streams.retain(|(_, rows)| !rows.is_empty());
    streams.iter_mut().for_each(|(_, rows)| rows.sort_by_key(|row| row.at));
    streams
}

pub fn encode(streams: &Streams, settings: &EncodeSettings) -> Result<EncodedSegment, FormatError> {
    add_all(SegmentWriter::new(facts(), settings.clone()), streams)
}

/// [`encode`] with digests.
pub fn encode_with_digests(
    streams: &Streams,
    settings: &EncodeSettings,
    seconds: u32,
) -> Result<EncodedSegment, FormatError> {
    let mut writer = SegmentWriter::new(facts(), settings.clone());
    writer.keep_digests(seconds);
    add_all(writer, streams)
}

fn add_all(mut writer: SegmentWriter, streams: &Streams) -> Result<EncodedSegment, FormatError> {
    write(streams, &mut writer);
    writer.finish()
}

/// What a writer spilled, by region.
#[derive(Debug, Clone, Default)]
struct Spilled(Arc<Mutex<[Vec<u8>; 4]>>);

impl Spill for Spilled {
    fn append(&mut self, region: Region, bytes: &[u8]) -> io::Result<()> {
        self.0.lock().unwrap()[region as usize].extend_from_slice(bytes);
        Ok(())
    }

    fn move_to_object(&mut self, region: Region, bytes: Range<u64>) -> io::Result<()> {
        let mut regions = self.0.lock().unwrap();
        let moved = regions[region as usize][bytes.start as usize..bytes.end as usize].to_vec();
        regions[Region::Object as usize].extend_from_slice(&moved);
        Ok(())
    }
}

/// [`encode`], built outside memory.
pub fn encode_spilled(streams: &Streams, settings: &EncodeSettings) -> EncodedSegment {
    let spill = Spilled::default();
    let mut writer = SegmentWriter::new(facts(), settings.clone());
    writer.spill_to(Box::new(spill.clone()));
    write(streams, &mut writer);
    let SpilledSegment { name, bytes, footer } = writer.finish_spilled().unwrap();
    let object = std::mem::take(&mut spill.0.lock().unwrap()[Region::Object as usize]);
    assert_eq!(object.len() as u64, bytes);
    EncodedSegment { name, bytes: object.into(), footer }
}

fn write(streams: &Streams, writer: &mut SegmentWriter) {
    for (labels, rows) in streams {
        writer.add_stream(labels);
        for row in rows {
            let metadata: Vec<_> =
                row.metadata.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            writer.add_row(Row {
                timestamp: Timestamp(row.at),
                line: &row.line,
                level: row.level,
                metadata: &metadata,
            });
        }
    }
}

pub fn expected(streams: &Streams) -> Vec<(Labels, Vec<PlainRow>)> {
    streams
        .iter()
        .map(|(labels, rows)| (labels.clone(), rows.iter().map(InputRow::expected).collect()))
        .collect()
}

/// Reads everything back, stream by stream.
pub fn decode(bytes: &[u8]) -> Result<Vec<(Labels, Vec<PlainRow>)>, FormatError> {
    let footer = Footer::decode(bytes, bytes.len() as u64)?;
    let mut streams: Vec<(Labels, Vec<PlainRow>)> = (0..footer.streams().len() as u32)
        .map(|ordinal| (footer.streams().labels(ordinal), Vec::new()))
        .collect();
    for block in footer.blocks() {
        let rows = decode_block(block, bytes)?;
        for (stream, range) in block.run_rows() {
            streams[stream as usize].1.extend_from_slice(&rows[range]);
        }
    }
    Ok(streams)
}

pub fn decode_block(block: &BlockMeta, bytes: &[u8]) -> Result<Vec<PlainRow>, FormatError> {
    let part = |range: &std::ops::Range<u64>| &bytes[range.start as usize..range.end as usize];
    let timestamps = segment::decode_timestamps(block, part(&block.timestamps))?;
    let lengths = segment::decode_lengths(block, part(&block.lengths))?;
    let lines_bytes = part(&block.lines);
    let lines = segment::decode_lines(block, &timestamps, &lengths, lines_bytes)?;
    for count in [0, 1, lines.len() / 3, lines.len()] {
        let first = segment::decode_first_lines(block, &timestamps, &lengths, lines_bytes, count)?;
        assert!(first.len() >= count && first.iter().eq(lines.iter().take(first.len())));
    }
    let mut rows: Vec<PlainRow> = timestamps
        .iter()
        .zip(lines.iter())
        .map(|(at, line)| PlainRow { at: *at, line: line.to_vec(), metadata: BTreeMap::new() })
        .collect();
    for column in block.metadata.iter() {
        let texts = segment::decode_metadata(column, part(&column.range))?;
        for (index, row) in rows.iter_mut().enumerate() {
            if let Some(value) = texts.get(index) {
                row.metadata.insert(texts.name().to_owned(), value.to_owned());
            }
        }
    }
    Ok(rows)
}
