//! Gathering the lines of a block by shape.

use hashbrown::HashTable;
use model::columns::LINE_SEPARATOR;
use xxhash_rust::xxh3::xxh3_64;

use super::masks::Masks;
use super::tokens::{self, SLOT, ShapeText, Slot, TIME};

/// Longer lines are kept as they are.
const LINE_BYTES_CUT_MAX: usize = 32 << 10;
/// The shape of rows that are kept as they are.
pub(super) const PLAIN: u32 = 0;

/// A shape of some line: where its text is, and how many rows have it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Shape {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) rows: u32,
    /// The shape of the row that followed the last one of this shape.
    next: u32,
    hash: u64,
}

/// The shapes of a block's lines, and every line's slots. Reused from block to block.
pub(super) struct ShapeTable {
    pub(super) masks: Masks,
    /// The shape of the line that was cut last.
    shape: ShapeText,
    by_hash: HashTable<u32>,
    pub(super) shapes: Vec<Shape>,
    /// The texts of all shapes.
    pub(super) texts: Vec<u8>,
    /// The shape of every row.
    pub(super) rows: Vec<u32>,
    /// Where the slots of every row begin.
    pub(super) firsts: Vec<u32>,
    pub(super) slots: Vec<Slot>,
}

impl Default for ShapeTable {
    fn default() -> Self {
        Self {
            masks: Masks::default(),
            shape: ShapeText::with_room(LINE_BYTES_CUT_MAX),
            by_hash: HashTable::new(),
            shapes: Vec::new(),
            texts: Vec::new(),
            rows: Vec::new(),
            firsts: Vec::new(),
            slots: Vec::new(),
        }
    }
}

impl ShapeTable {
    /// Cuts the lines of a block; `false` when there are so many shapes that it is of no use.
    pub(super) fn fill(&mut self, text: &[u8], lengths: &[u32]) -> bool {
        self.by_hash.clear();
        self.shapes.clear();
        self.texts.clear();
        self.rows.clear();
        self.firsts.clear();
        self.slots.clear();
        self.shapes.push(Shape::default());
        self.masks.scan(text);
        // Hardly any text has one of these, and to look at all of it is quicker than at every line.
        let has_marks = memchr::memchr2(SLOT, TIME, text).is_some();
        let mut start = 0;
        for (row, length) in lengths.iter().enumerate() {
            let end = start + *length as usize;
            self.add(text, (start, end), has_marks);
            start = end + 1;
            if row % 1024 == 1023 && self.shapes.len() * 2 > row {
                return false;
            }
        }
        debug_assert!(text.last().is_none_or(|last| *last == LINE_SEPARATOR));
        true
    }

    fn add(&mut self, text: &[u8], (start, end): (usize, usize), has_marks: bool) {
        let line = &text[start..end];
        self.firsts.push(self.slots.len() as u32);
        let is_plain = line.len() > LINE_BYTES_CUT_MAX
            || (has_marks && memchr::memchr2(SLOT, TIME, line).is_some());
        if is_plain {
            self.shapes[PLAIN as usize].rows += 1;
            self.rows.push(PLAIN);
            return;
        }
        tokens::cut(text, &self.masks, (start, end), &mut self.shape, &mut self.slots);
        let known = self.find_or_insert();
        let last = self.rows.last().map_or(PLAIN, |last| *last);
        self.shapes[last as usize].next = known;
        self.shapes[known as usize].rows += 1;
        self.rows.push(known);
    }

    /// The number of the shape that was cut last.
    fn find_or_insert(&mut self) -> u32 {
        let Self { by_hash, shapes, texts, rows, .. } = self;
        let shape = self.shape.get();
        let is_same = |known: &Shape| texts[known.start..known.end] == *shape;
        // Lines often follow each other in the same order.
        let expected = shapes[rows.last().map_or(PLAIN, |last| *last) as usize].next;
        if expected != PLAIN && is_same(&shapes[expected as usize]) {
            return expected;
        }
        let hash = xxh3_64(shape);
        let known = by_hash.find(hash, |known| {
            let known = &shapes[*known as usize];
            known.hash == hash && is_same(known)
        });
        if let Some(known) = known {
            return *known;
        }
        let known = shapes.len() as u32;
        let start = texts.len();
        texts.extend_from_slice(shape);
        shapes.push(Shape { start, end: texts.len(), rows: 0, next: PLAIN, hash });
        by_hash.insert_unique(hash, known, |known| shapes[*known as usize].hash);
        known
    }

    /// All rows ordered by shape, and where each shape's begin.
    pub(super) fn by_shape(&self) -> (Vec<u32>, Vec<u32>) {
        let mut next = Vec::with_capacity(self.shapes.len());
        let mut sum = 0;
        for shape in &self.shapes {
            next.push(sum);
            sum += shape.rows;
        }
        let starts = next.clone();
        let mut ordered = vec![0; self.rows.len()];
        for (row, shape) in (0..).zip(&self.rows) {
            let place = &mut next[*shape as usize];
            ordered[*place as usize] = row;
            *place += 1;
        }
        (ordered, starts)
    }
}
