//! No question about lines loses a row by the token index: needles and regular expressions made
//! from the input and from parts of real lines, pruned and compared with a look at every row.
//!
//! The lines are those of the file that `SIGYN_FUZZ_LINES` names, or a few hundred built-in ones.
//! The input is two numbers that choose a part of a line, a form of question, and text of its own.
#![no_main]

use std::sync::OnceLock;

use logql::Expr;
use logql::pipeline::{Hints, Pipeline};
use logql::source::Batch;
use model::columns::Lines;
use model::{Labels, TenantId, Timestamp};
use segment::{
    EncodeSettings, EncodedSegment, LineCodec, Required, Row, SegmentFacts, SegmentWriter, prune,
};

/// Lines of one segment; a file with more makes several.
const SEGMENT_LINES: usize = 20_000;

struct Sample {
    segment: EncodedSegment,
    /// Decoded, block by block.
    blocks: Vec<Lines>,
}

fn built_in() -> Vec<Vec<u8>> {
    let line = |n: u64| {
        let id = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        match n % 6 {
            0 => {
                format!("level=info ts=2024-04-16T15:10:44.{n:09}Z msg=\"served\" trace={id:032x}")
            }
            1 => format!("{{\"user\":\"u{n}\",\"path\":\"/api/größe\",\"id\":\"{id:016X}\"}}"),
            2 => {
                format!("sshd[{n}]: Failed password for invalid user k{n} from 10.0.{}.7", n % 256)
            }
            3 => {
                format!("ERROR Kelvin \u{212a} ſ İ blk_{} timeout after {n}ms", id % 1_000_000_007)
            }
            4 => format!("Receiving block blk_{id:020} size {n}"),
            _ => format!("{id:08x}-0000-4000-8000-{id:012x} GET /index.html?a=%20{n}"),
        }
    };
    (0..4_000).map(|n| line(n).into_bytes()).collect()
}

fn encode(lines: &[Vec<u8>], line_codec: LineCodec) -> Sample {
    let tenant = TenantId::anonymous();
    let facts = SegmentFacts { tenant, day: 0, level: 0, coverage: None };
    let settings =
        EncodeSettings { block_bytes: 64 << 10, line_codec, ..EncodeSettings::default() };
    let mut writer = SegmentWriter::new(facts, settings);
    writer.add_stream(&Labels::new([("app", "x")]));
    for (at, line) in (0..).zip(lines) {
        writer.add_row(Row { timestamp: Timestamp(at), line, level: None, metadata: &[] });
    }
    let segment = writer.finish().expect("rows in order");
    let part =
        |range: &std::ops::Range<u64>| &segment.bytes[range.start as usize..range.end as usize];
    let decoded = segment.footer.blocks().iter().map(|block| {
        let lengths = segment::decode_lengths(block, part(&block.lengths)).expect("own lengths");
        let times = segment::decode_timestamps(block, part(&block.timestamps)).expect("own times");
        segment::decode_lines(block, &times, &lengths, part(&block.lines)).expect("own lines")
    });
    let blocks = decoded.collect();
    Sample { segment, blocks }
}

fn samples() -> &'static [Sample] {
    static SAMPLES: OnceLock<Vec<Sample>> = OnceLock::new();
    SAMPLES.get_or_init(|| {
        let lines = match std::env::var_os("SIGYN_FUZZ_LINES") {
            None => built_in(),
            Some(path) => {
                let text = std::fs::read(path).expect("the file of lines");
                text.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
            }
        };
        // The index takes the words of columns from their encoder, and those of plain lines itself.
        let codecs = [LineCodec::Columns, LineCodec::Zstd];
        let of = |lines| codecs.map(|codec| encode(lines, codec));
        lines.chunks(SEGMENT_LINES).flat_map(of).collect()
    })
}

fn escaped(text: &str) -> String {
    text.chars()
        .flat_map(|c| ['\\', c].into_iter().skip(usize::from(!c.is_ascii_punctuation())))
        .collect()
}

fn quoted(text: &str) -> String {
    let mut out = String::new();
    model::label::quote_into(text, &mut out);
    out
}

/// A line filter from the input.
fn question(sample: &Sample, input: &[u8]) -> Option<String> {
    let (head, own) = input.split_first_chunk::<8>()?;
    let number = |at: usize| usize::from(u16::from_le_bytes([head[at], head[at + 1]]));
    let own = String::from_utf8_lossy(own);
    let lines = sample.blocks.get(number(0) % sample.blocks.len())?;
    let line = String::from_utf8_lossy(lines.row(number(2) % lines.len())).into_owned();
    let chars: Vec<char> = line.chars().collect();
    let start = number(4) % chars.len().max(1);
    let len = 1 + usize::from(head[6] % 64);
    let (first, second) =
        chars[start.min(chars.len())..].split_at(len.min(chars.len() - start.min(chars.len())));
    let (first, second): (String, String) =
        (first.iter().collect(), second.iter().take(len).collect());
    Some(match head[7] % 12 {
        0 => format!("|= {}", quoted(&first)),
        1 => format!("|= {}", quoted(&own)),
        2 => format!("|= {}", quoted(&format!("{first}{own}"))),
        3 => format!("|= {} or {}", quoted(&own), quoted(&first)),
        4 => format!("|~ {}", quoted(&format!("(?i){}", escaped(&first)))),
        5 => format!("|~ {}", quoted(&format!("(?i){}", escaped(&first.to_uppercase())))),
        6 => format!("|~ {}", quoted(&format!("{}.*{}", escaped(&first), escaped(&second)))),
        7 => format!("|~ {}", quoted(&format!("{}|{}", escaped(&first), own))),
        8 => format!("|~ {}", quoted(&own)),
        9 => format!("|~ {}", quoted(&format!("(?i){own}"))),
        10 => format!("|~ {}", quoted(&format!("{}({own})?{}", escaped(&first), escaped(&second)))),
        _ => format!("|> {}", quoted(&format!("<_>{first}<_>"))),
    })
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let samples = samples();
    let Some((choice, input)) = input.split_first() else { return };
    let sample = &samples[usize::from(*choice) % samples.len()];
    let Some(filter) = question(sample, input) else { return };
    let Ok(Expr::Log(query)) = logql::parse(&format!("{{app=\"x\"}} {filter}")) else { return };
    let Ok(pipeline) = Pipeline::build(&query.stages, None, Hints::log()) else { return };
    let required = pipeline.required();
    let required: Vec<_> = required.iter().map(|r| Required::AnyOf(&r.any_of)).collect();
    let plan = prune(&sample.segment.footer, &required);
    let ranges = plan.ranges();
    let pages: Vec<&[u8]> =
        ranges.iter().map(|r| &sample.segment.bytes[r.start as usize..r.end as usize]).collect();
    let left = plan.blocks(&sample.segment.footer, &pages).expect("own pages");
    let mut scratch = pipeline.scratch();
    for (block, lines) in (0..).zip(&sample.blocks) {
        if left.contains(block) {
            continue;
        }
        let batch = Batch { lines: lines.clone(), ..Batch::default() };
        let mut rows = Vec::new();
        pipeline.sweep(&batch, 0..lines.len(), &mut scratch, &mut rows);
        let lost = rows.first().map(|row| String::from_utf8_lossy(lines.row(*row as usize)));
        assert!(lost.is_none(), "{filter} loses {lost:?} of block {block}");
        for row in 0..lines.len() {
            assert!(!pipeline.admits(lines.row(row), &mut scratch), "{filter} loses row {row}");
        }
    }
});
