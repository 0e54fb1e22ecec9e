//! `| logfmt` and `| logfmt a="b"`: `key=value` pairs become labels (language reference 5.4, 5.5).

use super::column_plan::PlannedField;
use super::extract::{Extractor, Flow, LOGFMT_ERROR};
use super::hints::ExtractPlan;
use super::keys::{KeyCursor, Keys};
use super::labels::Value;
use super::logfmt_scan::{Found, PairError, Pairs, unquote};
use super::names::{NameId, Names};
use super::row::Row;
use super::scan::{append_clean, is_clean};
use crate::syntax::ast;

/// The compiled stage.
#[derive(Debug, Clone)]
pub(super) struct Logfmt {
    /// Stop at the first bad pair and mark the row.
    is_strict: bool,
    /// Keys without a value become empty labels.
    keeps_empty: bool,
    /// The labels to set and the keys they come from; empty for all.
    extracts: Vec<(NameId, NameId)>,
}

impl Logfmt {
    /// Compiles the stage.
    ///
    /// # Errors
    ///
    /// `cannot parse expression […]: …` when a source is no key.
    pub(super) fn compile(stage: &ast::Logfmt, names: &mut Names) -> Result<Self, String> {
        let extracts = stage.extracts.iter().map(|extract| {
            let source = parse_source(&extract.expression).map_err(|error| {
                format!("cannot parse expression [{}]: {error}", extract.expression)
            })?;
            Ok((names.intern(&extract.label), names.intern(source)))
        });
        Ok(Self {
            is_strict: stage.strict,
            keeps_empty: stage.keep_empty,
            extracts: extracts.collect::<Result<_, String>>()?,
        })
    }

    /// Runs the stage on a row.
    pub(super) fn run(&self, row: &mut Row<'_, '_>, plan: &ExtractPlan, keys: &mut Keys) -> Flow {
        let Some((line, mut extractor)) = Extractor::open(row, plan) else {
            return Flow::Continue;
        };
        let result = if self.extracts.is_empty() {
            self.run_all(line, &mut extractor, keys)
        } else {
            self.run_extracts(line, &mut extractor, keys)
        };
        match result {
            Ok(flow) => flow,
            Err(error) => {
                extractor.fail(LOGFMT_ERROR, Some(&error.to_string()));
                Flow::Continue
            }
        }
    }

    /// Whether the stage names the keys it wants.
    pub(super) fn has_extracts(&self) -> bool {
        !self.extracts.is_empty()
    }

    /// Whether a stage with keys may take the value of this one: as a source, or as its own label.
    pub(super) fn asks_for(&self, key: NameId) -> bool {
        self.extracts.iter().any(|(label, source)| *label == key || *source == key)
    }

    /// Runs a stage with keys on a row whose line was taken apart, given the pairs it asks for.
    pub(super) fn run_planned(
        &self,
        row: &mut Row<'_, '_>,
        plan: &ExtractPlan,
        pairs: &[PlannedField],
    ) -> Flow {
        let Some(at) = row.view.columns else { return Flow::Continue };
        let Some((_, mut extractor)) = Extractor::open(row, plan) else {
            return Flow::Continue;
        };
        self.preset(&mut extractor);
        for pair in pairs {
            let Some(label) = self.label_of(pair.name, &extractor) else { continue };
            let value = extractor.text_value(pair, at);
            if set_extract(label, value, &mut extractor) == Flow::Stop {
                break;
            }
        }
        Flow::Continue
    }

    /// Whether keys without a value become labels.
    pub(super) fn keeps_empty(&self) -> bool {
        self.keeps_empty
    }

    fn run_all(
        &self,
        line: &[u8],
        extractor: &mut Extractor<'_, '_>,
        keys: &mut Keys,
    ) -> Result<Flow, PairError> {
        let mut cursor = KeyCursor::START;
        let mut pairs = Pairs::new(line);
        loop {
            match pairs.next() {
                Found::End => return Ok(Flow::Continue),
                Found::Fault if self.is_strict => return Err(pairs.error()),
                Found::Fault => continue,
                Found::Pair => {}
            }
            if pairs.value.0 == pairs.value.1 && !self.keeps_empty {
                continue;
            }
            let raw = &line[pairs.key.0..pairs.key.1];
            let key = extractor.resolve(keys, &mut cursor, (None, raw));
            let Some(name) = key.name.and_then(|name| extractor.accept(name)) else { continue };
            let value = label_value(line, &pairs, extractor);
            let flow = extractor.set(name, value);
            if flow != Flow::Continue {
                return Ok(flow);
            }
        }
    }

