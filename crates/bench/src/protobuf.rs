//! The bytes of a push request, as an agent would send them.

/// Collects entries of one stream.
#[derive(Debug, Default)]
pub struct StreamBody {
    entries: Vec<u8>,
}

impl StreamBody {
    /// Adds an entry, with a trace id as structured metadata where one is given.
    pub fn push(&mut self, nanos: i64, line: &[u8], trace_id: Option<&str>) {
        let mut timestamp = vec![8];
        varint(nanos.div_euclid(1_000_000_000).unsigned_abs(), &mut timestamp);
        timestamp.push(16);
        varint(nanos.rem_euclid(1_000_000_000).unsigned_abs(), &mut timestamp);
        let mut entry = Vec::with_capacity(line.len() + 40);
        field(1, &timestamp, &mut entry);
        field(2, line, &mut entry);
        if let Some(trace_id) = trace_id {
            let mut pair = Vec::new();
            field(1, b"trace_id", &mut pair);
            field(2, trace_id.as_bytes(), &mut pair);
            field(3, &pair, &mut entry);
        }
        field(2, &entry, &mut self.entries);
    }

    /// Whether no entry was added since the last [`StreamBody::take`].
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Appends the stream to a request and forgets its entries.
    pub fn take(&mut self, labels: &str, request: &mut Vec<u8>) {
        let mut stream = Vec::with_capacity(self.entries.len() + labels.len() + 8);
        field(1, labels.as_bytes(), &mut stream);
        stream.append(&mut self.entries);
        field(1, &stream, request);
    }
}

fn field(number: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(number << 3 | 2);
    varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
