//! Keys of pieces, and values that carry their key.

use bytes::Bytes;
use logql::request::QueryRequest;
use model::TenantId;
use prost::Message as _;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::wire::QueryMessage;

/// Changes when kept answers of earlier releases must not be used any more.
const GENERATION: u8 = 1;

/// Everything that an answer depends on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CacheKey {
    bytes: Bytes,
    name: String,
}

impl CacheKey {
    /// The key of a piece whose rows have a version. `split_ns` is the tenant's splitting interval,
    /// at whose multiples the interval between entries begins anew.
    #[must_use]
    pub fn of(tenants: &[TenantId], query: &QueryRequest, split_ns: i64, version: u64) -> Self {
        // Who asks, and with which tags, changes nothing.
        let query = QueryRequest { tags: Default::default(), ..query.clone() };
        let mut bytes = vec![GENERATION];
        for tenant in tenants {
            bytes.extend_from_slice(tenant.as_str().as_bytes());
            bytes.push(b'|');
        }
        bytes.extend_from_slice(&split_ns.to_le_bytes());
        bytes.extend_from_slice(&version.to_le_bytes());
        bytes.extend_from_slice(&QueryMessage::of(&query).encode_to_vec());
        let name = format!("sigyn:{:032x}", xxh3_128(&bytes));
        Self { bytes: bytes.into(), name }
    }

    /// A short name that hardly any two keys share: 38 letters that every cache allows.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// A value with its key and a checksum.
pub(crate) fn pack(key: &CacheKey, value: &[u8]) -> Bytes {
    let mut bytes = Vec::with_capacity(12 + key.bytes.len() + value.len());
    bytes.extend_from_slice(&[0; 8]);
    bytes.extend_from_slice(&(key.bytes.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&key.bytes);
    bytes.extend_from_slice(value);
    let checksum = xxh3_64(&bytes[8..]);
    bytes[..8].copy_from_slice(&checksum.to_le_bytes());
    bytes.into()
}

/// The value that was packed for a key; `None` when the bytes are something else.
pub(crate) fn unpack(key: &CacheKey, bytes: &Bytes) -> Option<Bytes> {
    let (checksum, rest) = bytes.split_first_chunk::<8>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length) as usize;
    let is_whole = u64::from_le_bytes(*checksum) == xxh3_64(bytes.get(8..)?);
    let is_own = rest.get(..length)? == &*key.bytes;
    (is_whole && is_own).then(|| bytes.slice(12 + length..))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{query, tenant};

    #[test]
    fn keys_tell_apart_what_answers_depend_on() {
        let of = |name: &str, text: &str, split, version| {
            CacheKey::of(&[tenant(name)], &query(text), split, version)
        };
        let key = of("a", "{a=\"b\"}", 1, 2);
        assert_eq!(key, of("a", "{a=\"b\"}", 1, 2));
        for other in [
            of("b", "{a=\"b\"}", 1, 2),
            of("a", "{a=\"c\"}", 1, 2),
            of("a", "{a=\"b\"}", 2, 2),
            of("a", "{a=\"b\"}", 1, 3),
        ] {
            assert_ne!(key.name(), other.name());
        }
        let mut tagged = query("{a=\"b\"}");
        tagged.tags.insert("panel".to_owned(), "7".to_owned());
        assert_eq!(key, CacheKey::of(&[tenant("a")], &tagged, 1, 2));
        assert_eq!(key.name().len(), 38);
    }

    #[test]
    fn values_of_other_keys_are_not_taken() {
        let key = |text| CacheKey::of(&[tenant("a")], &query(text), 0, 0);
        let packed = pack(&key("one"), b"value");
        assert_eq!(unpack(&key("one"), &packed).as_deref(), Some(&b"value"[..]));
        assert_eq!(unpack(&key("two"), &packed), None);
        for at in 0..packed.len() {
            let mut damaged = packed.to_vec();
            damaged[at] ^= 1;
            assert_eq!(unpack(&key("one"), &damaged.into()), None, "byte {at}");
            assert_eq!(unpack(&key("one"), &packed.slice(..at)), None, "{at} bytes");
        }
    }
}
