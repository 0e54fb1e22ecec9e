//! Gathering the lines of a block by shape.

use hashbrown::HashTable;
use model::columns::LINE_SEPARATOR;
use xxhash_rust::xxh3::xxh3_64;

use super::masks::Masks;
use super::tokens::{self, SLOT, Slot, TIME};

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
    hash: u64,
}

/// The shapes of a block's lines, and every line's slots. Reused from block to block.
#[derive(Default)]
pub(super) struct ShapeTable {
    pub(super) masks: Masks,
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
        let mut start = 0;
        for (row, length) in lengths.iter().enumerate() {
            let end = start + *length as usize;
            self.add(text, start, end);
            start = end + 1;
            if row % 1024 == 1023 && self.shapes.len() * 2 > row {
                return false;
            }
        }
        debug_assert!(text.last().is_none_or(|last| *last == LINE_SEPARATOR));
        true
    }

    fn add(&mut self, text: &[u8], start: usize, end: usize) {
        let line = &text[start..end];
        self.firsts.push(self.slots.len() as u32);
        let is_plain =
            line.len() > LINE_BYTES_CUT_MAX || memchr::memchr2(SLOT, TIME, line).is_some();
        if is_plain {
            self.shapes[PLAIN as usize].rows += 1;
            self.rows.push(PLAIN);
            return;
        }
        let Self { masks, by_hash, shapes, texts, slots, .. } = self;
        let at = texts.len();
        tokens::cut(text, masks, (start, end), texts, slots);
        let shape = &texts[at..];
        let hash = xxh3_64(shape);
        let known = by_hash.find(hash, |known| {
            let known = &shapes[*known as usize];
            known.hash == hash && texts[known.start..known.end] == *shape
        });
        let known = match known {
            Some(known) => {
                texts.truncate(at);
                *known
            }
            None => {
                let known = shapes.len() as u32;
                shapes.push(Shape { start: at, end: texts.len(), rows: 0, hash });
                by_hash.insert_unique(hash, known, |known| shapes[*known as usize].hash);
                known
            }
        };
        shapes[known as usize].rows += 1;
        self.rows.push(known);
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
