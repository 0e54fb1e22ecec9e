//! OTLP logs in protobuf.
#![no_main]

use api::otlp::{OtlpConfig, decode_protobuf};
use model::Timestamp;

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    let _ = decode_protobuf(body, &OtlpConfig::default(), Timestamp(0));
});
