//! `| unwrap label`: a label's value becomes the sample's (language reference 6.6).

use super::label_filter::Filter;
use super::names::{NameId, Names};
use super::number::{parse_bytes, parse_duration, parse_float};
use super::row::Row;
use super::scan::to_text;
use crate::syntax::ast::{Conversion, Unwrap};

/// The error of a row whose label did not convert.
const EXTRACTION_ERROR: &str = "SampleExtractionErr";

/// The compiled end of a pipeline.
#[derive(Debug, Clone)]
pub(super) struct Unwrapper {
    name: NameId,
    conversion: Conversion,
    filters: Vec<Filter>,
}

impl Unwrapper {
    /// Compiles the unwrap.
    ///
    /// # Errors
    ///
    /// The text of a refused filter.
    pub(super) fn compile(unwrap: &Unwrap, names: &mut Names) -> Result<Self, String> {
        let name = names.intern(&unwrap.label);
        let filters = unwrap.filters.iter().map(|filter| Filter::compile(filter, names));
        Ok(Self {
            name,
            conversion: unwrap.conversion,
            filters: filters.collect::<Result<_, _>>()?,
        })
    }

    /// The label that is unwrapped.
    pub(super) fn name(&self) -> NameId {
        self.name
    }

    /// The filters that run afterwards.
    pub(super) fn filters(&self) -> &[Filter] {
        &self.filters
    }

    /// The sample's value; `None` when the row gives none. A value that does not convert marks the
    /// row and counts 0.
    pub(super) fn run(&self, row: &mut Row<'_, '_>) -> Option<f64> {
        let text = row.get(self.name).filter(|text| !text.is_empty())?;
        let result = match std::str::from_utf8(text) {
            Ok(text) => self.convert(text),
            Err(_) => self.convert(&to_text(text)),
        };
        let value = result.unwrap_or_else(|details| {
            row.labels.set_error(EXTRACTION_ERROR, Some(&details));
            0.0
        });
        let keeps = self.filters.iter().all(|filter| filter.keeps(row.labels, row.view));
        keeps.then_some(value)
    }

    /// What a text is as a sample; `None` when it takes more to tell: it does not convert, or is empty.
    pub(super) fn value_of(&self, text: &[u8]) -> Option<f64> {
        let text = std::str::from_utf8(text).ok().filter(|text| !text.is_empty())?;
        self.convert(text).ok()
    }

    fn convert(&self, text: &str) -> Result<f64, String> {
        match self.conversion {
            Conversion::Number => parse_float(text),
            Conversion::Bytes => parse_bytes(text).map(|bytes| bytes as f64),
            Conversion::Duration | Conversion::DurationSeconds => parse_duration(text).map(seconds),
        }
    }
}

/// Nanoseconds as seconds, rounded as Go rounds them.
pub(crate) fn seconds(nanos: i64) -> f64 {
    const SECOND: i64 = model::time::SECOND_NS;
    (nanos / SECOND) as f64 + (nanos % SECOND) as f64 / 1e9
}
