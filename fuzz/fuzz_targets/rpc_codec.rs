//! A batch that decodes points at rows that exist, and encodes to what decodes to the same; no other
//! message panics.
#![no_main]

use logql::source::Want;
use rpc::codec;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(batch) = codec::decode_batch(bytes) {
        for run in &batch.runs {
            assert!(batch.timestamps.get(run.rows.clone()).is_some());
        }
        if codec::check_batch(&batch, &Want::default()).is_ok() {
            for run in &batch.runs {
                run.rows.clone().for_each(|row| _ = batch.lines.row(row).len());
            }
        }
        let again = codec::decode_batch(&codec::encode_batch(&batch));
        assert_eq!(format!("{:?}", again.expect("what was encoded")), format!("{batch:?}"));
    }
    if let Ok(Some(cells)) = codec::decode_cells(bytes) {
        assert!(cells.cells.iter().all(|cell| cells.runs.get(cell.run as usize).is_some()));
    }
    let _ = codec::decode_pieces(bytes);
    let _ = codec::decode_streams(bytes);
    let _ = codec::decode_selection(bytes);
    let _ = codec::decode_scope(bytes);
    let _ = codec::decode_outcome(bytes);
    let _ = codec::decode_flushed_as(bytes);
});
