//! Lines as programs write them. A fixture holds them: they never change.

/// A number sequence that looks random and is the same every time.
pub fn scrambled(n: u64) -> u64 {
    (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

/// Lines of several programs, one kind per hundred.
pub fn programs(count: u64) -> Vec<Vec<u8>> {
    (0..count).map(|n| program_line(n).into_bytes()).collect()
}

fn program_line(n: u64) -> String {
    let id = scrambled(n);
    let (second, minute) = (n % 60, n / 60 % 60);
    match n / 100 % 7 {
        0 => format!(
            r#"{{"time":"2024-04-16T15:{minute:02}:{second:02}Z","level":"{}","id":"{id:016x}","status":{},"latency_s":{}.{:03}}}"#,
            ["info", "warn", "error"][n as usize % 3],
            200 + n % 5,
            id % 3,
            id % 1000,
        ),
        1 => format!(
            "ts=2024-04-16T15:{minute:02}:{second:02}.{:09}Z caller=http.go:{} level=debug traceID={id:032x} msg=\"POST /push ({}) {}ms\"",
            id % 1_000_000_000,
            id % 300,
            200 + n % 9,
            id % 70
        ),
        2 => format!(
            "081109 20{:04} {} INFO dfs.DataNode: block blk_{} of 10.251.{}.{}:50010",
            n % 10_000,
            id % 90,
            id as i64,
            id % 256,
            n % 256
        ),
        3 => format!(
            "I0507 12:{minute:02}:{second:02}.{:06}       1 node.go:{}] \"no rule\" pod=\"gel/gel-{}\"",
            id % 1_000_000,
            id % 500,
            n % 7
        ),
        4 => format!(
            "[{}] {:08X} 0x{:x} {:08x}-{:04x}-4{:03x}-8000-{:012x} done in {}.{}s",
            n,
            id >> 32,
            id % 4096,
            id >> 32,
            n & 0xffff,
            n & 0xfff,
            id >> 16,
            n % 9,
            id % 7
        ),
        5 => "the same every time 42".to_owned(),
        _ => format!("{:019} {:04} {}", id >> 1, id % 10_000, id),
    }
}
