//! What a caller does about an error.

/// The seven kinds of failure. Each crate's error answers its kind, and HTTP and gRPC codes are
/// derived from the kind in one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request is wrong; sending it again cannot help. HTTP 400.
    Invalid,
    /// What was asked for does not exist. HTTP 404.
    NotFound,
    /// Somebody else changed it first; read again and decide anew. HTTP 409.
    Conflict,
    /// A limit of the tenant was reached; slow down or ask for a higher one. HTTP 429.
    LimitExceeded,
    /// Not now (starting, stopping, full, cut off); retry after a while. HTTP 503.
    Unavailable,
    /// Stored bytes are damaged; a person must look. HTTP 500.
    Corrupt,
    /// A fault of ours. HTTP 500.
    Internal,
}

const KINDS: [ErrorKind; 7] = [
    ErrorKind::Invalid,
    ErrorKind::NotFound,
    ErrorKind::Conflict,
    ErrorKind::LimitExceeded,
    ErrorKind::Unavailable,
    ErrorKind::Corrupt,
    ErrorKind::Internal,
];

impl ErrorKind {
    /// Its number where processes tell each other of errors; a part of those protocols. Never 0.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Invalid => 1,
            Self::NotFound => 2,
            Self::Conflict => 3,
            Self::LimitExceeded => 4,
            Self::Unavailable => 5,
            Self::Corrupt => 6,
            Self::Internal => 7,
        }
    }

    /// The kind with a [`code`](Self::code); `None` for one of a later version.
    #[must_use]
    pub fn from_code(code: u32) -> Option<Self> {
        KINDS.into_iter().find(|kind| u32::from(kind.code()) == code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_code_of_its_own() {
        for kind in KINDS {
            assert_eq!(ErrorKind::from_code(kind.code().into()), Some(kind));
        }
        assert_eq!(ErrorKind::from_code(0), None);
        assert_eq!(ErrorKind::from_code(256 + 1), None);
    }
}
