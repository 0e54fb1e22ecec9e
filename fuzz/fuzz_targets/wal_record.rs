//! A file of the log with any bytes is read without a panic, and every byte is accounted for.
#![no_main]

use ingester::inspect_wal_file;

const HEADER_BYTES: u64 = 32;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let report = inspect_wal_file(1, bytes);
    let body = (bytes.len() as u64).saturating_sub(HEADER_BYTES);
    assert_eq!(report.record_bytes + report.damaged_bytes, body);
});
