//! Whatever a chunk holds, decoding answers one value per row or fails.
//!
//! The first bytes of the input choose what the block index says of the block; the rest is the
//! payload of a chunk, to which the target adds the checksum.
#![no_main]

use std::sync::Arc;

use model::Timestamp;
use segment::{BlockMeta, BlockRun, LineCodec, LineTest, MetadataColumn};
use xxhash_rust::xxh3::xxh3_64_with_seed;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((&[kind, runs, rows, raw_low, raw_high], payload)) = bytes.split_first_chunk::<5>()
    else {
        return;
    };
    let runs: Arc<[BlockRun]> = (0..u32::from(runs) + 1)
        .map(|stream| BlockRun { stream, rows: u32::from(rows) * (stream % 3) + 1 })
        .collect();
    let rows: u32 = runs.iter().map(|run| run.rows).sum();
    let name = if kind % 2 == 0 { "trace_id" } else { "detected_level" };
    let mut chunk = payload.to_vec();
    let codec = if kind % 8 == 6 { LineCodec::Columns } else { LineCodec::Zstd };
    let seed = match kind % 4 {
        0 => 1 << 32,
        1 => 2 << 32,
        2 => 3 << 32,
        _ => xxh3_64_with_seed(name.as_bytes(), 4 << 32),
    };
    chunk.extend_from_slice(&(xxh3_64_with_seed(payload, seed) as u32).to_le_bytes());
    let range = 32..32 + chunk.len() as u64;
    let meta = BlockMeta {
        ordinal: 0,
        rows,
        raw_bytes: u64::from(u16::from_le_bytes([raw_low, raw_high])),
        first: Timestamp(i64::MIN),
        last: Timestamp(i64::MAX),
        levels: 1,
        runs,
        timestamps: range.clone(),
        lengths: if codec == LineCodec::Columns { 0..0 } else { range.clone() },
        lines: range.clone(),
        metadata: Arc::default(),
        codec,
    };
    let rows = rows as usize;
    match kind % 4 {
        0 => {
            if let Ok(times) = segment::decode_timestamps(&meta, &chunk) {
                assert_eq!(times.len(), rows);
            }
        }
        1 => {
            if let Ok(lengths) = segment::decode_lengths(&meta, &chunk) {
                assert_eq!(lengths.len(), rows);
            }
        }
        2 if codec == LineCodec::Columns => read_columns(&meta, &chunk),
        2 => {
            let mut lengths = vec![0; rows];
            lengths[0] = meta.raw_bytes as u32;
            if let Ok(lines) = segment::decode_lines(&meta, &vec![0; rows], &lengths, &chunk) {
                assert_eq!(lines.len(), rows);
            }
        }
        _ => {
            let column = MetadataColumn { name: name.into(), block: 0, rows: rows as u32, range };
            if let Ok(column) = segment::decode_metadata(&column, &chunk) {
                assert_eq!(column.codes().len(), rows);
            }
        }
    }
});

/// Asks everything that can be asked of columns.
fn read_columns(meta: &BlockMeta, chunk: &[u8]) {
    let rows = meta.rows as usize;
    let times = vec![1_713_280_243_833_819_339; rows];
    let Ok(Some(columns)) = segment::decode_columns(meta, chunk) else { return };
    let ranks = columns.ranks();
    let tests = [LineTest::contains(b"a=1"), LineTest::contains_any_case(b"k\":0")];
    let known = tests.map(|test| columns.test(&test));
    let fields = [columns.json_fields(), columns.logfmt_fields()];
    for field in fields.iter().flat_map(|fields| {
        columns.row_shapes().iter().filter_map(|shape| fields.of(*shape)).flatten()
    }) {
        let mut out = Vec::new();
        let _ = columns.value(field, ranks[0], times[0], &mut out);
        let _ = (columns.numbers(field), columns.dictionary(field), columns.constant(field));
    }
    let lengths = segment::decode_line_lengths(meta, chunk);
    let some: Vec<u32> = (0..meta.rows).step_by(3).collect();
    let _ = columns.some_lines(&some, &times);
    if let Ok(lines) = segment::decode_lines(meta, &times, &[], chunk) {
        assert_eq!(lines.len(), rows);
        let lengths = lengths.expect("lines have lengths");
        for (row, line) in lines.iter().enumerate() {
            assert_eq!(lengths[row] as usize, line.len());
        }
        for (row, known) in known[0].iter().enumerate() {
            let holds = lines.row(row).windows(3).any(|part| part == b"a=1");
            let agrees = match known {
                segment::RowMatch::Yes => holds,
                segment::RowMatch::No => !holds,
                segment::RowMatch::Maybe => true,
            };
            assert!(agrees, "row {row}");
        }
    }
}
