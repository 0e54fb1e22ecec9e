//! Whatever a chunk holds, decoding answers one value per row or fails.
//!
//! The first bytes of the input choose what the block index says of the block; the rest is the
//! payload of a chunk, to which the target adds the checksum.
#![no_main]

use std::sync::Arc;

use model::Timestamp;
use segment::{BlockMeta, BlockRun, LineCodec, MetadataColumn};
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
        lengths: range.clone(),
        lines: range.clone(),
        metadata: Arc::default(),
        codec: LineCodec::Zstd,
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
        2 => {
            let mut lengths = vec![0; rows];
            lengths[0] = meta.raw_bytes as u32;
            let times = vec![0; rows];
            for codec in [LineCodec::Zstd, LineCodec::Columns] {
                let meta = BlockMeta { codec, ..meta.clone() };
                if let Ok(lines) = segment::decode_lines(&meta, &times, &lengths, &chunk) {
                    assert_eq!(lines.len(), rows);
                }
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
