//! `| drop a, b="x"` and `| keep a, b="x"` (language reference 6.5).

use model::Matcher;

use super::names::{ERROR, ERROR_DETAILS, NameId, Names, PRESERVE_ERROR};
use super::row::Row;
use super::scan::to_text;
use crate::syntax::ast::LabelItem;

/// One compiled item: a label and what its value must match.
#[derive(Debug, Clone)]
pub(super) struct Item {
    name: NameId,
    matcher: Option<Matcher>,
}

impl Item {
    /// Compiles the items of a stage.
    pub(super) fn compile(items: &[LabelItem], names: &mut Names) -> Vec<Self> {
        let compile = |item: &LabelItem| Self {
            name: names.intern(item.name()),
            matcher: match item {
                LabelItem::Name(_) => None,
                LabelItem::Match(matcher) => Some(matcher.clone()),
            },
        };
        items.iter().map(compile).collect()
    }

    /// The label the item is about.
    pub(super) fn name(&self) -> NameId {
        self.name
    }

    fn matches(&self, value: &[u8]) -> bool {
        match &self.matcher {
            None => true,
            Some(matcher) => match std::str::from_utf8(value) {
                Ok(value) => matcher.matches(value),
                Err(_) => matcher.matches(&to_text(value)),
            },
        }
    }
}

/// Removes what an item names.
pub(super) fn drop_items(items: &[Item], row: &mut Row<'_, '_>) {
    for item in items {
        match item.name {
            ERROR => {
                if item.matches(row.labels.error(row.view)) {
                    row.labels.clear_error();
                }
            }
            ERROR_DETAILS => {
                if item.matches(row.labels.error_details(row.view)) {
                    row.labels.clear_error_details();
                }
            }
            name => {
                let value = row.get(name);
                let is_hit = match item.matcher {
                    None => value.is_some(),
                    Some(_) => item.matches(value.unwrap_or_default()),
                };
                if is_hit {
                    row.labels.delete(name);
                }
            }
        }
    }
}

/// Removes what no item names. Errors always stay.
pub(super) fn keep_items(items: &[Item], row: &mut Row<'_, '_>) {
    let base = row.labels.visible_base().map(|(name, _, _)| name);
    let entries = row.labels.entries().map(|entry| entry.name);
    let names: Vec<NameId> = base.chain(entries).collect();
    for name in names {
        let is_kept = matches!(name, ERROR | ERROR_DETAILS | PRESERVE_ERROR)
            || items
                .iter()
                .any(|item| item.name == name && item.matches(row.get(name).unwrap_or_default()));
        if !is_kept {
            row.labels.delete(name);
        }
    }
}
