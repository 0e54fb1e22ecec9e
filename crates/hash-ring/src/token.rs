//! Places on the circle of 2^32: of a stream, and of an instance.

mod spread;

use std::collections::HashSet;

use model::{Fingerprint, TenantId};
use runtime::random::Random;

pub use spread::{SPREAD_TOKENS, ZONES_MAX, spread_tokens};

/// How many draws may hit a taken token for each token wanted, before fewer are returned.
const DRAWS_PER_TOKEN: usize = 64;

const FNV_OFFSET: u32 = 0x811c_9dc5;
const FNV_PRIME: u32 = 0x0100_0193;

/// Where a stream lies on the circle: FNV-1 with 32 bits over the tenant's name and the
/// fingerprint's bytes, most significant first. The same in every process and version.
#[must_use]
pub fn token_of(tenant: &TenantId, fingerprint: Fingerprint) -> u32 {
    let bytes = tenant.as_str().bytes().chain(fingerprint.0.to_be_bytes());
    bytes.fold(FNV_OFFSET, |hash, byte| hash.wrapping_mul(FNV_PRIME) ^ u32::from(byte))
}

/// `count` different random tokens that are not in `taken`, in ascending order.
///
/// Fewer only when nearly the whole circle is taken.
#[must_use]
pub fn random_tokens(count: usize, taken: &HashSet<u32>, random: &dyn Random) -> Vec<u32> {
    let mut tokens = HashSet::with_capacity(count);
    for _ in 0..count.saturating_mul(DRAWS_PER_TOKEN) {
        if tokens.len() == count {
            break;
        }
        // The upper half of the draw: every generator's best bits.
        let token = (random.next_u64() >> 32) as u32;
        if !taken.contains(&token) {
            tokens.insert(token);
        }
    }
    let mut tokens: Vec<u32> = tokens.into_iter().collect();
    tokens.sort_unstable();
    tokens
}

#[cfg(test)]
mod tests {
    use runtime::random::SeededRandom;

    use super::*;

    #[test]
    fn a_streams_token_never_changes() {
        let tenant = TenantId::new("tenant-a").unwrap();
        // FNV-1 of "tenant-a" and eight bytes, computed by hand from the definition.
        assert_eq!(token_of(&tenant, Fingerprint(0)), 0x2149_f587);
        let other = TenantId::new("tenant-b").unwrap();
        assert_ne!(token_of(&tenant, Fingerprint(7)), token_of(&other, Fingerprint(7)));
    }

    #[test]
    fn random_tokens_are_new_and_sorted() {
        let random = SeededRandom::new(11);
        let first = random_tokens(128, &HashSet::new(), &random);
        let taken: HashSet<u32> = first.iter().copied().collect();
        let second = random_tokens(128, &taken, &random);
        assert_eq!((first.len(), second.len()), (128, 128));
        assert!(second.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(second.iter().all(|token| !taken.contains(token)));
    }

    #[test]
    fn a_stuck_generator_ends() {
        struct Stuck;
        impl Random for Stuck {
            fn next_u64(&self) -> u64 {
                7 << 32
            }
        }
        assert_eq!(random_tokens(4, &HashSet::new(), &Stuck), vec![7]);
        assert!(random_tokens(4, &HashSet::from([7]), &Stuck).is_empty());
    }
}
