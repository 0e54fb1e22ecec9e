//! The rows of the fixture: some of everything the format distinguishes.

use model::{Labels, Level};
use segment::{Coverage, EncodeSettings, LineCodec};

use crate::rows::{InputRow, Streams, sorted};

pub const PARENTS: [u128; 2] = [7, u128::MAX - 1];

/// The order of streams that was the default until version 1.1.
pub fn in_old_order() -> EncodeSettings {
    let sort_labels = ["cluster", "namespace", "app|job|service_name"].map(str::to_owned).to_vec();
    EncodeSettings { sort_labels, ..EncodeSettings::default() }
}

pub fn settings() -> EncodeSettings {
    EncodeSettings {
        block_rows: 160,
        block_bytes: 60_000,
        line_codec: LineCodec::Zstd,
        ..in_old_order()
    }
}

pub fn coverage() -> Coverage {
    Coverage {
        ingester: "ingester-1".to_owned(),
        first_position: 5,
        last_position: 99,
        part: 1,
        parts: 2,
    }
}

/// A number sequence that looks random and is the same every time.
fn scrambled(n: u64) -> u64 {
    (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

pub fn streams() -> Streams {
    let apps = ["checkout", "kubelet", "größe"];
    let mut streams: Streams = (0..3u64)
        .map(|app| {
            let labels = Labels::new([
                ("app", apps[app as usize].to_owned()),
                ("namespace", format!("ns-{}", app % 2)),
                ("pod", format!("pod-{app}")),
            ]);
            let rows = (0..500).map(|row| input_row(apps[app as usize], app, row)).collect();
            (labels, rows)
        })
        .collect();
    streams.extend((0..50u64).map(|n| {
        let labels = Labels::new([("job", "thin".to_owned()), ("instance", n.to_string())]);
        let rows = (0..n % 4).map(|row| input_row("thin", 9 + n, row)).collect();
        (labels, rows)
    }));
    let odd = [&b""[..], b"\n", b"two\nlines\r\n", b"\xff\xfe not UTF-8 \x00", b""];
    let odd = odd.iter().map(|line| InputRow::new(1_699_999_999_999_999_990, line)).collect();
    streams.push((Labels::default(), odd));
    sorted(streams, &settings())
}

fn input_row(app: &str, stream: u64, row: u64) -> InputRow {
    let id = scrambled(stream << 32 | row);
    // One stream ticks evenly, one grows apart, the others come in bursts of whole milliseconds.
    let step = match stream {
        0 => row * 15_000_000_000,
        1 => row * row * 1_000,
        _ => (row * 7 + row / 10 * 60_000) * 1_000_000,
    };
    let mut metadata = vec![("trace_id".to_owned(), format!("{id:016x}{:016x}", scrambled(id)))];
    match row % 16 {
        0 => metadata.clear(),
        1 => metadata.push(("user".to_owned(), format!("u{}", row % 5))),
        2 => metadata.push(("status".to_owned(), format!("{}", 200 + row % 7))),
        3 => metadata.push(("MAC".to_owned(), format!("{:012X}", id >> 16))),
        4 => metadata.push((
            "request_uuid".to_owned(),
            format!("{:08x}-1111-4222-8333-{:012x}", id >> 32, id & 0xffff_ffff_ffff),
        )),
        5 if stream == 2 => metadata.push(("detected_level".to_owned(), "verbose".to_owned())),
        _ => {}
    }
    InputRow {
        at: 1_700_000_000_000_000_000 + step as i64,
        line: format!("{app} request {id:016x} took {}ms", id % 900).into_bytes(),
        level: Level::from_code((id % 10) as u8),
        metadata,
    }
}
