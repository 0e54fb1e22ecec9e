//! A JSON push of either shape.
#![no_main]

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    for push in [api::push_json::decode(body), api::push_json::decode_legacy(body)] {
        let Ok(push) = push else { continue };
        let lines = push.streams.iter().flat_map(|stream| &stream.entries);
        assert!(lines.map(|entry| entry.line.len()).sum::<usize>() <= body.len());
    }
});
