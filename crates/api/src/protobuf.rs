//! Fields of a protobuf message, one after another, without copying.
//!
//! Knows the wire format only. Nothing here allocates, and nothing recurses: groups, which no
//! message of ours has, are stepped over by counting their ends.

use crate::push::PushError;
use crate::varint::Reader;

/// Bytes are not a protobuf message of the expected shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WireError {
    /// The message ends inside a field.
    Truncated,
    /// An integer is longer than 64 bits, a tag is illegal, or a group does not match.
    Illegal,
    /// A known field is of another wire type.
    WrongType,
}

impl From<WireError> for PushError {
    fn from(error: WireError) -> Self {
        Self::Malformed(
            match error {
                WireError::Truncated => "unexpected EOF",
                WireError::Illegal => "proto: illegal tag or integer overflow",
                WireError::WrongType => "proto: wrong wireType for field",
            }
            .to_owned(),
        )
    }
}

/// The value of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    /// An integer of variable length.
    Varint(u64),
    /// Eight bytes.
    Fixed64(u64),
    /// A string, bytes, or a message.
    Bytes(&'a [u8]),
    /// Four bytes.
    Fixed32(u32),
    /// A group; its content is skipped.
    Group,
}

impl<'a> Value<'a> {
    #[inline]
    pub(crate) fn bytes(self) -> Result<&'a [u8], WireError> {
        if let Self::Bytes(bytes) = self { Ok(bytes) } else { Err(WireError::WrongType) }
    }

    #[inline]
    pub(crate) fn varint(self) -> Result<u64, WireError> {
        if let Self::Varint(value) = self { Ok(value) } else { Err(WireError::WrongType) }
    }

    pub(crate) fn fixed64(self) -> Result<u64, WireError> {
        if let Self::Fixed64(value) = self { Ok(value) } else { Err(WireError::WrongType) }
    }

    pub(crate) fn fixed32(self) -> Result<u32, WireError> {
        if let Self::Fixed32(value) = self { Ok(value) } else { Err(WireError::WrongType) }
    }
}

/// A cursor over the fields of one message.
#[derive(Debug, Clone)]
pub(crate) struct Fields<'a>(Reader<'a>);

impl<'a> Fields<'a> {
    pub(crate) fn new(message: &'a [u8]) -> Self {
        Self(Reader::new(message))
    }

    /// How many fields of this number follow, up to the first that cannot be read.
    pub(crate) fn count(&self, number: u32) -> usize {
        let mut rest = self.clone();
        let mut count = 0;
        while let Ok(Some((next, _))) = rest.next() {
            count += usize::from(next == number);
        }
        count
    }

    /// The next field's number and value; `None` at the end of the message.
    #[inline(always)]
    pub(crate) fn next(&mut self) -> Result<Option<(u32, Value<'a>)>, WireError> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let (number, wire) = self.tag()?;
        let value = match wire {
            3 => {
                self.skip_group(number)?;
                Value::Group
            }
            4 => return Err(WireError::Illegal),
            _ => self.value(wire)?,
        };
        Ok(Some((number, value)))
    }

    #[inline(always)]
    fn tag(&mut self) -> Result<(u32, u8), WireError> {
        let tag = self.varint()?;
        match u32::try_from(tag >> 3) {
            Ok(number) if number > 0 && number < 1 << 29 => Ok((number, (tag & 7) as u8)),
            _ => Err(WireError::Illegal),
        }
    }

    #[inline(always)]
    fn value(&mut self, wire: u8) -> Result<Value<'a>, WireError> {
        Ok(match wire {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(self.0.u64().ok_or(WireError::Truncated)?),
            2 => {
                let length = self.varint()?;
                let length = usize::try_from(length).map_err(|_| WireError::Truncated)?;
                Value::Bytes(self.0.take(length).ok_or(WireError::Truncated)?)
            }
            5 => Value::Fixed32(self.0.u32().ok_or(WireError::Truncated)?),
            _ => return Err(WireError::Illegal),
        })
    }

    /// Steps to the end of a group whose start tag was read.
    fn skip_group(&mut self, number: u32) -> Result<(), WireError> {
        let mut depth = 1u32;
        while depth > 0 {
            match self.tag()? {
                (_, 3) => depth += 1,
                (end, 4) => {
                    depth -= 1;
                    if depth == 0 && end != number {
                        return Err(WireError::Illegal);
                    }
                }
                (_, wire) => drop(self.value(wire)?),
            }
        }
        Ok(())
    }

    #[inline(always)]
    fn varint(&mut self) -> Result<u64, WireError> {
        let before = self.0.remaining();
        self.0.varint().ok_or(if before >= 10 { WireError::Illegal } else { WireError::Truncated })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(message: &[u8], expected: Result<Vec<(u32, Value<'_>)>, WireError>) {
        let mut fields = Fields::new(message);
        let mut all = Vec::new();
        let result = loop {
            match fields.next() {
                Ok(Some(field)) => all.push(field),
                Ok(None) => break Ok(all),
                Err(error) => break Err(error),
            }
        };
        assert_eq!(result, expected, "{message:?}");
    }

    #[test]
    fn fields_of_every_wire_type() {
        check(b"", Ok(vec![]));
        check(&[0x08, 0x96, 0x01], Ok(vec![(1, Value::Varint(150))]));
        check(&[0x12, 2, b'h', b'i'], Ok(vec![(2, Value::Bytes(b"hi"))]));
        check(&[0x1d, 1, 0, 0, 0], Ok(vec![(3, Value::Fixed32(1))]));
        check(&[0x19, 1, 0, 0, 0, 0, 0, 0, 0], Ok(vec![(3, Value::Fixed64(1))]));
        check(
            &[0x0b, 0x13, 0x08, 1, 0x14, 0x0c, 0x08, 2],
            Ok(vec![(1, Value::Group), (1, Value::Varint(2))]),
        );
        check(&[0x12, 3, b'h'], Err(WireError::Truncated));
        check(&[0x0b, 0x08, 1], Err(WireError::Truncated));
        check(&[0x0c], Err(WireError::Illegal));
        check(&[0x00, 1], Err(WireError::Illegal));
        check(&[0xff; 12], Err(WireError::Illegal));
    }

    #[test]
    fn fields_are_counted_as_far_as_they_can_be_read() {
        let mut fields = Fields::new(&[0x08, 1, 0x12, 1, b'x', 0x08, 2, 0x12, 3, b'h']);
        assert_eq!((fields.count(1), fields.count(2), fields.count(3)), (2, 1, 0));
        assert_eq!(fields.next(), Ok(Some((1, Value::Varint(1)))));
        assert_eq!(fields.count(1), 1);
    }
}
