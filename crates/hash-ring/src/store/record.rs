//! The bytes of an instance's record. `docs/format/ring-record.md` has the table.

use std::sync::Arc;

use model::Timestamp;

use crate::instance::{Instance, State};

/// The first byte of every record.
const VERSION: u8 = 1;

/// More tokens than this no instance has.
const TOKENS_MAX: usize = 1 << 16;

const READ_ONLY: u8 = 1;

/// The bytes are no record, or one of a later version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a ring record: {0}")]
pub(super) struct RecordError(&'static str);

/// The record of an instance.
pub(super) fn encode(instance: &Instance) -> Vec<u8> {
    let flags = if instance.is_read_only() { READ_ONLY } else { 0 };
    let state = State::ALL.iter().position(|state| *state == instance.state).unwrap_or_default();
    let mut bytes = vec![VERSION, state as u8, flags];
    bytes.extend(instance.heartbeat.0.to_le_bytes());
    bytes.extend(instance.registered.0.to_le_bytes());
    if let Some(since) = instance.read_only_since {
        bytes.extend(since.0.to_le_bytes());
    }
    for text in [&instance.id, &instance.address, &instance.zone] {
        // Names and addresses are far shorter; what is beyond is cut rather than misread.
        let end = (0..=text.len().min(usize::from(u16::MAX)))
            .rev()
            .find(|end| text.is_char_boundary(*end))
            .unwrap_or_default();
        bytes.extend((end as u16).to_le_bytes());
        bytes.extend(&text.as_bytes()[..end]);
    }
    let tokens = &instance.tokens[..instance.tokens.len().min(TOKENS_MAX)];
    bytes.extend((tokens.len() as u32).to_le_bytes());
    bytes.extend(tokens.iter().flat_map(|token| token.to_le_bytes()));
    bytes
}

/// The instance of a record.
pub(super) fn decode(bytes: &[u8]) -> Result<Instance, RecordError> {
    let mut rest = bytes;
    let [version, state, flags] = take(&mut rest)?;
    if version != VERSION {
        return Err(RecordError("unknown version"));
    }
    let state = *State::ALL.get(usize::from(state)).ok_or(RecordError("unknown state"))?;
    let heartbeat = Timestamp(i64::from_le_bytes(take(&mut rest)?));
    let registered = Timestamp(i64::from_le_bytes(take(&mut rest)?));
    let read_only_since = match flags & READ_ONLY {
        0 => None,
        _ => Some(Timestamp(i64::from_le_bytes(take(&mut rest)?))),
    };
    let (id, address, zone) = (text(&mut rest)?, text(&mut rest)?, text(&mut rest)?);
    let count = u32::from_le_bytes(take(&mut rest)?) as usize;
    if count > TOKENS_MAX || rest.len() != count * 4 {
        return Err(RecordError("wrong number of tokens"));
    }
    let (tokens, _) = rest.as_chunks::<4>();
    let tokens: Arc<[u32]> = tokens.iter().map(|token| u32::from_le_bytes(*token)).collect();
    if !tokens.is_sorted() {
        return Err(RecordError("tokens out of order"));
    }
    Ok(Instance { id, address, zone, state, tokens, heartbeat, registered, read_only_since })
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], RecordError> {
    let (first, others) = rest.split_first_chunk().ok_or(RecordError("too short"))?;
    *rest = others;
    Ok(*first)
}

fn text(rest: &mut &[u8]) -> Result<Arc<str>, RecordError> {
    let length = usize::from(u16::from_le_bytes(take(rest)?));
    let (bytes, others) = rest.split_at_checked(length).ok_or(RecordError("too short"))?;
    *rest = others;
    std::str::from_utf8(bytes).map(Arc::from).map_err(|_| RecordError("not UTF-8"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn instance() -> Instance {
        Instance {
            id: "ingester-0".into(),
            address: "10.0.0.1:9095".into(),
            zone: "a".into(),
            state: State::Leaving,
            tokens: [1, 0x0102_0304].into(),
            heartbeat: Timestamp(0x11),
            registered: Timestamp(-1),
            read_only_since: Some(Timestamp(0x22)),
        }
    }

    /// Version 1 as it was first written; it stays readable.
    const VERSION_1: &[u8] = b"\x01\x01\x01\x11\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\
        \x22\0\0\0\0\0\0\0\x0a\0ingester-0\x0d\x0010.0.0.1:9095\x01\0a\x02\0\0\0\
        \x01\0\0\0\x04\x03\x02\x01";

    #[test]
    fn released_bytes_stay_readable() {
        assert_eq!(encode(&instance()), VERSION_1);
        assert_eq!(decode(VERSION_1), Ok(instance()));
    }

    #[test]
    fn every_state_survives() {
        for state in State::ALL {
            let instance = Instance { state, read_only_since: None, ..instance() };
            assert_eq!(decode(&encode(&instance)), Ok(instance));
        }
    }

    #[test]
    fn damage_is_noticed() {
        for length in 0..VERSION_1.len() {
            assert!(decode(&VERSION_1[..length]).is_err(), "{length}");
        }
        let mut later = VERSION_1.to_vec();
        later[0] = 2;
        assert_eq!(decode(&later), Err(RecordError("unknown version")));
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
            let mut changed = VERSION_1.to_vec();
            for (at, byte) in bytes.iter().enumerate().take(3) {
                let at = (at * 31 + usize::from(*byte)) % changed.len();
                changed[at] ^= byte;
            }
            let _ = decode(&changed);
        }
    }
}
