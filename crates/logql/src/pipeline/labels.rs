//! The labels of one row on its way through the stages.
//!
//! Three layers, later ones never hide earlier ones by accident: the stream's labels (*base*), the
//! row's structured metadata, and what stages parsed or formatted. A name of a later layer that an
//! earlier one holds gets the suffix `_extracted`; whether it does looks at the original base, even
//! when the label was dropped since. Names that were ever parsed in this row stay *extracted*, so
//! that the first parser to find a name wins.
//!
//! Values are not copied: they are places in the line, in the metadata, in the base, or in a buffer
//! for what had to be made. Everything is reset per row without touching the tables by name, which
//! carry the number of the row that wrote them.

use model::Labels;
use model::columns::TextColumn;

use super::hints::ExtractPlan;
use super::names::{ERROR, ERROR_DETAILS, NameId, Names};
use super::row::{Metadata, RowView};

/// Where a label's value stands: one word, because values are copied at every turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Value(u64);

/// How many bits a start or a length has in a [`Value`]; lines are far below two gigabytes.
const PLACE_BITS: u32 = 31;

/// The four places of values.
const IN_LINE: u64 = 0;
const IN_MADE: u64 = 1;
const IN_METADATA: u64 = 2;
const IN_BASE: u64 = 3;

impl Value {
    /// The empty text.
    pub(super) const EMPTY: Self = Self(0);

    #[inline]
    fn new(place: u64, start: usize, len: usize) -> Self {
        debug_assert!((start | len) >> PLACE_BITS == 0, "texts stay below two gigabytes");
        Self(place << (2 * PLACE_BITS) | (start as u64) << PLACE_BITS | len as u64)
    }

    /// A part of the line as it came.
    #[inline]
    pub(super) fn in_line(start: usize, end: usize) -> Self {
        Self::new(IN_LINE, start, end - start)
    }

    /// A pair or column of the row's structured metadata.
    #[inline]
    fn in_metadata(at: usize) -> Self {
        Self::new(IN_METADATA, at, 0)
    }

    /// A label of the base.
    #[inline]
    fn in_base(at: usize) -> Self {
        Self::new(IN_BASE, at, 0)
    }

    /// Whether the value is that of the stream's label.
    pub(super) fn is_in_base(self) -> bool {
        self.place() == IN_BASE
    }

    #[inline]
    fn place(self) -> u64 {
        self.0 >> (2 * PLACE_BITS)
    }

    #[inline]
    fn start(self) -> usize {
        (self.0 >> PLACE_BITS) as usize & ((1 << PLACE_BITS) - 1)
    }

    #[inline]
    fn end(self) -> usize {
        self.start() + (self.0 as usize & ((1 << PLACE_BITS) - 1))
    }
}

/// Which layer a label belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layer {
    /// The row's structured metadata.
    Metadata,
    /// What stages made.
    Parsed,
    /// Nothing any more.
    Removed,
}

/// A label above the base.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) name: NameId,
    pub(super) value: Value,
    pub(super) layer: Layer,
}

/// What is known about a name in the current row; stale unless `row` is the current row's number.
#[derive(Debug, Clone, Copy, Default)]
struct NameState {
    row: u32,
    /// 1 + the position in `entries`; 0 when the name has no entry.
    slot: u32,
    is_extracted: bool,
    is_deleted: bool,
    /// The base this name's `base_slot` was written for.
    base: u32,
    /// 1 + the position in the base.
    base_slot: u32,
}

/// The labels of the current row.
#[derive(Debug)]
pub(super) struct RowLabels {
    pub(super) names: Names,
    states: Vec<NameState>,
    /// The number of the current row; never 0.
    row: u32,
    base: Labels,
    base_ids: Vec<NameId>,
    /// The number of the current base; never 0.
    base_number: u32,
    entries: Vec<Entry>,
    deleted: Vec<NameId>,
    /// Values that stand nowhere else.
    made: Vec<u8>,
    error: Option<Value>,
    error_details: Option<Value>,
    /// How many wanted names are not yet extracted.
    missing: u32,
    /// The names of the columns that rows of the current batch have.
    column_ids: Vec<NameId>,
}

