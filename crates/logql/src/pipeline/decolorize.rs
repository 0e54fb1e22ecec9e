//! `| decolorize`: removes terminal colours from the line (language reference 6.4).

use regex_automata::meta::Regex;

use super::row::Row;

/// A control sequence: its start, its parameters, and the letter or bell that ends it.
const SEQUENCE: &str = concat!(
    "[\\x{1b}\\x{9b}][\\[\\]()#;?]*",
    "(?:(?:(?:[a-zA-Z0-9]*(?:;[a-zA-Z0-9]*)*)?\\x{7})",
    "|(?:(?:[0-9]{1,4}(?:;[0-9]{0,4})*)?[0-9A-PRZcf-ntqry=><~]))",
);

/// The compiled stage.
#[derive(Debug, Clone)]
pub(super) struct Decolorizer {
    sequence: Regex,
}

impl Decolorizer {
    /// Prepares the stage.
    pub(super) fn new() -> Self {
        let syntax = regex_automata::util::syntax::Config::new().utf8(false);
        let sequence = Regex::builder().syntax(syntax).build(SEQUENCE);
        Self { sequence: sequence.expect("the sequence is a valid expression") }
    }

    /// Runs the stage on a row.
    pub(super) fn run(&self, row: &mut Row<'_, '_>) {
        let mut next = std::mem::take(&mut row.lines.next);
        next.clear();
        let line = row.line();
        let mut kept = 0;
        for found in self.sequence.find_iter(line) {
            next.extend_from_slice(&line[kept..found.start()]);
            kept = found.end();
        }
        let is_changed = kept > 0;
        next.extend_from_slice(&line[kept..]);
        row.lines.next = next;
        if is_changed {
            row.lines.swap();
        }
    }
}
