//! The body of a refusal: `google.rpc.Status` in protobuf.

use crate::varint;

/// Encodes a status that says `message` and nothing else: its field 2.
#[must_use]
pub fn encode_status(message: &str) -> Vec<u8> {
    let mut body = Vec::with_capacity(message.len() + 6);
    if !message.is_empty() {
        body.push(2 << 3 | 2);
        varint::put(&mut body, message.len() as u64);
        body.extend_from_slice(message.as_bytes());
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_its_message() {
        assert_eq!(encode_status("no"), [0x12, 2, b'n', b'o']);
        assert_eq!(encode_status(""), [0u8; 0]);
    }
}
