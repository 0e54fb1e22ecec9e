//! Decoded rows, column by column: what a block looks like in memory.

/// The byte that stands after every line of [`Lines`].
pub const LINE_SEPARATOR: u8 = b'\n';

/// Texts back to back in one buffer, each followed by [`LINE_SEPARATOR`].
///
/// One search over [`Lines::text`] covers all rows; [`Lines::row_at`] maps a hit back to its row.
/// Lines may themselves hold the separator byte: the starts are what counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lines {
    text: Vec<u8>,
    /// Start of every row, and the end of the text: one more than there are rows.
    starts: Vec<u32>,
}

impl Lines {
    /// No rows, with room for `rows` rows and `bytes` bytes of text.
    #[must_use]
    pub fn with_capacity(rows: usize, bytes: usize) -> Self {
        let mut starts = Vec::with_capacity(rows + 1);
        starts.push(0);
        Self { text: Vec::with_capacity(bytes + rows), starts }
    }

    /// Takes a text whose rows have these lengths, each followed by one separator byte.
    ///
    /// Answers `None` when the lengths do not add up to the text or exceed 4 GiB.
    #[must_use]
    pub fn from_parts(text: Vec<u8>, lengths: impl IntoIterator<Item = u32>) -> Option<Self> {
        let mut starts = vec![0u32];
        let mut end = 0u32;
        for length in lengths {
            end = end.checked_add(length)?.checked_add(1)?;
            starts.push(end);
        }
        (end as usize == text.len()).then_some(Self { text, starts })
    }

    /// Appends one row. Rows beyond 4 GiB of text must not be added: build another batch.
    pub fn push(&mut self, line: &[u8]) {
        if self.starts.is_empty() {
            self.starts.push(0);
        }
        self.text.extend_from_slice(line);
        self.text.push(LINE_SEPARATOR);
        debug_assert!(u32::try_from(self.text.len()).is_ok(), "a batch stays below 4 GiB");
        self.starts.push(self.text.len() as u32);
    }

    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The text of a row.
    ///
    /// # Panics
    ///
    /// When `row` is not below [`Lines::len`].
    #[must_use]
    pub fn row(&self, row: usize) -> &[u8] {
        &self.text[self.starts[row] as usize..self.starts[row + 1] as usize - 1]
    }

    /// The length of a row in bytes, without its separator.
    ///
    /// # Panics
    ///
    /// When `row` is not below [`Lines::len`].
    #[must_use]
    pub fn row_len(&self, row: usize) -> usize {
        (self.starts[row + 1] - self.starts[row]) as usize - 1
    }

    /// Where a row begins in [`Lines::text`]; for `row == len()`, where the text ends.
    #[must_use]
    pub fn start_of(&self, row: usize) -> usize {
        self.starts.get(row).map_or(self.text.len(), |start| *start as usize)
    }

    /// The row that holds the byte at `offset` of [`Lines::text`]; `offset` lies inside the text.
    #[must_use]
    pub fn row_at(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start as usize <= offset).saturating_sub(1)
    }

    /// All rows with their separators.
    #[must_use]
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// Every row in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        (0..self.len()).map(|row| self.row(row))
    }
}

/// A list of texts, back to back in one buffer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Texts {
    text: String,
    /// Where every text ends.
    ends: Vec<u32>,
}

impl Texts {
    /// Takes a text that is cut at the given ends, which ascend, the last one at its own.
    ///
    /// Answers `None` when the ends are others, or within a character.
    #[must_use]
    pub fn from_parts(text: String, ends: Vec<u32>) -> Option<Self> {
        let ascend = ends.is_sorted() && ends.last().map_or(0, |end| *end as usize) == text.len();
        let is_boundary = |end: &u32| text.is_char_boundary(*end as usize);
        (ascend && ends.iter().all(is_boundary)).then_some(Self { text, ends })
    }

    /// Appends a text. Texts beyond 4 GiB must not be added: a batch is far below that.
    pub fn push(&mut self, text: &str) {
        self.text.push_str(text);
        debug_assert!(u32::try_from(self.text.len()).is_ok(), "texts stay below 4 GiB");
        self.ends.push(self.text.len() as u32);
    }

