//! Measures the encodings of lines: `cargo run --release -p segment --example measure -- FILE...`.
//!
//! Each file is a stream of lines; or, when it begins with `{`, rows in segment order as
//! `labels<TAB>nanoseconds<TAB>line`, where a line of `#` ends a segment.

use std::time::Duration;

use model::{Labels, TenantId, Timestamp};
use segment::{EncodeSettings, IndexPolicy, LineCodec, Row, SegmentFacts, SegmentWriter, verify};

type Rows<'a> = Vec<(&'a str, i64, &'a [u8], Option<&'a str>)>;

fn parse<'a>(name: &'a str, bytes: &'a [u8]) -> Vec<Rows<'a>> {
    let lines = bytes.strip_suffix(b"\n").unwrap_or(bytes).split(|byte| *byte == b'\n');
    if !bytes.starts_with(b"{app=") {
        let rows = (0i64..)
            .zip(lines)
            .map(|(at, line)| (name, 1_700_000_000_000_000_000 + at * 1_000_000, line, None));
        return vec![rows.collect()];
    }
    let mut segments = vec![Vec::new()];
    for line in lines {
        let mut parts = line.splitn(3, |byte| *byte == b'\t');
        let (Some(labels), Some(at), Some(line)) = (parts.next(), parts.next(), parts.next())
        else {
            segments.push(Vec::new());
            continue;
        };
        let at = std::str::from_utf8(at).ok().and_then(|at| at.parse().ok()).unwrap_or(0);
        let mut line = line.splitn(2, |byte| *byte == 2);
        let text = line.next().unwrap_or_default();
        let id = line.next().and_then(|id| std::str::from_utf8(id).ok());
        if let (Ok(labels), Some(rows)) = (std::str::from_utf8(labels), segments.last_mut()) {
            rows.push((labels, at, text, id));
        }
    }
    segments
}

fn encode(rows: &Rows<'_>, settings: &EncodeSettings) -> (Vec<u8>, Duration) {
    let tenant = TenantId::new("bench").expect("a tenant");
    let facts = SegmentFacts { tenant, day: 0, level: 0, coverage: None };
    let mut labels: Vec<(usize, Labels)> = Vec::new();
    let mut before = "";
    for (at, row) in rows.iter().enumerate() {
        if row.0 != before {
            before = row.0;
            let parsed = Labels::parse(before).unwrap_or_else(|_| Labels::new([("app", before)]));
            labels.push((at, parsed));
        }
    }
    let began = cpu_time();
    let mut writer = SegmentWriter::new(facts, settings.clone());
    let mut streams = labels.iter().peekable();
    for (index, (_, at, line, id)) in rows.iter().enumerate() {
        if let Some((_, labels)) = streams.next_if(|(first, _)| *first == index) {
            writer.add_stream(labels);
        }
        let metadata: &[(&str, &str)] = &id.map_or([("", ""); 1], |id| [("trace_id", id)]);
        let metadata = if id.is_some() { metadata } else { &[] };
        let level = model::Level::from_code(4);
        writer.add_row(Row { timestamp: Timestamp(*at), line, level, metadata });
    }
    let segment = writer.finish().expect("rows in order");
    (segment.bytes.to_vec(), cpu_time().saturating_sub(began))
}

/// Decodes and compares all lines; answers the time for decoding alone.
fn decode(footer: &segment::Footer, object: &[u8], rows: &Rows<'_>) -> Duration {
    let mut spent = Duration::ZERO;
    let mut expected = rows.iter();
    for block in footer.blocks() {
        let part = |range: &std::ops::Range<u64>| &object[range.start as usize..range.end as usize];
        let times = segment::decode_timestamps(block, part(&block.timestamps)).expect("times");
        let lengths = segment::decode_lengths(block, part(&block.lengths)).expect("lengths");
        let began = cpu_time();
        let lines = segment::decode_lines(block, &times, &lengths, part(&block.lines));
        spent += cpu_time().saturating_sub(began);
        for line in lines.expect("lines").iter() {
            assert_eq!(Some(line), expected.next().map(|row| row.2), "another line came back");
        }
    }
    spent
}

/// The parts of a chunk of columns.
const PARTS: [&str; 8] = ["shapes", "heads", "rows", "plain", "texts", "codes", "bits", "wide"];

