//! The key of a logfmt line that names a level.
//!
//! Keys are taken in any case of ASCII letters. Of several that count, the one that stands first in
//! the tenant's list decides, so only the list's first name ends the scan. The scan also ends where
//! the line stops being logfmt, which most lines that merely hold a `=` do soon.

use memchr::memchr2;

use super::LevelFields;

/// The value of the best key found, without quotes and with its escapes.
pub(super) fn find<'a>(line: &'a [u8], fields: &LevelFields) -> Option<&'a [u8]> {
    let mut best: Option<(usize, &'a [u8])> = None;
    let mut scan = Scan::new(line);
    while let Some((key, value)) = scan.pair() {
        let Some(position) = fields.position_ignoring_case(key) else { continue };
        if best.is_none_or(|(found, _)| position < found) {
            best = Some((position, value));
            if position == 0 {
                break;
            }
        }
    }
    best.map(|(_, value)| value)
}

/// A cursor over the pairs of a line.
pub(super) struct Scan<'a> {
    line: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    /// A cursor at the line's first pair.
    pub(super) fn new(line: &'a [u8]) -> Self {
        Self { line, at: 0 }
    }

    /// The next key with its value, which may be empty; `None` at the end of what is logfmt.
    ///
    /// Words without `=` are jumped over: nothing but a `=` or a quote ends them.
    pub(super) fn pair(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        let words = self.at;
        self.at += memchr2(b'=', b'"', self.line.get(self.at..)?)?;
        if self.line[self.at] == b'"' {
            return None;
        }
        let before = &self.line[words..self.at];
        let start = before.iter().rposition(|byte| *byte <= b' ').map_or(0, |space| space + 1);
        let key = &before[start..];
        if key.is_empty() {
            return None;
        }
        self.at += 1;
        if self.line.get(self.at) == Some(&b'"') {
            return Some((key, self.quoted()?));
        }
        let value = self.until(|byte| byte <= b' ' || byte == b'=' || byte == b'"');
        match self.line.get(self.at) {
            Some(b'=' | b'"') => None,
            _ => Some((key, value)),
        }
    }

    #[inline]
    fn until(&mut self, ends: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = &self.line[self.at..];
        let len = rest.iter().position(|byte| ends(*byte)).unwrap_or(rest.len());
        self.at += len;
        &rest[..len]
    }

    fn quoted(&mut self) -> Option<&'a [u8]> {
        self.at += 1;
        let start = self.at;
        loop {
            self.at += memchr2(b'"', b'\\', self.line.get(self.at..)?)?;
            if self.line[self.at] == b'"' {
                self.at += 1;
                return Some(&self.line[start..self.at - 1]);
            }
            self.at += 2;
        }
    }
}