    /// How many texts there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// A text by its place, if there is one.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&str> {
        let end = *self.ends.get(index)? as usize;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        self.text.get(start..end)
    }

    /// Bytes of a text by its place; 0 if there is none.
    #[must_use]
    pub fn len_of(&self, index: usize) -> usize {
        let end = self.ends.get(index).copied().unwrap_or(0);
        let start = index.checked_sub(1).and_then(|before| self.ends.get(before).copied());
        end.saturating_sub(start.unwrap_or(0)) as usize
    }

    /// Whether a text is among them.
    #[must_use]
    pub fn contains(&self, text: &str) -> bool {
        self.iter().any(|own| own == text)
    }

    /// All texts in their order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).filter_map(|index| self.get(index))
    }
}

impl<T: AsRef<str>> FromIterator<T> for Texts {
    fn from_iter<I: IntoIterator<Item = T>>(texts: I) -> Self {
        let mut list = Self::default();
        texts.into_iter().for_each(|text| list.push(text.as_ref()));
        list
    }
}

/// One name of structured metadata over the rows of a batch: absent or a text, by dictionary.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TextColumn {
    name: Box<str>,
    /// Per row: 0 when the row has no such pair, else 1 + the index into `values`.
    codes: Vec<u32>,
    values: Texts,
}

impl TextColumn {
    /// Takes a column apart from its decoder.
    ///
    /// Answers `None` when a code points past the values.
    #[must_use]
    pub fn from_parts(name: &str, codes: Vec<u32>, values: Texts) -> Option<Self> {
        let limit = u32::try_from(values.len()).ok()?;
        codes.iter().all(|code| *code <= limit).then(|| Self { name: name.into(), codes, values })
    }

    /// The pair's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value in a row, if the row has one.
    #[must_use]
    pub fn get(&self, row: usize) -> Option<&str> {
        let code = *self.codes.get(row)?;
        code.checked_sub(1).and_then(|index| self.values.get(index as usize))
    }

    /// Per row: 0 for absent, else 1 + the index into [`TextColumn::values`].
    #[must_use]
    pub fn codes(&self) -> &[u32] {
        &self.codes
    }

    /// The distinct values, in any order.
    #[must_use]
    pub fn values(&self) -> &Texts {
        &self.values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_and_offsets_map_to_rows() {
        let mut lines = Lines::with_capacity(3, 8);
        for line in ["ab", "", "c\nd"] {
            lines.push(line.as_bytes());
        }
        assert_eq!(lines.iter().collect::<Vec<_>>(), [&b"ab"[..], b"", b"c\nd"]);
        assert_eq!([0, 2, 3, 4, 7].map(|at| lines.row_at(at)), [0, 0, 1, 2, 2]);
        let again = Lines::from_parts(lines.text().to_vec(), [2, 0, 3]).unwrap();
        assert_eq!(again, lines);
        assert!(Lines::from_parts(vec![0; 3], [3]).is_none());
    }

    #[test]
    fn columns_check_their_codes() {
        let values = ["a", "b"].into_iter().collect();
        let column = TextColumn::from_parts("k", vec![0, 1, 2], values).unwrap();
        assert_eq!([column.get(0), column.get(1), column.get(2)], [None, Some("a"), Some("b")]);
        assert!(TextColumn::from_parts("k", vec![1], Texts::default()).is_none());
    }

    #[test]
    fn texts_are_cut_where_characters_end() {
        let texts: Texts = ["", "grün", "", "x"].into_iter().collect();
        assert_eq!(texts.iter().collect::<Vec<_>>(), ["", "grün", "", "x"]);
        assert_eq!((texts.len(), texts.get(4)), (4, None));
        let cut = |ends: &[u32]| Texts::from_parts("grün".to_owned(), ends.to_vec());
        assert_eq!(
            cut(&[2, 4, 5]).and_then(|texts| texts.get(1).map(str::to_owned)).as_deref(),
            Some("ü")
        );
        for ends in [&[][..], &[4], &[3, 5], &[4, 2, 5], &[5, 6]] {
            assert_eq!(cut(ends), None, "{ends:?}");
        }
        assert!(Texts::from_parts(String::new(), Vec::new()).is_some_and(|none| none.is_empty()));
    }
}
