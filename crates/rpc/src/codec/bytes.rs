//! Writing and reading the parts that messages are made of.

use ::bytes::Bytes;
use model::{Labels, TimeRange, Timestamp};

use super::{DecodeError, Decoded, VERSION};

/// Most bytes of a 64-bit integer.
const VARINT_BYTES_MAX: usize = 10;

/// Writes a message.
pub(super) struct Writer(Vec<u8>);

impl Writer {
    /// A message that holds its version.
    pub(super) fn new(capacity: usize) -> Self {
        let mut bytes = Vec::with_capacity(capacity + 16);
        bytes.push(VERSION);
        Self(bytes)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn finish(self) -> Bytes {
        self.0.into()
    }

    pub(super) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    pub(super) fn flag(&mut self, flag: bool) {
        self.0.push(u8::from(flag));
    }

    pub(super) fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    /// Small numbers of either sign are short.
    pub(super) fn signed(&mut self, value: i64) {
        self.number(((value << 1) ^ (value >> 63)) as u64);
    }

    pub(super) fn fixed(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn text(&mut self, text: impl AsRef<[u8]>) {
        let text = text.as_ref();
        self.number(text.len() as u64);
        self.raw(text);
    }

    pub(super) fn range(&mut self, range: TimeRange) {
        self.signed(range.start.0);
        self.signed(range.end.0);
    }

    pub(super) fn labels(&mut self, labels: &Labels) {
        self.number(labels.len() as u64);
        for (name, value) in labels.iter() {
            self.text(name);
            self.text(value);
        }
    }
}

/// Reads a message.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

/// Ends a decoder that found something else.
pub(super) fn damaged(what: &'static str) -> DecodeError {
    DecodeError { what }
}

impl<'a> Reader<'a> {
    /// Reads the version.
    pub(super) fn new(bytes: &'a [u8]) -> Decoded<Self> {
        let mut reader = Self { rest: bytes };
        match reader.byte() {
            Ok(VERSION) => Ok(reader),
            _ => Err(damaged("a known version")),
        }
    }

    /// What is left, which must be nothing.
    pub(super) fn finish(self) -> Decoded<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(damaged("the end")) }
    }

    pub(super) fn byte(&mut self) -> Decoded<u8> {
        let (first, rest) = self.rest.split_first().ok_or_else(|| damaged("a byte"))?;
        self.rest = rest;
        Ok(*first)
    }

    pub(super) fn flag(&mut self) -> Decoded<bool> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(damaged("a flag")),
        }
    }

    #[inline]
    pub(super) fn number(&mut self) -> Decoded<u64> {
        if let [first @ 0..0x80, rest @ ..] = self.rest {
            self.rest = rest;
            return Ok(u64::from(*first));
        }
        self.long_number()
    }

    fn long_number(&mut self) -> Decoded<u64> {
        let mut value = 0;
        for index in 0..VARINT_BYTES_MAX {
            let byte = self.byte()?;
            if index == VARINT_BYTES_MAX - 1 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(damaged("a number of 64 bits"))
    }

    pub(super) fn signed(&mut self) -> Decoded<i64> {
        let value = self.number()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    pub(super) fn small(&mut self) -> Decoded<u32> {
        u32::try_from(self.number()?).map_err(|_| damaged("a number of 32 bits"))
    }

    pub(super) fn fixed(&mut self) -> Decoded<u64> {
        let taken = self.take(8)?;
        taken.try_into().map(u64::from_le_bytes).map_err(|_| damaged("eight bytes"))
    }

    pub(super) fn take(&mut self, count: usize) -> Decoded<&'a [u8]> {
        if count > self.rest.len() {
            return Err(damaged("as many bytes as announced"));
        }
        let (taken, rest) = self.rest.split_at(count);
        self.rest = rest;
        Ok(taken)
    }

    /// The length of a list whose elements take at least `least` bytes each, so that what is
    /// reserved for it stays in proportion to what was received.
    pub(super) fn count(&mut self, least: usize) -> Decoded<usize> {
        let count = usize::try_from(self.number()?).unwrap_or(usize::MAX);
        if count > self.rest.len() / least {
            return Err(damaged("as many elements as announced"));
        }
        Ok(count)
    }

    pub(super) fn bytes(&mut self) -> Decoded<&'a [u8]> {
        let length = self.count(1)?;
        self.take(length)
    }

    pub(super) fn text(&mut self) -> Decoded<&'a str> {
        str::from_utf8(self.bytes()?).map_err(|_| damaged("UTF-8"))
    }

    pub(super) fn time(&mut self) -> Decoded<Timestamp> {
        self.signed().map(Timestamp)
    }

    pub(super) fn range(&mut self) -> Decoded<TimeRange> {
        let (start, end) = (self.time()?, self.time()?);
        Ok(TimeRange { start, end })
    }

    pub(super) fn labels(&mut self) -> Decoded<Labels> {
        let count = self.count(2)?;
        let mut pairs = Vec::with_capacity(count);
        for _ in 0..count {
            pairs.push((self.text()?, self.text()?));
        }
        Ok(Labels::new(pairs))
    }

    /// A list whose elements take at least `least` bytes each.
    pub(super) fn list<T>(
        &mut self,
        least: usize,
        mut element: impl FnMut(&mut Self) -> Decoded<T>,
    ) -> Decoded<Vec<T>> {
        let count = self.count(least)?;
        let mut list = Vec::with_capacity(count);
        for _ in 0..count {
            list.push(element(self)?);
        }
        Ok(list)
    }
}
