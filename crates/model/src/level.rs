//! The severity of an entry, discovered when it is pushed.

/// The known values of the structured metadata `detected_level`, with their one-byte codes.
///
/// Code 0 is kept for "no level discovered". Codes are part of stored formats and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Level {
    /// Nothing in the entry names a level.
    Unknown = 1,
    /// `trace`
    Trace = 2,
    /// `debug`
    Debug = 3,
    /// `info`
    Info = 4,
    /// `warn`
    Warn = 5,
    /// `error`
    Error = 6,
    /// `critical`
    Critical = 7,
    /// `fatal`
    Fatal = 8,
}

/// The name under which a level is kept as structured metadata.
pub const LEVEL_NAME: &str = "detected_level";

impl Level {
    /// Every level, by code.
    pub const ALL: [Self; 8] = [
        Self::Unknown,
        Self::Trace,
        Self::Debug,
        Self::Info,
        Self::Warn,
        Self::Error,
        Self::Critical,
        Self::Fatal,
    ];

    /// The level's text, as stored and returned.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Critical => "critical",
            Self::Fatal => "fatal",
        }
    }

    /// The level with exactly this text.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.as_str() == name)
    }

    /// The one-byte code, 1 to 8.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The level of a code; `None` for 0 and for codes no level has.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.code() == code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_codes_round_trip() {
        for level in Level::ALL {
            assert_eq!(Level::from_code(level.code()), Some(level));
            assert_eq!(Level::from_name(level.as_str()), Some(level));
        }
        assert_eq!(Level::from_code(0), None);
        assert_eq!(Level::from_code(9), None);
    }
}
