//! OTLP logs in JSON.
#![no_main]

use api::otlp::{OtlpConfig, decode_json};
use model::Timestamp;

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    let _ = decode_json(body, &OtlpConfig::default(), Timestamp(0));
});
