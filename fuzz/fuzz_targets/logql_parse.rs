//! Any text parses or is refused, and whatever parses prints as text that parses into the same.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(expr) = logql::parse(text) else { return };
    let printed = expr.to_string();
    // Constants may fold to numbers that no query can spell.
    if printed.contains("NaN") || printed.contains("Inf") {
        return;
    }
    for again in [printed, logql::format_query(&expr)] {
        assert_eq!(logql::parse(&again).as_ref(), Ok(&expr), "{again}");
    }
});