impl RowLabels {
    /// No labels, with the names that the query mentions.
    pub(super) fn new(names: Names) -> Self {
        Self {
            states: vec![NameState::default(); names.len()],
            names,
            row: 0,
            base: Labels::default(),
            base_ids: Vec::new(),
            base_number: 1,
            entries: Vec::new(),
            deleted: Vec::new(),
            made: Vec::new(),
            error: None,
            error_details: None,
            missing: 0,
            column_ids: Vec::new(),
        }
    }

    /// Starts a row of the stream `base`.
    pub(super) fn begin(&mut self, base: &Labels, view: RowView<'_>, plan: &ExtractPlan) {
        self.row = self.row.wrapping_add(1);
        if self.row == 0 {
            self.states.iter_mut().for_each(|state| state.row = 0);
            self.row = 1;
        }
        self.entries.clear();
        self.deleted.clear();
        self.made.clear();
        self.error = None;
        self.error_details = None;
        self.missing = plan.required_count();
        if !is_same_set(&self.base, base) {
            self.set_base(base);
        }
        match view.metadata {
            Metadata::Columns(columns, row) => self.load_columns(columns, row),
            Metadata::Pairs(pairs) => {
                for (at, (name, value)) in pairs.iter().enumerate() {
                    let name = self.intern(name);
                    self.load_metadata(name, at, value.is_empty());
                }
            }
        }
    }

    /// Forgets names beyond the first `kept`, and what was known by them. Only between rows.
    pub(super) fn forget_names(&mut self, kept: usize) {
        self.names.truncate(kept);
        self.states.truncate(kept);
        self.column_ids.clear();
        let base = std::mem::take(&mut self.base);
        self.set_base(&base);
    }

    fn set_base(&mut self, base: &Labels) {
        self.base = base.clone();
        self.base_number = self.base_number.wrapping_add(1);
        if self.base_number == 0 {
            self.states.iter_mut().for_each(|state| state.base = 0);
            self.base_number = 1;
        }
        self.base_ids.clear();
        for (at, (name, _)) in base.iter().enumerate() {
            let id = self.intern(name);
            self.base_ids.push(id);
            let state = &mut self.states[id.index()];
            state.base = self.base_number;
            state.base_slot = at as u32 + 1;
        }
    }

    fn load_columns(&mut self, columns: &[TextColumn], row: usize) {
        for (at, column) in columns.iter().enumerate() {
            let Some(value) = column.get(row) else { continue };
            let known = self.column_ids.get(at).copied();
            let name = match known {
                Some(id) if self.names.text(id) == column.name() => id,
                _ => self.remember_column(at, column.name()),
            };
            self.load_metadata(name, at, value.is_empty());
        }
    }

    fn remember_column(&mut self, at: usize, name: &str) -> NameId {
        let id = self.intern(name);
        if self.column_ids.len() <= at {
            self.column_ids.resize(at + 1, ERROR);
        }
        self.column_ids[at] = id;
        id
    }

    fn load_metadata(&mut self, name: NameId, at: usize, is_empty: bool) {
        let value = Value::in_metadata(at);
        match name {
            ERROR => self.error = (!is_empty).then_some(value),
            ERROR_DETAILS => self.error_details = (!is_empty).then_some(value),
            _ => {
                let name = if self.base_slot(name).is_some() { self.suffixed(name) } else { name };
                let slot = self.entries.len() as u32 + 1;
                let state = self.state(name);
                if state.slot == 0 {
                    state.slot = slot;
                    self.entries.push(Entry { name, value, layer: Layer::Metadata });
                } else {
                    let at = state.slot as usize - 1;
                    self.entries[at].value = value;
                }
            }
        }
    }

    /// The number of a name, with room in the tables.
    pub(super) fn intern(&mut self, name: &str) -> NameId {
        let id = self.names.intern(name);
        self.grow();
        id
    }

    /// The name that replaces a taken one.
    pub(super) fn suffixed(&mut self, name: NameId) -> NameId {
        let id = self.names.suffixed(name);
        self.grow();
        id
    }

    /// Makes room for names that were interned elsewhere.
    #[inline]
    pub(super) fn grow(&mut self) {
        if self.states.len() < self.names.len() {
            self.states.resize(self.names.len(), NameState::default());
        }
    }

    /// The state of a name in this row, reset when it is of an older one.
    #[inline]
    fn state(&mut self, name: NameId) -> &mut NameState {
        let state = &mut self.states[name.index()];
        if state.row != self.row {
            state.row = self.row;
            state.slot = 0;
            state.is_extracted = false;
            state.is_deleted = false;
        }
        state
    }

