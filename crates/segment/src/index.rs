//! The token index: which blocks may hold a text.
//!
//! Four families of keys are taken from every block, and for each key the blocks that have it are
//! listed (its *posting*):
//!
//! - *grams*: every three neighbouring letters or digits of the lines, case folded and with digits
//!   merged in pairs. They tell words apart.
//! - *identifiers*: of every run of ten or more letters and digits with a digit in it, the smallest
//!   of each six neighbouring hashes of five characters (minimisers). They tell identifiers apart,
//!   whose grams occur everywhere.
//! - *values*: the hash of every name and value of structured metadata.
//! - *numbers*: of every run of sixteen and more digits, the smallest of each nine neighbouring
//!   hashes of eight digits. They tell long numbers apart, of whose fives there are too few.
//!
//! Soundness: a key of a text is a function of a substring of it, and a substring of a required
//! text is a substring of every line that holds it. So a line that holds the text has all its keys,
//! wherever the text stands in the line and whatever surrounds it, and a block without one of the
//! keys holds no such line. The only condition concerns identifiers: the needle's own run must be
//! one for sure, which [`keys::is_identifier`] decides for lines and needles alike. A block whose
//! keys would take too much room is *unlisted* and always passes.

pub(crate) mod builder;
pub(crate) mod check;
pub(crate) mod directory;
pub(crate) mod keys;
pub(crate) mod numbers;
pub(crate) mod pages;
pub(crate) mod prune;

/// A kind of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Family {
    Grams = 0,
    Identifiers = 1,
    Values = 2,
    /// Since version 2 of the directory.
    Numbers = 3,
}

impl Family {
    pub(crate) const COUNT: usize = 4;
    pub(crate) const ALL: [Self; Self::COUNT] =
        [Self::Grams, Self::Identifiers, Self::Values, Self::Numbers];
}

/// Bits of a family's keys as they are computed; postings may keep fewer.
pub(crate) fn family_bits(family: Family) -> u32 {
    match family {
        Family::Grams => keys::GRAM_BITS,
        Family::Identifiers => keys::IDENTIFIER_BITS,
        Family::Values => keys::VALUE_BITS,
        Family::Numbers => numbers::NUMBER_BITS,
    }
}
