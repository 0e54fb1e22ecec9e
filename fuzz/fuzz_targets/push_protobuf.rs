//! A protobuf push: whatever the bytes, it is refused or read, without panic.
#![no_main]

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    if let Ok(push) = api::push_protobuf::decode(body) {
        let lines = push.streams.iter().flat_map(|stream| &stream.entries);
        assert!(lines.map(|entry| entry.line.len()).sum::<usize>() <= body.len());
    }
});
