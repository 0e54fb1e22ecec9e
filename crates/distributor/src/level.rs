//! Discovery of the level of an entry.
//!
//! Runs on every line, so it reads as little as it can: the stream's labels are looked at once per
//! stream, a JSON or logfmt line until the first key that names a level, any other line in one
//! sweep. Nothing is copied and nothing is lower-cased.
//!
//! A level is looked for in this order, and the first place that has one decides:
//!
//! 1. structured metadata `detected_level`, set by the client;
//! 2. stream labels, then structured metadata, by the tenant's list of names;
//! 3. structured metadata `severity_number`, as OTLP numbers it;
//! 4. the line: the tenant's names as keys of JSON or logfmt, then words such as `ERROR`.

use std::borrow::Cow;

use model::{Labels, Level};

mod json;
mod keyword;
mod logfmt;
#[cfg(test)]
mod tests;

/// The metadata that OTLP's severity number is kept as.
const SEVERITY_NUMBER: &str = "severity_number";

/// A level, or the client's own word where it is none of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found<'a> {
    /// One of the known levels.
    Level(Level),
    /// A value of a label or of metadata that stands for no known level; kept as it is.
    Other(Cow<'a, str>),
}

impl<'a> Found<'a> {
    /// What a value of a label or of metadata says.
    pub(crate) fn of_value(value: &'a str) -> Self {
        match word_level(value.as_bytes()).or_else(|| Level::from_name(value)) {
            Some(level) => Self::Level(level),
            None => Self::Other(Cow::Borrowed(value)),
        }
    }

    /// The same without a borrow.
    pub(crate) fn into_owned(self) -> Found<'static> {
        match self {
            Self::Level(level) => Found::Level(level),
            Self::Other(value) => Found::Other(Cow::Owned(value.into_owned())),
        }
    }

    /// The same for a shorter time.
    pub(crate) fn borrowed(&self) -> Found<'_> {
        match self {
            Self::Level(level) => Found::Level(*level),
            Self::Other(value) => Found::Other(Cow::Borrowed(value)),
        }
    }
}

/// The names under which a tenant's entries carry a level.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct LevelFields {
    /// Best first.
    names: Vec<Box<str>>,
    /// Bit `n` is set when a name is `n` bytes long; bit 63 stands for all longer ones.
    lengths: u64,
    /// How many levels of objects of a JSON line are searched; 0 searches all.
    json_depth_max: u32,
}

impl LevelFields {
    /// Takes the tenant's list, best name first.
    pub(crate) fn new(names: &[String], json_depth_max: u32) -> Self {
        let lengths = names.iter().fold(0, |bits, name| bits | 1 << name.len().min(63));
        let names = names.iter().map(|name| name.as_str().into()).collect();
        Self { names, lengths, json_depth_max }
    }

    /// Whether some name is as long as this; false for nearly every key.
    #[inline]
    fn may_hold(&self, key: &[u8]) -> bool {
        self.lengths >> key.len().min(63) & 1 == 1
    }

    /// Whether a key is exactly one of the names.
    fn holds(&self, key: &[u8]) -> bool {
        self.may_hold(key) && self.names.iter().any(|name| name.as_bytes() == key)
    }

    /// The place in the list of a key, in any case of ASCII letters.
    fn position_ignoring_case(&self, key: &[u8]) -> Option<usize> {
        if !self.may_hold(key) {
            return None;
        }
        self.names.iter().position(|name| name.as_bytes().eq_ignore_ascii_case(key))
    }

    /// The level that a stream's labels carry.
    pub(crate) fn of_labels<'a>(&self, labels: &'a Labels) -> Option<Found<'a>> {
        self.names.iter().find_map(|name| labels.get(name)).map(Found::of_value)
    }

    /// The level that structured metadata carries, under one of the names or as a number.
    pub(crate) fn of_metadata<'a>(
        &self,
        metadata: &'a [(Cow<'_, str>, Cow<'_, str>)],
    ) -> Option<Found<'a>> {
        let place = |name: &str| {
            let may_hold = self.may_hold(name.as_bytes());
            may_hold.then(|| self.names.iter().position(|known| **known == *name)).flatten()
        };
        let named = metadata.iter().filter_map(|(name, value)| Some((place(name)?, value)));
        if let Some((_, value)) = named.min_by_key(|(place, _)| *place) {
            return Some(Found::of_value(value));
        }
        let number = metadata.iter().find(|(name, _)| name == SEVERITY_NUMBER);
        number.map(|(_, number)| Found::Level(severity_level(number)))
    }

    /// The level that a line tells; unknown when it tells none.
    pub(crate) fn of_line(&self, line: &[u8]) -> Level {
        let value = if is_json_object(line) {
            json::find(line, self)
        } else if memchr::memchr(b'=', line).is_some() {
            logfmt::find(line, self)
        } else {
            None
        };
        value.and_then(word_level).or_else(|| keyword::find(line)).unwrap_or(Level::Unknown)
    }
}

/// Gives every key and value of a line to `take`, as far as the line is logfmt.
pub(crate) fn logfmt_pairs(line: &[u8], mut take: impl FnMut(&[u8], &[u8])) {
    let mut scan = logfmt::Scan::new(line);
    while let Some((key, value)) = scan.pair() {
        take(key, value);
    }
}

/// The level that a value stands for, in any case of ASCII letters.
fn word_level(word: &[u8]) -> Option<Level> {
    let is = |known: &[&str]| known.iter().any(|k| k.as_bytes().eq_ignore_ascii_case(word));
    let level = match word.first()? | 0x20 {
        b't' if is(&["trace", "trc"]) => Level::Trace,
        b'd' if is(&["debug", "dbg"]) => Level::Debug,
        b'i' if is(&["info", "inf", "information"]) => Level::Info,
        b'w' if is(&["warn", "wrn", "warning"]) => Level::Warn,
        b'e' if is(&["error", "err"]) => Level::Error,
        b'c' if is(&["critical"]) => Level::Critical,
        b'f' if is(&["fatal"]) => Level::Fatal,
        _ => return None,
    };
    Some(level)
}

/// The level of an OTLP severity number; what is no number counts as info.
fn severity_level(number: &str) -> Level {
    match number.parse::<i64>() {
        Err(_) => Level::Info,
        Ok(0) => Level::Unknown,
        Ok(..=4) => Level::Trace,
        Ok(..=8) => Level::Debug,
        Ok(..=12) => Level::Info,
        Ok(..=16) => Level::Warn,
        Ok(..=20) => Level::Error,
        Ok(..=24) => Level::Fatal,
        Ok(_) => Level::Unknown,
    }
}

/// Whether a line looks like a JSON object, by its ends.
fn is_json_object(line: &[u8]) -> bool {
    let is_space = |byte: &&u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let first = line.iter().find(|byte| !is_space(byte));
    first == Some(&b'{') && line.iter().rev().find(|byte| !is_space(byte)) == Some(&b'}')
}
