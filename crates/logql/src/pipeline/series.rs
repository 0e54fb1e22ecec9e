//! From a row's labels to those of its series (language reference 8.3).

use hashbrown::HashMap;
use model::Labels;
use model::answer::ResultLabels;

use super::Categories;
use super::hints::Reduction;
use super::labels::{Layer, RowLabels, Value};
use super::names::{ERROR, ERROR_DETAILS, NameId, Names};
use super::row::RowView;
use super::scan::to_text;

/// How many streams get a number before numbering starts afresh.
const BASES_MAX: usize = 100_000;

/// A number for the labels of a stream, unique in a scratch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BaseNumber {
    stream: u32,
    generation: u32,
}

/// Numbers for the streams that a scratch has met.
#[derive(Debug, Default)]
pub(super) struct Bases {
    numbers: HashMap<Labels, u32>,
    next: u32,
    /// The base that was numbered last, by the labels' own count.
    last: Option<(u32, u32)>,
}

impl Bases {
    /// The number of the current row's stream.
    pub(super) fn number(&mut self, labels: &RowLabels, generation: u32) -> BaseNumber {
        let epoch = labels.base_number();
        let stream = match self.last {
            Some((known, stream)) if known == epoch => stream,
            _ => self.find(labels.base()),
        };
        self.last = Some((epoch, stream));
        BaseNumber { stream, generation }
    }

    fn find(&mut self, base: &Labels) -> u32 {
        if let Some(number) = self.numbers.get(base) {
            return *number;
        }
        if self.numbers.len() >= BASES_MAX {
            self.numbers.clear();
        }
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        self.numbers.insert(base.clone(), number);
        number
    }
}

/// A compiled reduction.
#[derive(Debug)]
pub(super) enum Reducer {
    All,
    Nothing,
    /// Names in name order.
    By(Vec<NameId>),
    /// By name, whether it is removed; names beyond are not.
    Without(Vec<bool>),
}

impl Reducer {
    /// Compiles a reduction.
    pub(super) fn new(reduction: &Reduction, names: &mut Names) -> Self {
        match reduction {
            Reduction::All => Self::All,
            Reduction::Nothing => Self::Nothing,
            Reduction::By(groups) => {
                let mut groups: Vec<&String> = groups.iter().collect();
                groups.sort();
                groups.dedup();
                Self::By(groups.into_iter().map(|name| names.intern(name)).collect())
            }
            Reduction::Without(groups) => {
                let ids: Vec<NameId> = groups.iter().map(|name| names.intern(name)).collect();
                let mut removed = vec![false; names.len()];
                ids.iter().for_each(|id| removed[id.index()] = true);
                Self::Without(removed)
            }
        }
    }

    #[inline]
    fn removes(&self, name: NameId) -> bool {
        match self {
            Self::Without(removed) => removed.get(name.index()).copied().unwrap_or(false),
            _ => false,
        }
    }

    /// The value of a group label; a label that was ever deleted has none (Q10).
    fn group(labels: &RowLabels, name: NameId) -> Option<Value> {
        if labels.is_deleted(name) { None } else { labels.find(name) }
    }

    /// Appends a key of the series labels.
    pub(super) fn write_key(
        &self,
        labels: &RowLabels,
        view: RowView<'_>,
        base: BaseNumber,
        key: &mut Vec<u8>,
    ) {
        match self {
            Self::Nothing if !labels.has_error() => {}
            Self::By(groups) if !labels.has_error() => {
                for name in groups {
                    match Self::group(labels, *name) {
                        None => key.push(0),
                        Some(value) => {
                            key.push(1);
                            append_sized(labels.bytes(view, value), key);
                        }
                    }
                }
            }
            _ => self.write_full_key(labels, view, base, key),
        }
    }

    fn write_full_key(
        &self,
        labels: &RowLabels,
        view: RowView<'_>,
        base: BaseNumber,
        key: &mut Vec<u8>,
    ) {
        let keeps_all = labels.has_error();
        key.push(2 + u8::from(keeps_all));
        key.extend_from_slice(&base.stream.to_le_bytes());
        if labels.is_base() {
            return;
        }
        key.extend_from_slice(&base.generation.to_le_bytes());
        let deleted = labels.deleted();
        key.extend_from_slice(&(deleted.len() as u32).to_le_bytes());
        for name in deleted {
            key.extend_from_slice(&name.0.to_le_bytes());
        }
        for entry in labels.entries().filter(|entry| keeps_all || !self.removes(entry.name)) {
            let value = labels.bytes(view, entry.value);
            let head = u64::from(entry.name.0) << 32 | value.len() as u64;
            key.extend_from_slice(&head.to_le_bytes());
            key.extend_from_slice(value);
        }
        // No entry has this number.
        key.extend_from_slice(&u64::MAX.to_le_bytes());
        append_sized(labels.error(view), key);
        append_sized(labels.error_details(view), key);
    }

    /// The series labels, in name order.
    pub(super) fn labels(&self, labels: &RowLabels, view: RowView<'_>) -> ResultLabels {
        let text = |name: NameId, value: Value| {
            (labels.names.text(name).to_owned(), to_text(labels.bytes(view, value)))
        };
        match self {
            Self::Nothing if !labels.has_error() => Vec::new(),
            Self::By(groups) if !labels.has_error() => groups
                .iter()
                .filter_map(|name| Self::group(labels, *name).map(|value| text(*name, value)))
                .collect(),
            _ => {
                let keeps_all = labels.has_error();
                let mut all: ResultLabels = labels
                    .effective()
                    .filter(|(name, _)| keeps_all || !self.removes(*name))
                    .map(|(name, value)| text(name, value))
                    .collect();
                all.sort();
                all
            }
        }
    }
}

#[inline]
fn append_sized(bytes: &[u8], key: &mut Vec<u8>) {
    key.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    key.extend_from_slice(bytes);
}

/// All labels by where they came from.
pub(super) fn categories(labels: &RowLabels, view: RowView<'_>) -> Categories {
    let mut categories = Categories::default();
    for (name, value) in labels.effective() {
        let pair = (labels.names.text(name).to_owned(), to_text(labels.bytes(view, value)));
        let list = match labels.layer(name) {
            Some(Layer::Metadata) if !matches!(name, ERROR | ERROR_DETAILS) => {
                &mut categories.structured_metadata
            }
            None if value.is_in_base() => &mut categories.stream,
            _ => &mut categories.parsed,
        };
        list.push(pair);
    }
    categories.stream.sort();
    categories.structured_metadata.sort();
    categories.parsed.sort();
    categories
}
