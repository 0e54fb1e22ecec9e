//! The pieces JSON is made of, written as Go programs write them.

use model::Timestamp;

/// Bytes looked at together when searching for one that must be escaped.
const CHUNK: usize = 16;

/// Writes text in quotes.
pub fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    write_escaped(text.as_bytes(), out);
    out.push(b'"');
}

/// Writes bytes in quotes, each byte that is not UTF-8 as U+FFFD.
pub fn write_text(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    if str::from_utf8(bytes).is_ok() {
        write_escaped(bytes, out);
    } else {
        for chunk in bytes.utf8_chunks() {
            write_escaped(chunk.valid().as_bytes(), out);
            for _ in chunk.invalid() {
                out.extend_from_slice("\u{fffd}".as_bytes());
            }
        }
    }
    out.push(b'"');
}

fn write_escaped(mut text: &[u8], out: &mut Vec<u8>) {
    loop {
        let plain = plain_prefix(text);
        out.extend_from_slice(&text[..plain]);
        let Some(byte) = text.get(plain) else { return };
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            byte => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(byte >> 4)]);
                out.push(HEX[usize::from(byte & 15)]);
            }
        }
        text = &text[plain + 1..];
    }
}

fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// How many bytes can be copied as they are.
fn plain_prefix(text: &[u8]) -> usize {
    let mut at = 0;
    for chunk in text.chunks_exact(CHUNK) {
        // Without a branch per byte the compiler turns this into a few wide comparisons.
        if chunk.iter().fold(false, |found, byte| found | needs_escape(*byte)) {
            break;
        }
        at += CHUNK;
    }
    at + text[at..].iter().position(|byte| needs_escape(*byte)).unwrap_or(text.len() - at)
}

/// Writes a whole number.
pub fn write_integer(number: i64, out: &mut Vec<u8>) {
    if number < 0 {
        out.push(b'-');
    }
    write_unsigned(number.unsigned_abs(), out);
}

/// Writes a whole number that is not negative.
pub fn write_unsigned(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Writes a number with the fewest digits that read back as the same number, never with an
/// exponent; `NaN`, `+Inf` and `-Inf` are words.
pub fn write_float(number: f64, out: &mut Vec<u8>) {
    use std::io::Write as _;
    if number.is_nan() {
        out.extend_from_slice(b"NaN");
    } else if number.is_infinite() {
        out.extend_from_slice(if number > 0.0 { b"+Inf" } else { b"-Inf" });
    } else {
        // Writing into a vector cannot fail.
        let _ = write!(out, "{number}");
    }
}

/// Writes a time as unix seconds with up to three decimals.
pub fn write_seconds(timestamp: Timestamp, out: &mut Vec<u8>) {
    let millis = timestamp.as_millis();
    if millis < 0 {
        out.push(b'-');
    }
    let millis = millis.unsigned_abs();
    write_unsigned(millis / 1000, out);
    let fraction = millis % 1000;
    if fraction > 0 {
        let digits = [fraction / 100, fraction / 10 % 10, fraction % 10];
        let kept = 3 - digits.iter().rev().take_while(|digit| **digit == 0).count();
        out.push(b'.');
        out.extend(digits[..kept].iter().map(|digit| b'0' + *digit as u8));
    }
}

/// Writes a list in brackets.
pub fn write_array<T>(
    items: impl IntoIterator<Item = T>,
    out: &mut Vec<u8>,
    mut write: impl FnMut(T, &mut Vec<u8>),
) {
    out.push(b'[');
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(item, out);
    }
    out.push(b']');
}

/// Writes names and texts in braces.
pub fn write_object<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>, out: &mut Vec<u8>) {
    out.push(b'{');
    for (index, (name, value)) in pairs.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_string(name, out);
        out.push(b':');
        write_string(value, out);
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn strings_are_escaped() {
        let check = |bytes: &[u8], expected: &str| {
            assert_eq!(written(|out| write_text(bytes, out)), expected);
        };
        check(
            b"plain text longer than one chunk, <&>",
            "\"plain text longer than one chunk, <&>\"",
        );
        check(b"a\"b\\c\n\r\t\x01\x7f", "\"a\\\"b\\\\c\\n\\r\\t\\u0001\x7f\"");
        check("é☕".as_bytes(), "\"é☕\"");
        check(b"\xff\xe4\xb8!", "\"\u{fffd}\u{fffd}\u{fffd}!\"");
    }

    #[test]
    fn floats_have_no_exponent() {
        let check = |number: f64, expected: &str| {
            assert_eq!(written(|out| write_float(number, out)), expected);
        };
        check(0.1, "0.1");
        check(12.0, "12");
        check(1e21, "1000000000000000000000");
        check(1.5e-7, "0.00000015");
        check(-0.0, "-0");
        check(0.300_000_000_000_000_04, "0.30000000000000004");
        check(f64::NAN, "NaN");
        check(f64::INFINITY, "+Inf");
        check(f64::NEG_INFINITY, "-Inf");
    }

    #[test]
    fn seconds_have_at_most_three_decimals() {
        let check = |millis: i64, expected: &str| {
            assert_eq!(written(|out| write_seconds(Timestamp::from_millis(millis), out)), expected);
        };
        check(1_755_900_000_000, "1755900000");
        check(1_755_900_000_250, "1755900000.25");
        check(1_001, "1.001");
        check(10, "0.01");
        check(-1_500, "-1.5");
    }

    proptest! {
        #[test]
        fn strings_read_back(text: String) {
            let json = written(|out| write_string(&text, out));
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }

        #[test]
        fn any_bytes_make_valid_json(bytes: Vec<u8>) {
            let json = written(|out| write_text(&bytes, out));
            let read: String = serde_json::from_str(&json).unwrap();
            let expected = crate::utf8::lossy(&bytes);
            prop_assert_eq!(&read, &expected);
        }

        #[test]
        fn numbers_read_back(integer: i64, float in prop::num::f64::NORMAL) {
            prop_assert_eq!(written(|out| write_integer(integer, out)), integer.to_string());
            prop_assert_eq!(written(|out| write_float(float, out)).parse::<f64>().unwrap(), float);
        }
    }
}
