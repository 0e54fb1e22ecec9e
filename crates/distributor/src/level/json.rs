//! The first key of a JSON line that names a level.
//!
//! Walks in document order and stops at the first key of the list, exact in case, whose value is a
//! string; objects are entered down to the tenant's depth, arrays are stepped over. What is not
//! JSON ends the walk without a finding. Strings are short here, so their ends are searched eight
//! bytes at a time.

use super::LevelFields;

/// The value of the first key that counts, without its quotes and with its escapes.
pub(super) fn find<'a>(line: &'a [u8], fields: &LevelFields) -> Option<&'a [u8]> {
    let mut walk = Walk { line, at: 0 };
    let mut depth = 0u32;
    loop {
        // The cursor stands before an object or, behind one, before its sibling.
        if depth == 0 || walk.peek()? == b'{' {
            walk.eat(b'{')?;
            depth += 1;
            if walk.peek()? != b'}' {
                if let Some(value) = walk.members(fields, depth)? {
                    return Some(value);
                }
                if walk.peek()? == b'{' {
                    continue;
                }
            }
        }
        // Objects end until one has another member.
        loop {
            walk.eat(b'}')?;
            depth -= 1;
            if depth == 0 {
                return None;
            }
            if walk.peek()? == b',' {
                walk.at += 1;
                if let Some(value) = walk.members(fields, depth)? {
                    return Some(value);
                }
                if walk.peek()? == b'{' {
                    break;
                }
            }
        }
    }
}

/// A cursor over a line. `None` stands for "this is not JSON".
struct Walk<'a> {
    line: &'a [u8],
    at: usize,
}

impl<'a> Walk<'a> {
    /// Reads members until a finding, an object to enter (the cursor stops before it), or the end
    /// of the object (the cursor stops before its brace).
    fn members(&mut self, fields: &LevelFields, depth: u32) -> Option<Option<&'a [u8]>> {
        loop {
            self.eat(b'"')?;
            let key = self.string()?;
            self.eat(b':')?;
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    let value = self.string()?;
                    if fields.holds(key) {
                        return Some(Some(value));
                    }
                }
                b'{' if fields.json_depth_max == 0 || depth < fields.json_depth_max => {
                    return Some(None);
                }
                b'{' => self.block(b'{', b'}')?,
                b'[' => self.block(b'[', b']')?,
                _ => self.bare()?,
            }
            match self.peek()? {
                b',' => self.at += 1,
                _ => return Some(None),
            }
        }
    }

    #[inline]
    fn peek(&mut self) -> Option<u8> {
        loop {
            let byte = *self.line.get(self.at)?;
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(byte);
            }
            self.at += 1;
        }
    }

    #[inline]
    fn eat(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    /// The inside of a string whose opening quote was read.
    #[inline]
    fn string(&mut self) -> Option<&'a [u8]> {
        let start = self.at;
        loop {
            self.at = quote_or_backslash(self.line, self.at)?;
            if self.line[self.at] == b'"' {
                self.at += 1;
                return Some(&self.line[start..self.at - 1]);
            }
            self.at += 2;
        }
    }

    /// Steps over a number or word.
    #[inline]
    fn bare(&mut self) -> Option<()> {
        while !matches!(self.line.get(self.at)?, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r')
        {
            self.at += 1;
        }
        Some(())
    }

    /// Steps over an object or array.
    fn block(&mut self, open: u8, close: u8) -> Option<()> {
        let mut depth = 0u32;
        loop {
            self.at += memchr::memchr3(b'"', open, close, self.line.get(self.at..)?)?;
            let byte = self.line[self.at];
            self.at += 1;
            if byte == b'"' {
                self.string()?;
            } else if byte == open {
                depth += 1;
            } else {
                depth -= 1;
                if depth == 0 {
                    return Some(());
                }
            }
        }
    }
}

/// Where the next `"` or `\` stands, from `at` on.
#[inline]
fn quote_or_backslash(line: &[u8], mut at: usize) -> Option<usize> {
    const LOW: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    const QUOTES: u64 = LOW * b'"' as u64;
    const BACKSLASHES: u64 = LOW * b'\\' as u64;
    // Sets the high bit of every byte that is zero; bits above the first may be wrong.
    let zeros = |word: u64| word.wrapping_sub(LOW) & !word & HIGH;
    while let Some(chunk) = line.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*chunk);
        let hits = zeros(word ^ QUOTES) | zeros(word ^ BACKSLASHES);
        if hits != 0 {
            return Some(at + hits.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    let found = line.get(at..)?.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
    Some(at + found)
}
