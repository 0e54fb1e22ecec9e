//! Tasks and outcomes that decode say the same after another turn; nothing else panics.
#![no_main]

use frontend::wire::{decode_outcome, decode_task, encode_outcome, encode_task};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(task) = decode_task(bytes) {
        assert_eq!(decode_task(&encode_task(&task)), Ok(task));
    }
    if let Ok(outcome) = decode_outcome(bytes) {
        // Compared as bytes, because not every number equals itself.
        let again = encode_outcome(&outcome);
        let twice = decode_outcome(&again).map(|outcome| encode_outcome(&outcome));
        assert_eq!(twice, Ok(again));
    }
});