/// Adds up the stored and raw bytes of the parts of a chunk of columns.
fn add_parts(chunk: &[u8], parts: &mut [[u64; 2]; 8]) {
    let mut at = 0;
    let varint = |at: &mut usize| {
        let (mut value, mut shift) = (0u64, 0);
        loop {
            let byte = chunk[*at];
            *at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return value;
            }
        }
    };
    varint(&mut at);
    for part in &mut parts[..6] {
        let head = varint(&mut at);
        let stored = if head & 1 == 1 { varint(&mut at) } else { head >> 1 };
        at += stored as usize;
        part[0] += stored;
        part[1] += head >> 1;
    }
    let bits = varint(&mut at);
    at += bits as usize;
    for (part, len) in parts[6..].iter_mut().zip([bits, (chunk.len() - at) as u64]) {
        part[0] += len;
        part[1] += len;
    }
}

/// CPU time of this process, as the kernel counts it.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let nanos = stat.split(' ').next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

#[allow(clippy::print_stdout)]
fn main() {
    let mut segments_max = usize::MAX;
    let files: Vec<String> = std::env::args().skip(1).collect();
    for file in files {
        if let Ok(most) = file.parse() {
            segments_max = most;
            continue;
        }
        let bytes = std::fs::read(&file).expect("a readable file");
        let mut segments = parse(&file, &bytes);
        segments.retain(|rows| !rows.is_empty());
        segments.truncate(segments_max);
        let lines: usize = segments.iter().map(Vec::len).sum();
        let raw: usize = segments.iter().flatten().map(|row| row.2.len() + 1).sum();
        println!("{file}: {} segments, {lines} lines, {raw} bytes", segments.len());
        for (name, line_codec, block_bytes) in [
            ("plain 1M", LineCodec::Zstd, 1 << 20),
            ("columns 1M", LineCodec::Columns, 1 << 20),
            ("columns 4M", LineCodec::Columns, 4 << 20),
        ] {
            for index in [IndexPolicy::Nothing, IndexPolicy::Tokens] {
                let zstd_level = std::env::var("ZSTD_LEVEL").ok().and_then(|n| n.parse().ok());
                let zstd_level = zstd_level.unwrap_or(1);
                let rest = EncodeSettings::default();
                let settings =
                    EncodeSettings { line_codec, block_bytes, index, zstd_level, ..rest };
                let mut spent = Duration::ZERO;
                let mut decoding = Duration::ZERO;
                let mut total = 0;
                let (mut parts, mut plain_blocks) = ([[0; 2]; 8], 0);
                let mut regions = [0u64; 5];
                for rows in &segments {
                    let (object, took) = encode(rows, &settings);
                    spent += took;
                    total += object.len();
                    let footer =
                        segment::Footer::decode(&object, object.len() as u64).expect("a footer");
                    for block in footer.blocks() {
                        let len = |range: &std::ops::Range<u64>| range.end - range.start;
                        regions[0] += len(&block.timestamps);
                        regions[1] += len(&block.lengths);
                        regions[3] += len(&block.lines);
                        if block.codec == LineCodec::Columns {
                            let range = block.lines.start as usize..block.lines.end as usize;
                            add_parts(&object[range], &mut parts);
                        } else {
                            plain_blocks += 1;
                        }
                        for column in block.metadata.iter() {
                            regions[2] += len(&column.range);
                        }
                    }
                    if std::env::var_os("VERIFY").is_some() {
                        verify(&object).expect("a sound segment");
                    }
                    decoding += decode(&footer, &object, rows);
                }
                regions[4] = total as u64 - regions.iter().sum::<u64>();
                let per_gb = spent.as_secs_f64() * 1e9 / raw as f64;
                let mb = |bytes: u64| bytes as f64 * 1e3 / raw as f64;
                println!(
                    "{name:10} {index:?}: {:.1} MB/GB ({:.2} B/line), {per_gb:.2} s/GB, {:.2} s/GB back; times {:.1} \
                     lengths {:.1} meta {:.1} lines {:.1} index and rest {:.1}",
                    mb(total as u64),
                    total as f64 / lines as f64,
                    decoding.as_secs_f64() * 1e9 / raw as f64,
                    mb(regions[0]),
                    mb(regions[1]),
                    mb(regions[2]),
                    mb(regions[3]),
                    mb(regions[4]),
                );
                if index == IndexPolicy::Nothing && line_codec == LineCodec::Columns {
                    print!("    plain blocks {plain_blocks}; stored/raw:");
                    for (name, [stored, raw]) in PARTS.iter().zip(parts) {
                        print!(" {name} {:.1}/{:.1}", mb(stored), mb(raw));
                    }
                    println!();
                }
            }
        }
    }
}
