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