    #[inline]
    fn current(&self, name: NameId) -> Option<&NameState> {
        self.states.get(name.index()).filter(|state| state.row == self.row)
    }

    #[inline]
    fn base_slot(&self, name: NameId) -> Option<u32> {
        let state = self.states.get(name.index())?;
        (state.base == self.base_number).then(|| state.base_slot - 1)
    }

    /// Where the current value of a label stands.
    #[inline]
    pub(super) fn find(&self, name: NameId) -> Option<Value> {
        if let Some(state) = self.current(name) {
            if state.slot != 0 {
                return Some(self.entries[state.slot as usize - 1].value);
            }
            if state.is_deleted {
                return None;
            }
        }
        self.base_slot(name).map(|at| Value::in_base(at as usize))
    }

    /// The current value of a label.
    #[inline]
    pub(super) fn get<'a>(&'a self, view: RowView<'a>, name: NameId) -> Option<&'a [u8]> {
        self.find(name).map(|value| self.bytes(view, value))
    }

    /// The bytes of a value.
    #[inline]
    pub(super) fn bytes<'a>(&'a self, view: RowView<'a>, value: Value) -> &'a [u8] {
        match value.place() {
            IN_LINE => &view.line[value.start()..value.end()],
            IN_MADE => &self.made[value.start()..value.end()],
            IN_METADATA => view.metadata.value(value.start()).as_bytes(),
            _ => self.base.iter().nth(value.start()).map_or(&b""[..], |(_, text)| text.as_bytes()),
        }
    }

    /// Whether a parser must give this name the suffix.
    pub(super) fn is_taken(&self, name: NameId) -> bool {
        self.base_slot(name).is_some() || self.layer(name) == Some(Layer::Metadata)
    }

    /// The layer of the name's entry.
    pub(super) fn layer(&self, name: NameId) -> Option<Layer> {
        let slot = self.current(name)?.slot;
        (slot != 0).then(|| self.entries[slot as usize - 1].layer)
    }

    /// Whether an earlier layer holds the name, and whether some stage set it in this row.
    #[inline]
    pub(super) fn probe(&self, name: NameId) -> (bool, bool) {
        let Some(state) = self.states.get(name.index()) else { return (false, false) };
        let in_base = state.base == self.base_number;
        if state.row != self.row {
            return (in_base, false);
        }
        let in_metadata =
            state.slot != 0 && self.entries[state.slot as usize - 1].layer == Layer::Metadata;
        (in_base || in_metadata, state.is_extracted)
    }

    /// Whether some stage set this name in this row.
    #[inline]
    pub(super) fn is_extracted(&self, name: NameId) -> bool {
        self.current(name).is_some_and(|state| state.is_extracted)
    }

    /// Whether nothing is left to extract.
    #[inline]
    pub(super) fn has_all(&self, plan: &ExtractPlan) -> bool {
        self.missing == 0 && plan.required_count() > 0
    }

    /// Sets a parsed label.
    #[inline]
    pub(super) fn set_parsed(&mut self, plan: &ExtractPlan, name: NameId, value: Value) {
        let next = self.entries.len() as u32 + 1;
        let state = self.state(name);
        if !state.is_extracted {
            state.is_extracted = true;
            if self.missing > 0 && plan.is_required(name) {
                self.missing -= 1;
            }
        }
        let state = &mut self.states[name.index()];
        let entry = Entry { name, value, layer: Layer::Parsed };
        if state.slot == 0 {
            state.slot = next;
            self.entries.push(entry);
        } else {
            let at = state.slot as usize - 1;
            self.entries[at] = entry;
        }
    }

    /// Removes a label from every layer.
    pub(super) fn delete(&mut self, name: NameId) {
        let state = self.state(name);
        let slot = std::mem::take(&mut state.slot);
        if !std::mem::replace(&mut state.is_deleted, true) {
            self.deleted.push(name);
        }
        if slot != 0 {
            self.entries[slot as usize - 1].layer = Layer::Removed;
        }
    }

    /// Whether the label was removed at some time in this row.
    pub(super) fn is_deleted(&self, name: NameId) -> bool {
        self.current(name).is_some_and(|state| state.is_deleted)
    }

