//! From entries to frames: the stages of the query, the shape of the client.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use api::query::tail::{DroppedEntry, write_frame, write_legacy_frame};
use ingester::{Dropped, TailEntry};
use logql::pipeline::{Metadata, Pipeline, RowView, Scratch};
use model::answer::{ResultEntry, ResultLabels, ResultStream};
use model::level::LEVEL_NAME;
use model::{Labels, Timestamp};
use querier::HiddenEntries;

use super::Shape;
use super::feed::News;

/// Entries of a frame, at most.
const FRAME_ENTRIES_MAX: usize = 100;

/// Turns entries into frames for one client.
pub(super) struct Live {
    pipeline: Pipeline,
    scratch: Scratch,
    shape: Shape,
    /// Hashes of the entries that were sent as history: the subscription is older than the
    /// history, so it has the newest of them too.
    seen: HashSet<u64>,
}

/// An entry after the stages of the query.
struct Rendered {
    labels: ResultLabels,
    entry: ResultEntry,
}

impl Live {
    pub(super) fn new(pipeline: Pipeline, shape: Shape) -> Self {
        let scratch = pipeline.scratch();
        Self { pipeline, scratch, shape, seen: HashSet::new() }
    }

    /// Whether labels are to be told apart by where they come from.
    pub(super) fn categorizes(&self) -> bool {
        matches!(&self.shape, Shape::Current(flags) if flags.categorize())
    }

    /// Frames of entries that were there before the tail, oldest first.
    pub(super) fn history(&mut self, streams: Vec<ResultStream>) -> Vec<String> {
        let mut rendered = Vec::new();
        for ResultStream { labels, entries } in streams {
            for entry in entries {
                self.seen.insert(hash(&labels, &entry));
                rendered.push(Rendered { labels: labels.clone(), entry });
            }
        }
        rendered.sort_by_key(|one| one.entry.timestamp);
        self.frames(rendered, &[])
    }

    /// Frames of new entries in the order of their times, and of what the client was too slow for.
    pub(super) fn news(
        &mut self,
        news: &[News],
        dropped: &Dropped,
        mut hidden: Option<HiddenEntries>,
    ) -> Vec<String> {
        let mut rendered = Vec::new();
        for entries in news {
            entries.for_each(|entry| {
                let is_hidden = |hidden: &mut HiddenEntries| {
                    let metadata = metadata_of(entry);
                    hidden.hides(entries.labels(), row_of(entry, &metadata))
                };
                if !hidden.as_mut().is_some_and(is_hidden)
                    && let Some(one) = self.render(entries.labels(), entry)
                    && (self.seen.is_empty() || !self.seen.remove(&hash(&one.labels, &one.entry)))
                {
                    rendered.push(one);
                }
            });
        }
        rendered.sort_by_key(|one| one.entry.timestamp);
        let dropped: Vec<DroppedEntry> =
            dropped.named.iter().map(|(at, labels)| dropped_entry(*at, labels)).collect();
        self.frames(rendered, &dropped)
    }

    fn render(&mut self, base: &Labels, entry: &TailEntry<'_>) -> Option<Rendered> {
        if !self.pipeline.admits(entry.line, &mut self.scratch) {
            return None;
        }
        let metadata = metadata_of(entry);
        let is_categorized = self.categorizes();
        let row = row_of(entry, &metadata);
        let outcome = self.pipeline.process(base, row, &mut self.scratch)?;
        let line = outcome.line().to_vec();
        let (labels, structured_metadata, parsed) = if is_categorized {
            let categories = outcome.categories();
            (categories.stream, categories.structured_metadata, categories.parsed)
        } else {
            (outcome.series_labels(), Vec::new(), Vec::new())
        };
        let timestamp = entry.timestamp;
        Some(Rendered {
            labels,
            entry: ResultEntry { timestamp, line, structured_metadata, parsed },
        })
    }

    fn frames(&self, rendered: Vec<Rendered>, dropped: &[DroppedEntry]) -> Vec<String> {
        let mut frames = Vec::new();
        let mut rest = rendered.into_iter();
        loop {
            let streams = join(rest.by_ref().take(FRAME_ENTRIES_MAX));
            let dropped = if frames.is_empty() { dropped } else { &[] };
            if streams.is_empty() && dropped.is_empty() {
                return frames;
            }
            frames.push(self.frame(&streams, dropped));
        }
    }

    fn frame(&self, streams: &[ResultStream], dropped: &[DroppedEntry]) -> String {
        let mut bytes = Vec::new();
        match &self.shape {
            Shape::Current(flags) => write_frame(streams, dropped, flags, &mut bytes),
            Shape::Legacy => write_legacy_frame(streams, dropped, &mut bytes),
        }
        // The writers replace what is not UTF-8.
        String::from_utf8(bytes).unwrap_or_default()
    }
}

/// An entry's pairs, its level among them.
fn metadata_of<'a>(entry: &TailEntry<'a>) -> Vec<(&'a str, &'a str)> {
    let mut metadata = entry.metadata.clone();
    metadata.extend(entry.level.map(|level| (LEVEL_NAME, level.as_str())));
    metadata
}

fn row_of<'a>(entry: &TailEntry<'a>, metadata: &'a [(&'a str, &'a str)]) -> RowView<'a> {
    let metadata = Metadata::Pairs(metadata);
    RowView { timestamp: entry.timestamp, line: entry.line, columns: None, metadata }
}

/// Neighbours with equal labels become one stream.
fn join(rendered: impl Iterator<Item = Rendered>) -> Vec<ResultStream> {
    let mut streams: Vec<ResultStream> = Vec::new();
    for Rendered { labels, entry } in rendered {
        match streams.last_mut() {
            Some(last) if last.labels == labels => last.entries.push(entry),
            _ => streams.push(ResultStream { labels, entries: vec![entry] }),
        }
    }
    streams
}

fn hash(labels: &ResultLabels, entry: &ResultEntry) -> u64 {
    let mut hasher = DefaultHasher::new();
    labels.hash(&mut hasher);
    entry.timestamp.hash(&mut hasher);
    entry.line.hash(&mut hasher);
    entry.structured_metadata.hash(&mut hasher);
    entry.parsed.hash(&mut hasher);
    hasher.finish()
}

fn dropped_entry(timestamp: Timestamp, labels: &Labels) -> DroppedEntry {
    let labels = labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    DroppedEntry { timestamp, labels }
}
