//! Lines of few templates whose values vary: JSON, logfmt and text, with everything that is odd.

use std::fmt::Write;

use runtime::random::{Random, SeededRandom};

const KEYS: &[&str] = &[
    "status",
    "a",
    "msg",
    "level",
    "x y",
    "x.y",
    "dur",
    "size",
    "é",
    "_",
    " ",
    "a_b",
    "b",
    "3x",
    "__error__",
    "trace",
    "app",
    "status",
];
const WORDS: &[&str] = &[
    "ok",
    "info",
    "error",
    "a b",
    "x",
    "",
    "5",
    "007",
    "10.1.2.3",
    "é",
    "K",
    "İ",
    "two words",
    "5ms",
    "1KB",
    "NaN",
    "%",
    "a=b",
    "\u{fffd}",
];

/// Draws from small ranges.
struct Draw(SeededRandom);

impl Draw {
    fn below(&self, end: usize) -> usize {
        (self.0.next_u64() % end as u64) as usize
    }

    fn of<'a>(&self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len())]
    }
}

/// A part of a template: a text, or a slot of some kind.
enum Part {
    Text(String),
    Slot(usize),
}

/// So many lines of two to five templates, in any order.
pub fn batch(seed: u64, rows: usize) -> Vec<Vec<u8>> {
    let draw = Draw(SeededRandom::new(seed));
    let templates: Vec<Vec<Part>> = (0..2 + draw.below(4)).map(|_| template(&draw)).collect();
    let lines = (0..rows).map(|row| {
        let template = &templates[draw.below(templates.len())];
        let mut line = Vec::new();
        for part in template {
            match part {
                Part::Text(text) => line.extend_from_slice(text.as_bytes()),
                Part::Slot(kind) => line.extend_from_slice(&slot(&draw, *kind, row)),
            }
        }
        line
    });
    lines.collect()
}

fn template(draw: &Draw) -> Vec<Part> {
    let mut parts = Vec::new();
    match draw.below(8) {
        0..4 => {
            let is_spaced = draw.below(3) == 0;
            if draw.below(6) == 0 {
                parts.push(Part::Text(" ".into()));
            }
            object(draw, is_spaced, 0, &mut parts);
            match draw.below(8) {
                0 => parts.push(Part::Text(" ".into())),
                1 => parts.push(Part::Text("x".into())),
                _ => {}
            }
        }
        4..7 => pairs(draw, &mut parts),
        _ => {
            for _ in 0..draw.below(6) {
                parts.push(Part::Text(format!("{} ", draw.of(WORDS))));
                parts.push(Part::Slot(draw.below(9)));
            }
        }
    }
    parts
}

fn object(draw: &Draw, is_spaced: bool, depth: usize, parts: &mut Vec<Part>) {
    let text = |parts: &mut Vec<Part>, text: &str| parts.push(Part::Text(text.into()));
    let blank = if is_spaced { " " } else { "" };
    text(parts, "{");
    for at in 0..draw.below(7) {
        if at > 0 {
            text(parts, &format!(",{blank}"));
        }
        let key = draw.of(KEYS);
        text(parts, &format!("\"{key}\":{blank}"));
        match draw.below(16) {
            0..4 => {
                text(parts, "\"");
                parts.push(Part::Slot(draw.below(9)));
                text(parts, "\"");
            }
            4..8 => parts.push(Part::Slot(draw.below(4))),
            8 => text(parts, draw.of(&["true", "false", "null", "1e5", "-0.5", "1.", "01", "tru"])),
            9 => text(parts, draw.of(&["[]", "[1, {\"a\": 2}]", "{}", "[\"]\"]", "[{}"])),
            10 => text(parts, draw.of(&[r#""a\"b""#, r#""\u0041""#, r#""\q""#, "\"\"", "\"x"])),
            11 | 12 if depth < 3 => object(draw, is_spaced, depth + 1, parts),
            13 => {
                parts.push(Part::Slot(1));
                text(parts, ".");
                parts.push(Part::Slot(2));
            }
            _ => text(parts, &format!("\"{}\"", draw.of(WORDS))),
        }
    }
    text(parts, "}");
}

fn pairs(draw: &Draw, parts: &mut Vec<Part>) {
    for _ in 0..1 + draw.below(7) {
        let key = draw.of(KEYS);
        let mut text = match draw.below(12) {
            0 => key.to_owned(),
            1 => format!("{key}=\"{}\"", draw.of(WORDS)),
            2 => format!("{key}=\"a\\\"b\""),
            3 => format!("{key}=\"open"),
            4 => "=".to_owned(),
            _ => String::new(),
        };
        if text.is_empty() {
            let quote = draw.of(&["", "", "\""]);
            parts.push(Part::Text(format!("{key}={quote}")));
            parts.push(Part::Slot(draw.below(9)));
            text.push_str(quote);
        }
        let _ = write!(text, "{}", draw.of(&[" ", " ", " ", "  ", "\t"]));
        parts.push(Part::Text(text));
    }
}

/// A value of a kind; some kinds hold what is not text.
fn slot(draw: &Draw, kind: usize, row: usize) -> Vec<u8> {
    let small = draw.below(1000);
    let text = match kind {
        0 => (200 + 100 * (small % 4)).to_string(),
        1 => (small % 10).to_string(),
        2 => format!("{small:03}"),
        3 => format!("{}", draw.0.next_u64() >> (small % 60)),
        4 => draw.of(&["ok", "error", "Info", "kilo", "x"]).to_owned(),
        5 => format!("{:016x}", draw.0.next_u64()),
        6 => format!("{}.{}ms", small, small % 7),
        7 => format!("1970-01-01T00:00:{:02}.{small:03}Z", row % 60),
        _ if small.is_multiple_of(5) => return vec![b'v', 0xff, b'0' + (small % 10) as u8],
        _ => format!("v{}é", small % 3),
    };
    text.into_bytes()
}