    /// Copies bytes into the row's buffer.
    pub(super) fn make(&mut self, bytes: &[u8]) -> Value {
        let start = self.made.len();
        self.made.extend_from_slice(bytes);
        Value::new(IN_MADE, start, bytes.len())
    }

    /// Lets `write` append to the row's buffer; answers what it appended, or its error.
    pub(super) fn make_with<E>(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<Value, E> {
        let start = self.made.len();
        let result = write(&mut self.made);
        if result.is_err() {
            self.made.truncate(start);
        }
        result.map(|()| Value::new(IN_MADE, start, self.made.len() - start))
    }

    /// Sets the error; `details` replaces older details unless it is `None`.
    pub(super) fn set_error(&mut self, error: &str, details: Option<&str>) {
        self.error = Some(self.make(error.as_bytes()));
        if let Some(details) = details {
            self.error_details = Some(self.make(details.as_bytes()));
        }
    }

    /// Whether the row carries an error.
    #[inline]
    pub(super) fn has_error(&self) -> bool {
        self.error.is_some()
    }

    /// The error; empty when there is none.
    pub(super) fn error<'a>(&'a self, view: RowView<'a>) -> &'a [u8] {
        self.error.map_or(b"", |value| self.bytes(view, value))
    }

    /// The error's details; empty when there are none.
    pub(super) fn error_details<'a>(&'a self, view: RowView<'a>) -> &'a [u8] {
        self.error_details.map_or(b"", |value| self.bytes(view, value))
    }

    /// Forgets the error.
    pub(super) fn clear_error(&mut self) {
        self.error = None;
    }

    /// Forgets the error's details.
    pub(super) fn clear_error_details(&mut self) {
        self.error_details = None;
    }

    /// Whether the labels are exactly those of the stream. Details without an error do not count.
    #[inline]
    pub(super) fn is_base(&self) -> bool {
        self.deleted.is_empty() && self.entries.is_empty() && self.error.is_none()
    }

    /// Labels above the base, without removed ones.
    #[inline]
    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.layer != Layer::Removed)
    }

    /// Names that were removed, in the order of removal.
    pub(super) fn deleted(&self) -> &[NameId] {
        &self.deleted
    }

    /// Labels of the base that are still visible.
    pub(super) fn visible_base(&self) -> impl Iterator<Item = (NameId, &str, &str)> {
        self.base_ids.iter().zip(self.base.iter()).filter_map(|(id, (name, value))| {
            let hidden = self.current(*id).is_some_and(|s| s.slot != 0 || s.is_deleted);
            (!hidden).then_some((*id, name, value))
        })
    }

    /// Every label as it stands now, errors included, in no order; each name once.
    pub(super) fn effective(&self) -> impl Iterator<Item = (NameId, Value)> {
        let base = self.base_ids.iter().enumerate().filter_map(|(at, id)| {
            let hidden = self.current(*id).is_some_and(|s| s.slot != 0 || s.is_deleted);
            (!hidden).then_some((*id, Value::in_base(at)))
        });
        let entries = self.entries().map(|entry| (entry.name, entry.value));
        let error = self.error.map(|value| (ERROR, value));
        let details = self.error_details.filter(|_| !self.is_base());
        let details = details.map(|value| (ERROR_DETAILS, value));
        // Labels of these names may also have been parsed; the error wins.
        let is_covered = move |name: NameId| {
            (name == ERROR && error.is_some()) || (name == ERROR_DETAILS && details.is_some())
        };
        base.chain(entries).filter(move |(name, _)| !is_covered(*name)).chain(error).chain(details)
    }

    /// A number that changes with the base.
    pub(super) fn base_number(&self) -> u32 {
        self.base_number
    }

    /// The stream's labels.
    pub(super) fn base(&self) -> &Labels {
        &self.base
    }
}

/// Whether two label sets share their memory, which makes them equal. Sets that are equal but
/// stored twice may be reported as different.
fn is_same_set(a: &Labels, b: &Labels) -> bool {
    // `a` is kept alive by the caller, so its memory cannot belong to another set meanwhile.
    a.len() == b.len()
        && match (a.iter().next(), b.iter().next()) {
            (Some((a, _)), Some((b, _))) => {
                !a.is_empty() && std::ptr::eq(a.as_ptr(), b.as_ptr()) && a.len() == b.len()
            }
            (None, None) => true,
            _ => false,
        }
}
