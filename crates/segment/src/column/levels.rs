//! Detected levels: the set of levels that occur, then one code per row.

use model::Level;
use model::columns::TextColumn;
use model::level::LEVEL_NAME;

use crate::encoding::cursor::Cursor;
use crate::encoding::frame::FrameEncoder;
use crate::error::Result;

use super::codes;

/// Level codes: 0 for none, 1 to 8 for a level.
const LEVEL_CODES: usize = 9;

/// Appends the level code of every row, given the set of those that occur.
pub(crate) fn encode(
    levels: &[u8],
    set: u16,
    encoder: &mut FrameEncoder,
    out: &mut Vec<u8>,
) -> Result<()> {
    out.extend_from_slice(&set.to_le_bytes());
    let mut ranks = [0u32; LEVEL_CODES];
    let mut count = 0;
    for (code, rank) in ranks.iter_mut().enumerate() {
        *rank = count;
        count += u32::from(set >> code & 1);
    }
    let codes: Vec<u32> = levels.iter().map(|level| ranks[usize::from(*level)]).collect();
    codes::encode(&codes, count as usize, encoder, out)
}

/// Reads the levels of `rows` rows as a metadata column.
pub(crate) fn decode(cursor: &mut Cursor<'_>, rows: usize) -> Result<TextColumn> {
    let set = cursor.u16()?;
    if set == 0 || set >> LEVEL_CODES != 0 {
        return Err(cursor.corrupt());
    }
    let present: Vec<u8> = (0..LEVEL_CODES as u8).filter(|code| set >> code & 1 == 1).collect();
    let ranks = codes::decode(cursor, rows, present.len())?;
    let known = present.iter().filter_map(|code| Level::from_code(*code));
    let values = known.map(Level::as_str).collect();
    // Code 0 of a text column means absent, and so does level 0: only the offset differs.
    let offset = u32::from(present.first() != Some(&0));
    let codes = ranks.into_iter().map(|rank| rank + offset).collect();
    TextColumn::from_parts(LEVEL_NAME, codes, values).ok_or_else(|| cursor.corrupt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_round_trip() {
        for levels in [vec![0, 4, 8, 0, 1], vec![4; 100], vec![1, 2, 3, 4, 5, 6, 7, 8], vec![0, 6]]
        {
            let set = levels.iter().fold(0, |set, level| set | 1 << level);
            let mut out = Vec::new();
            encode(&levels, set, &mut FrameEncoder::new(1).unwrap(), &mut out).unwrap();
            let mut cursor = Cursor::new(&out, "test");
            let column = decode(&mut cursor, levels.len()).unwrap();
            assert!(cursor.finish().is_ok());
            for (row, level) in levels.iter().enumerate() {
                let expected = Level::from_code(*level).map(Level::as_str);
                assert_eq!(column.get(row), expected, "row {row} of {levels:?}");
            }
        }
        assert!(decode(&mut Cursor::new(&[0, 4], "test"), 1).is_err());
        assert!(decode(&mut Cursor::new(&[0, 0], "test"), 1).is_err());
    }
}
