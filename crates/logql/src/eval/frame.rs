//! Series over the steps of a query: what the inner nodes of a metric query work on.
//!
//! Labels do not change from step to step, so grouping and matching are done once per series and
//! only values are worked on step by step.

use std::sync::Arc;

use model::answer::ResultLabels;

/// Labels of a series, shared between the stages of an evaluation; in name order.
pub type SeriesLabels = Arc<ResultLabels>;

/// Series in an order that matters only to instant queries that sort.
#[derive(Debug, Clone, Default)]
pub struct Frame {
    /// The series. Two may have equal labels, after `label_replace`.
    pub series: Vec<FrameSeries>,
}

/// One series.
#[derive(Debug, Clone)]
pub struct FrameSeries {
    /// Its labels.
    pub labels: SeriesLabels,
    /// Its values.
    pub points: Points,
}

/// Values at ascending steps.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Points {
    steps: Vec<u32>,
    values: Vec<f64>,
}

impl Points {
    /// No values, with room for some.
    #[must_use]
    pub fn with_capacity(count: usize) -> Self {
        Self { steps: Vec::with_capacity(count), values: Vec::with_capacity(count) }
    }

    /// The same value at steps `0..count`.
    #[must_use]
    pub fn constant(value: f64, count: usize) -> Self {
        Self { steps: (0..count as u32).collect(), values: vec![value; count] }
    }

    /// Appends a value; `step` is not before the last one.
    pub fn push(&mut self, step: u32, value: f64) {
        debug_assert!(self.steps.last().is_none_or(|last| *last <= step), "steps ascend");
        self.steps.push(step);
        self.values.push(value);
    }

    /// How many values there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether there is no value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Steps and values, by step.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (u32, f64)> + '_ {
        self.steps.iter().copied().zip(self.values.iter().copied())
    }

    /// The values that `f` makes of these; steps for which it answers `None` are left out.
    #[must_use]
    pub fn map(&self, mut f: impl FnMut(f64) -> Option<f64>) -> Self {
        let mut points = Self::with_capacity(self.len());
        for (step, value) in self.iter() {
            if let Some(value) = f(value) {
                points.push(step, value);
            }
        }
        points
    }

    /// The values at the steps that `keep` accepts.
    #[must_use]
    pub fn filter(&self, mut keep: impl FnMut(u32) -> bool) -> Self {
        let mut points = Self::default();
        for (step, value) in self.iter().filter(|(step, _)| keep(*step)) {
            points.push(step, value);
        }
        points
    }

    /// These values and others, by step; of equal steps these come first.
    #[must_use]
    pub fn merged_with(&self, other: &Self) -> Self {
        let mut points = Self::with_capacity(self.len() + other.len());
        let mut others = other.iter().peekable();
        for (step, value) in self.iter() {
            while let Some((step, value)) = others.next_if(|next| next.0 < step) {
                points.push(step, value);
            }
            points.push(step, value);
        }
        for (step, value) in others {
            points.push(step, value);
        }
        points
    }
}

/// The value of a label, if the series has it.
#[must_use]
pub fn label<'a>(labels: &'a ResultLabels, name: &str) -> Option<&'a str> {
    let index = labels.binary_search_by(|(known, _)| known.as_str().cmp(name)).ok()?;
    Some(&labels[index].1)
}

/// Prints labels as `{a="b", c="d"}`, the form in which series are named to users.
#[must_use]
pub fn print(labels: &ResultLabels) -> String {
    let mut text = String::with_capacity(2 + 24 * labels.len());
    text.push('{');
    for (index, (name, value)) in labels.iter().enumerate() {
        if index > 0 {
            text.push_str(", ");
        }
        text.push_str(name);
        text.push('=');
        model::label::quote_into(value, &mut text);
    }
    text.push('}');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(pairs: &[(u32, f64)]) -> Points {
        let mut points = Points::default();
        pairs.iter().for_each(|(step, value)| points.push(*step, *value));
        points
    }

    #[test]
    fn merging_keeps_steps_in_order() {
        let merged = points(&[(1, 1.0), (3, 3.0)]).merged_with(&points(&[(0, 9.0), (3, 8.0)]));
        assert_eq!(merged, points(&[(0, 9.0), (1, 1.0), (3, 3.0), (3, 8.0)]));
    }

    #[test]
    fn labels_print_quoted() {
        let labels = vec![("a".to_owned(), "x\"y".to_owned()), ("b".to_owned(), String::new())];
        assert_eq!(print(&labels), r#"{a="x\"y", b=""}"#);
        assert_eq!((label(&labels, "b"), label(&labels, "c")), (Some(""), None));
    }
}
