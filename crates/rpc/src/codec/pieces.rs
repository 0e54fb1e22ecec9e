//! Lists: pieces, streams, and segments.

use ::bytes::Bytes;
use logql::source::{Piece, StreamSummary};

use super::bytes::{Reader, Writer};
use super::{Decoded, PART_BYTES};

/// A piece takes at least so many bytes.
const PIECE_BYTES_MIN: usize = 8;

/// For each origin that is being flushed: the names of its segments.
pub type FlushedAs = Vec<(u64, Vec<String>)>;

/// Encodes one piece.
#[must_use]
pub fn encode_piece(piece: &Piece) -> Bytes {
    let mut out = Writer::new(48);
    put_piece(&mut out, piece);
    out.finish()
}

/// Decodes one piece.
///
/// # Errors
///
/// When the bytes are none.
pub fn decode_piece(bytes: &[u8]) -> Decoded<Piece> {
    let mut reader = Reader::new(bytes)?;
    let piece = read_piece(&mut reader)?;
    reader.finish()?;
    Ok(piece)
}

/// Encodes pieces; at least one part.
#[must_use]
pub fn encode_pieces(pieces: &[Piece]) -> Vec<Bytes> {
    in_parts(pieces, put_piece)
}

/// Decodes one part of some pieces.
///
/// # Errors
///
/// When the bytes are none.
pub fn decode_pieces(bytes: &[u8]) -> Decoded<Vec<Piece>> {
    part(bytes, PIECE_BYTES_MIN, read_piece)
}

/// Encodes streams; at least one part.
#[must_use]
pub fn encode_streams(streams: &[StreamSummary]) -> Vec<Bytes> {
    in_parts(streams, |out, stream: &StreamSummary| {
        out.labels(&stream.labels);
        out.number(stream.rows);
        out.number(stream.bytes);
    })
}

/// Decodes one part of some streams.
///
/// # Errors
///
/// When the bytes are none.
pub fn decode_streams(bytes: &[u8]) -> Decoded<Vec<StreamSummary>> {
    part(bytes, 3, |reader| {
        let labels = reader.labels()?;
        Ok(StreamSummary { labels, rows: reader.number()?, bytes: reader.number()? })
    })
}

/// Encodes segments, by name and length of their objects.
#[must_use]
pub fn encode_stored(stored: &[(String, u64)]) -> Bytes {
    let mut out = Writer::new(stored.len() * 96);
    out.number(stored.len() as u64);
    for (name, bytes) in stored {
        out.text(name);
        out.number(*bytes);
    }
    out.finish()
}

/// Decodes segments, by name and length of their objects.
///
/// # Errors
///
/// When the bytes are none.
pub fn decode_stored(bytes: &[u8]) -> Decoded<Vec<(String, u64)>> {
    part(bytes, 2, |reader| Ok((reader.text()?.to_owned(), reader.number()?)))
}

/// Encodes which origins are being flushed as what.
#[must_use]
pub fn encode_flushed_as(flushed: &FlushedAs) -> Bytes {
    let mut out = Writer::new(flushed.len() * 128);
    out.number(flushed.len() as u64);
    for (origin, names) in flushed {
        out.number(*origin);
        out.number(names.len() as u64);
        names.iter().for_each(|name| out.text(name));
    }
    out.finish()
}

/// Decodes which origins are being flushed as what.
///
/// # Errors
///
/// When the bytes are none.
pub fn decode_flushed_as(bytes: &[u8]) -> Decoded<FlushedAs> {
    part(bytes, 2, |reader| {
        let origin = reader.number()?;
        Ok((origin, reader.list(1, |reader| reader.text().map(str::to_owned))?))
    })
}

fn put_piece(out: &mut Writer, piece: &Piece) {
    let Piece { id, origin, rank, first, last, rows, bytes, is_head } = piece;
    out.number(*id);
    out.number(*origin);
    out.number(*rank);
    out.signed(first.0);
    out.signed(last.0.wrapping_sub(first.0));
    out.number(*rows);
    out.number(*bytes);
    out.flag(*is_head);
}

fn read_piece(reader: &mut Reader<'_>) -> Decoded<Piece> {
    let (id, origin, rank) = (reader.number()?, reader.number()?, reader.number()?);
    let first = reader.time()?;
    let last = model::Timestamp(first.0.wrapping_add(reader.signed()?));
    let (rows, bytes) = (reader.number()?, reader.number()?);
    Ok(Piece { id, origin, rank, first, last, rows, bytes, is_head: reader.flag()? })
}

/// Encodes a list, cut where a part is large enough.
fn in_parts<T>(items: &[T], put: impl Fn(&mut Writer, &T)) -> Vec<Bytes> {
    let mut parts = Vec::new();
    let mut rest = items;
    loop {
        // The length comes first, so what follows is written beside it.
        let mut body = Writer::new(0);
        let mut count = 0;
        while count < rest.len() && body.len() < PART_BYTES {
            put(&mut body, &rest[count]);
            count += 1;
        }
        let body = body.finish();
        let mut out = Writer::new(body.len() + 8);
        out.number(count as u64);
        out.raw(&body[1..]);
        parts.push(out.finish());
        rest = &rest[count..];
        if rest.is_empty() {
            return parts;
        }
    }
}

fn part<T>(
    bytes: &[u8],
    least: usize,
    element: impl FnMut(&mut Reader<'_>) -> Decoded<T>,
) -> Decoded<Vec<T>> {
    let mut reader = Reader::new(bytes)?;
    let list = reader.list(least, element)?;
    reader.finish()?;
    Ok(list)
}
