//! An append batch that decodes can be read to its last row.
#![no_main]

use api::append::{AppendBatch, metadata_at};
use bytes::Bytes;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(batch) = AppendBatch::decode(Bytes::copy_from_slice(bytes)) else { return };
    let (mut rows, mut line_bytes) = (0, 0);
    for part in batch.streams() {
        for row in part.rows() {
            rows += 1;
            line_bytes += row.line(batch.as_bytes()).len() as u64;
            let _ = metadata_at(batch.as_bytes(), row.metadata_start).count();
        }
    }
    assert_eq!((rows, line_bytes), (batch.rows(), batch.line_bytes()));
});
