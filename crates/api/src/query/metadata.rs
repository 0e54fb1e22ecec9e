//! Answers about labels, series and sizes. Volumes are ordinary vectors and matrices.

use model::Labels;

use super::json::{write_array, write_object, write_string, write_unsigned};

/// Writes label names or label values. Without any, the key `data` is left out, as Loki does.
pub fn write_label_list<'a>(names: impl IntoIterator<Item = &'a str>, out: &mut Vec<u8>) {
    let mut names = names.into_iter().peekable();
    out.extend_from_slice(b"{\"status\":\"success\"");
    if names.peek().is_some() {
        out.extend_from_slice(b",\"data\":");
        write_array(names, out, write_string);
    }
    out.push(b'}');
}

/// Writes label sets, each an object.
pub fn write_label_sets<'a>(sets: impl IntoIterator<Item = &'a Labels>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"status\":\"success\",\"data\":");
    write_array(sets, out, |labels, out| write_object(labels.iter(), out));
    out.push(b'}');
}

/// How much an index holds for a selector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IndexStats {
    /// Streams.
    pub streams: u64,
    /// Blocks, which stand in for Loki's chunks.
    pub chunks: u64,
    /// Bytes of lines.
    pub bytes: u64,
    /// Entries.
    pub entries: u64,
}

/// Writes `index/stats`, which has no envelope.
pub fn write_index_stats(stats: &IndexStats, out: &mut Vec<u8>) {
    let fields = [
        ("{\"streams\":", stats.streams),
        (",\"chunks\":", stats.chunks),
        (",\"bytes\":", stats.bytes),
        (",\"entries\":", stats.entries),
    ];
    for (key, number) in fields {
        out.extend_from_slice(key.as_bytes());
        write_unsigned(number, out);
    }
    out.push(b'}');
}
