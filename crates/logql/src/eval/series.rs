//! Which series a row belongs to, and what each series has gathered.
//!
//! A row's labels are looked up by the key that the pipeline writes, so a set of labels is built
//! once per series and thread, not once per row.

use std::sync::Arc;

use hashbrown::HashMap;
use model::answer::ResultLabels;

use super::accumulate::Accumulator;
use super::control::Account;
use super::error::QueryError;
use super::frame::{SeriesLabels, label, print};
use super::timeline::Timeline;
use crate::pipeline::Outcome;

/// Name of the label that carries an error.
pub const ERROR: &str = "__error__";
/// Name of the label that says an error was asked for.
const PRESERVE_ERROR: &str = "__preserve_error__";

/// What a series costs beyond its labels and samples, roughly.
const SERIES_BYTES: usize = 256;

/// The series of one thread.
#[derive(Debug)]
pub struct SeriesTable<'a, A> {
    /// By the pipeline's key; of one scratch.
    by_key: HashMap<Box<[u8]>, u32>,
    by_labels: HashMap<SeriesLabels, u32>,
    timelines: Vec<Timeline<A>>,
    /// The earliest row whose error ends the query.
    failure: Option<(i64, ResultLabels)>,
    account: Account<'a>,
    key: Vec<u8>,
}

/// What the threads of a read gathered together.
pub type Gathered<A> = Vec<(SeriesLabels, Vec<(u32, A)>)>;

impl<'a, A: Accumulator> SeriesTable<'a, A> {
    /// No series.
    #[must_use]
    pub fn new(account: Account<'a>) -> Self {
        Self {
            by_key: HashMap::new(),
            by_labels: HashMap::new(),
            timelines: Vec::new(),
            failure: None,
            account,
            key: Vec::new(),
        }
    }

    /// The series of a row; `None` when the row carries an error that ends the query.
    ///
    /// # Errors
    ///
    /// [`QueryError::MemoryLimit`] and [`QueryError::Cancelled`].
    pub fn find(&mut self, outcome: &Outcome<'_>, at: i64) -> Result<Option<u32>, QueryError> {
        if !outcome.error().is_empty() && self.fails(outcome, at) {
            return Ok(None);
        }
        outcome.series_key(&mut self.key);
        if let Some(series) = self.by_key.get(&*self.key) {
            return Ok(Some(*series));
        }
        let labels = outcome.series_labels();
        let label_bytes: usize = labels.iter().map(|(n, v)| n.len() + v.len() + 48).sum();
        self.account.charge(self.key.len() + 64)?;
        let series = self.of_labels(Arc::new(labels), label_bytes)?;
        self.by_key.insert(self.key.as_slice().into(), series);
        Ok(Some(series))
    }

    fn of_labels(&mut self, labels: SeriesLabels, bytes: usize) -> Result<u32, QueryError> {
        if let Some(series) = self.by_labels.get(&labels) {
            return Ok(*series);
        }
        self.account.charge(bytes + SERIES_BYTES)?;
        let series = self.timelines.len() as u32;
        self.timelines.push(Timeline::default());
        self.by_labels.insert(labels, series);
        Ok(series)
    }

    /// Notes the error of a row, unless the query asked to see it.
    fn fails(&mut self, outcome: &Outcome<'_>, at: i64) -> bool {
        if self.failure.as_ref().is_some_and(|(earliest, _)| *earliest < at) {
            return true;
        }
        let labels = outcome.series_labels();
        if label(&labels, ERROR).is_none() || label(&labels, PRESERVE_ERROR) == Some("true") {
            return false;
        }
        if self.failure.as_ref().is_none_or(|known| (at, &labels) < (known.0, &known.1)) {
            self.failure = Some((at, labels));
        }
        true
    }

    /// What a series has in a span.
    ///
    /// # Errors
    ///
    /// [`QueryError::MemoryLimit`] and [`QueryError::Cancelled`].
    #[inline]
    pub fn at(&mut self, series: u32, span: u32) -> Result<&mut A, QueryError> {
        if A::BYTES_PER_SAMPLE > 0 {
            self.account.charge(A::BYTES_PER_SAMPLE)?;
        }
        self.timelines[series as usize].at(span, &mut self.account)
    }

    /// Joins the tables of all threads; series come in the order of their labels.
    ///
    /// # Errors
    ///
    /// [`QueryError::Pipeline`] when a row's error ends the query.
    pub fn join(tables: Vec<Self>) -> Result<(Gathered<A>, Vec<Account<'a>>), QueryError> {
        let failures = tables.iter().filter_map(|table| table.failure.as_ref());
        if let Some((_, labels)) = failures.min() {
            let error = label(labels, ERROR).unwrap_or_default().to_owned();
            return Err(QueryError::Pipeline { error, series: print(labels) });
        }
        let mut tables = tables.into_iter();
        let Some(mut joined) = tables.next() else { return Ok((Vec::new(), Vec::new())) };
        let mut accounts = Vec::new();
        for mut table in tables {
            for (labels, series) in table.by_labels {
                let timeline = std::mem::take(&mut table.timelines[series as usize]);
                let own = joined.of_labels(labels, 0)?;
                joined.timelines[own as usize].merge(timeline, &mut joined.account)?;
            }
            accounts.push(table.account);
        }
        accounts.push(joined.account);
        let mut gathered: Gathered<A> = joined
            .by_labels
            .into_iter()
            .map(|(labels, series)| {
                let timeline = std::mem::take(&mut joined.timelines[series as usize]);
                (labels, timeline.into_entries())
            })
            .collect();
        gathered.sort_by(|a, b| a.0.cmp(&b.0));
        Ok((gathered, accounts))
    }
}
