//! What `xtask/codegen` makes of the `.proto` files.

#[rustfmt::skip]
pub(crate) mod health;
#[rustfmt::skip]
pub(crate) mod index;
#[rustfmt::skip]
pub(crate) mod ingester;
#[rustfmt::skip]
pub(crate) mod scheduler;

#[cfg(test)]
mod tests {
    /// As in `xtask/codegen`.
    fn fnv(bytes: &[u8]) -> u64 {
        bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        })
    }

    fn check(source: &str, code: &str) {
        let hash = format!("{:016x}", fnv(source.as_bytes()));
        let noted = code.lines().find_map(|line| line.strip_prefix("//! Hash of the source: "));
        assert_eq!(
            noted,
            Some(&*hash),
            "run: cargo run --manifest-path xtask/codegen/Cargo.toml"
        );
    }

    #[test]
    fn the_generated_code_is_fresh() {
        check(include_str!("../proto/sigyn/ingester.proto"), include_str!("generated/ingester.rs"));
        check(include_str!("../proto/sigyn/index.proto"), include_str!("generated/index.rs"));
        check(
            include_str!("../proto/sigyn/scheduler.proto"),
            include_str!("generated/scheduler.rs"),
        );
        check(include_str!("../proto/grpc/health.proto"), include_str!("generated/health.rs"));
    }
}
