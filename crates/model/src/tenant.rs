//! The unit of isolation.

use std::fmt;
use std::sync::Arc;

/// Longest tenant name, in bytes.
pub const TENANT_BYTES_MAX: usize = 150;

/// The name of a tenant, checked when built.
///
/// Names hold `A-Z a-z 0-9 ! - _ . * ' ( )`, at most [`TENANT_BYTES_MAX`] bytes, and are neither
/// `.` nor `..`, because they become part of object paths.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantId(Arc<str>);

/// Why a tenant name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TenantError {
    /// No name was given; send `X-Scope-OrgID`.
    #[error("no org id")]
    Missing,
    /// The name holds a character outside the allowed set.
    #[error("tenant ID '{tenant}' contains unsupported character '{character}'")]
    UnsupportedCharacter {
        /// The refused name.
        tenant: String,
        /// The first character that is not allowed.
        character: char,
    },
    /// The name is longer than [`TENANT_BYTES_MAX`].
    #[error("tenant ID is too long: max {TENANT_BYTES_MAX} characters")]
    TooLong,
    /// The name is `.` or `..`, which would escape its directory.
    #[error("tenant ID is '.' or '..'")]
    UnsafePath,
}

impl TenantId {
    /// Checks and keeps a tenant name.
    ///
    /// # Errors
    ///
    /// Any [`TenantError`]: answer 400 (401 when missing), the caller must send another name.
    pub fn new(name: &str) -> Result<Self, TenantError> {
        if name.is_empty() {
            return Err(TenantError::Missing);
        }
        if name == "." || name == ".." {
            return Err(TenantError::UnsafePath);
        }
        if let Some(character) = name.chars().find(|c| !is_allowed(*c)) {
            return Err(TenantError::UnsupportedCharacter { tenant: name.to_owned(), character });
        }
        if name.len() > TENANT_BYTES_MAX {
            return Err(TenantError::TooLong);
        }
        Ok(Self(name.into()))
    }

    /// The tenant used when authentication is off: `fake`, as in Loki.
    #[must_use]
    pub fn anonymous() -> Self {
        Self("fake".into())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_allowed(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '!' | '-' | '_' | '.' | '*' | '\'' | '(' | ')')
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TenantId({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        assert!(TenantId::new("team-a_1!*'().").is_ok());
        assert_eq!(TenantId::new(""), Err(TenantError::Missing));
        assert_eq!(TenantId::new(".."), Err(TenantError::UnsafePath));
        assert_eq!(TenantId::new(&"x".repeat(151)), Err(TenantError::TooLong));
        assert!(matches!(
            TenantId::new("a/b"),
            Err(TenantError::UnsupportedCharacter { character: '/', .. })
        ));
    }
}
