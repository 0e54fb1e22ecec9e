//! `| regexp "(?P<name>…)"`: the named groups of the first match become labels (language
//! reference 5.6).

use model::Pattern;
use regex_automata::util::captures::Captures;

use super::extract::{Extractor, Flow};
use super::hints::ExtractPlan;
use super::names::{NameId, Names, append_sanitized};
use super::row::Row;

/// The compiled stage.
#[derive(Debug, Clone)]
pub(super) struct RegexpParser {
    pattern: Pattern,
    /// Named groups and their labels; groups with a blank name are left out.
    groups: Vec<(usize, NameId)>,
    captures: Captures,
}

impl RegexpParser {
    /// Compiles the stage.
    ///
    /// # Errors
    ///
    /// A bad expression, no named group, or a name that is used twice.
    pub(super) fn compile(text: &str, names: &mut Names) -> Result<Self, String> {
        let pattern = Pattern::search(text).map_err(|error| error.to_string())?;
        let info = pattern.regex().group_info();
        let mut groups = Vec::new();
        let mut seen: Vec<&str> = Vec::new();
        for (_, group, name) in info.all_names() {
            let Some(name) = name else { continue };
            if seen.contains(&name) {
                return Err(format!("duplicate extracted label name '{name}'"));
            }
            seen.push(name);
            let mut label = String::new();
            append_sanitized(name.as_bytes(), &mut label);
            if !label.is_empty() {
                groups.push((group, names.intern(&label)));
            }
        }
        if seen.is_empty() {
            return Err("at least one named capture must be supplied".into());
        }
        let captures = pattern.regex().create_captures();
        Ok(Self { pattern, groups, captures })
    }

    /// Runs the stage on a row.
    pub(super) fn run(&mut self, row: &mut Row<'_, '_>, plan: &ExtractPlan) -> Flow {
        let (line, mut extractor) = Extractor::open_always(row, plan);
        self.pattern.regex().captures(line, &mut self.captures);
        if !self.captures.is_match() {
            return Flow::Continue;
        }
        for (group, name) in &self.groups {
            let Some(name) = extractor.accept(*name) else { continue };
            let value = match self.captures.get_group(*group) {
                Some(span) => extractor.slice(line, span.start, span.end),
                None => extractor.labels.make(b""),
            };
            // Finding everything wanted stops no later parser here: the groups are already known.
            if extractor.set(name, value) == Flow::Drop {
                return Flow::Drop;
            }
        }
        Flow::Continue
    }
}