    fn run_extracts(
        &self,
        line: &[u8],
        extractor: &mut Extractor<'_, '_>,
        keys: &mut Keys,
    ) -> Result<Flow, PairError> {
        self.preset(extractor);
        let mut cursor = KeyCursor::START;
        let mut pairs = Pairs::new(line);
        loop {
            match pairs.next() {
                Found::End => return Ok(Flow::Continue),
                Found::Fault if self.is_strict => return Err(pairs.error()),
                Found::Fault => continue,
                Found::Pair => {}
            }
            let raw = &line[pairs.key.0..pairs.key.1];
            let Some(name) = extractor.resolve(keys, &mut cursor, (None, raw)).name else {
                continue;
            };
            let Some(label) = self.label_of(name, extractor) else { continue };
            let is_text = is_clean(&line[pairs.value.0..pairs.value.1]);
            let value = if is_text {
                label_value(line, &pairs, extractor)
            } else {
                extractor.labels.make(b"")
            };
            if set_extract(label, value, extractor) == Flow::Stop {
                return Ok(Flow::Continue);
            }
        }
    }

    /// Gives every label of the stage an empty value, unless an earlier layer holds it.
    fn preset(&self, extractor: &mut Extractor<'_, '_>) {
        for (label, _) in &self.extracts {
            if !extractor.labels.is_taken(*label) {
                let value = extractor.labels.make(b"");
                extractor.set_quietly(*label, value);
            }
        }
    }

    /// The label that a key sets, if any: that of the extract with this source, else the key
    /// itself when it is a label of the stage.
    fn label_of(&self, key: NameId, extractor: &Extractor<'_, '_>) -> Option<NameId> {
        let is_label = self.extracts.iter().any(|(label, _)| *label == key);
        let is_welcome = !extractor.labels.is_extracted(key) && extractor.plan.welcomes(key);
        if !is_label && !is_welcome {
            return None;
        }
        let by_source = self.extracts.iter().find(|(_, source)| *source == key);
        by_source.map(|(label, _)| *label).or(is_label.then_some(key))
    }
}

#[inline]
fn label_value(line: &[u8], pairs: &Pairs<'_>, extractor: &mut Extractor<'_, '_>) -> Value {
    let (start, end) = pairs.value;
    if !pairs.is_escaped {
        return extractor.clean_slice(line, start, end);
    }
    let made = extractor.labels.make_with(|out| {
        let from = out.len();
        unquote(&line[start..end], out);
        if !is_clean(&out[from..]) {
            let raw = out.split_off(from);
            append_clean(&raw, out);
        }
        Ok::<(), std::convert::Infallible>(())
    });
    made.unwrap_or(Value::EMPTY)
}

/// Sets a label of a stage with keys; answers whether to go on.
fn set_extract(label: NameId, value: Value, extractor: &mut Extractor<'_, '_>) -> Flow {
    let label = extractor.suffixed_if_taken(label);
    extractor.set_quietly(label, value);
    // The presets count as extracted, so wanted labels further on stay empty (Q3).
    if extractor.labels.has_all(extractor.plan) { Flow::Stop } else { Flow::Continue }
}

/// Reads a source: one key, bare or quoted.
fn parse_source(text: &str) -> Result<&str, String> {
    let text = text.trim();
    if let Some(quoted) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        return Ok(quoted);
    }
    if model::label::is_label_name(text) {
        return Ok(text);
    }
    let is_part = |c: char| c == '_' || c.is_ascii_alphanumeric();
    let starts_key = text.starts_with(|c: char| is_part(c) && !c.is_ascii_digit());
    let mut foreign = text.chars().skip_while(|c| starts_key && is_part(*c));
    Err(match foreign.next() {
        None => "syntax error: unexpected $end, expecting STRING or KEY".into(),
        Some(c) => format!("unexpected char {c}"),
    })
}
