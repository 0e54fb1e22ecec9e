//! `sigyn check --pruning`: questions made from a store's own rows, answered by the index, and
//! checked against the rows of blocks that the index rules out.

use logql::Expr;
use logql::pipeline::{Hints, Pipeline};
use logql::source::Batch;
use model::columns::{Lines, TextColumn};
use runtime::random::{Random, SeededRandom};
use segment::{BlockMeta, BlockSet, Footer, MetadataColumn, Required};

/// Bytes of the parts of lines that are asked for.
const PART_BYTES: std::ops::Range<usize> = 3..41;

/// Asks about segments and counts what came of it.
pub(super) struct Pruning {
    /// Questions for each segment.
    questions: usize,
    /// Blocks that are scanned for each question, of those ruled out.
    blocks: usize,
    random: SeededRandom,
    /// What was found so far.
    pub(super) found: Found,
}

/// Counts over all segments.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) questions: u64,
    /// Blocks of the segments asked, once per question.
    pub(super) blocks: u64,
    pub(super) excluded: u64,
    pub(super) scanned: u64,
    pub(super) missed: u64,
}

/// A segment's bytes and what they say.
struct Segment<'a> {
    bytes: &'a [u8],
    footer: Footer,
}

impl Segment<'_> {
    fn part(&self, range: &std::ops::Range<u64>) -> Result<&[u8], String> {
        let part = self.bytes.get(range.start as usize..range.end as usize);
        part.ok_or_else(|| "a range ends past the object".to_owned())
    }

    fn lines(&self, block: &BlockMeta) -> Result<Lines, String> {
        let text = |error: segment::FormatError| error.to_string();
        let lengths = segment::decode_lengths(block, self.part(&block.lengths)?).map_err(text)?;
        let times =
            segment::decode_timestamps(block, self.part(&block.timestamps)?).map_err(text)?;
        segment::decode_lines(block, &times, &lengths, self.part(&block.lines)?).map_err(text)
    }

    fn column(&self, column: &MetadataColumn) -> Result<TextColumn, String> {
        let decoded = segment::decode_metadata(column, self.part(&column.range)?);
        decoded.map_err(|error| error.to_string())
    }

    /// The blocks that the index leaves.
    fn candidates(&self, required: &[Required<'_>]) -> Result<BlockSet, String> {
        let plan = segment::prune(&self.footer, required);
        let ranges = plan.ranges();
        let pages = ranges.iter().map(|range| self.part(range)).collect::<Result<Vec<_>, _>>()?;
        plan.blocks(&self.footer, &pages).map_err(|error| error.to_string())
    }
}

impl Pruning {
    pub(super) fn new(questions: usize, blocks: usize, seed: u64) -> Self {
        Self { questions, blocks, random: SeededRandom::new(seed), found: Found::default() }
    }

    /// Asks about one segment; `missed` is told of every row that was ruled out in error.
    ///
    /// # Errors
    ///
    /// Why the segment cannot be read.
    pub(super) fn ask(
        &mut self,
        bytes: &[u8],
        mut missed: impl FnMut(String),
    ) -> Result<(), String> {
        let footer =
            Footer::decode(bytes, bytes.len() as u64).map_err(|error| error.to_string())?;
        let segment = Segment { bytes, footer };
        for _ in 0..self.questions {
            let block = self.below(segment.footer.blocks().len());
            let block = &segment.footer.blocks()[block];
            match self.random.next_u64() % 5 {
                0 => self.ask_metadata(&segment, block, &mut missed)?,
                form => self.ask_lines(&segment, block, form, &mut missed)?,
            }
        }
        Ok(())
    }

    /// Asks for a part of one of the block's lines.
    fn ask_lines(
        &mut self,
        segment: &Segment<'_>,
        block: &BlockMeta,
        form: u64,
        missed: &mut dyn FnMut(String),
    ) -> Result<(), String> {
        let lines = segment.lines(block)?;
        let line = String::from_utf8_lossy(lines.row(self.below(lines.len()))).into_owned();
        let Some((first, second)) = self.parts(&line) else { return Ok(()) };
        let filter = match form {
            1 => format!("|= {}", quoted(&first)),
            2 => format!("|= {} or {}", quoted(&first), quoted("nowhere-to-be-found")),
            3 => format!("|~ {}", quoted(&format!("(?i){}", escaped(&first.to_uppercase())))),
            _ => {
                format!("|~ {}", quoted(&format!("{}(?s:.)*{}", escaped(&first), escaped(&second))))
            }
        };
        let query = format!("{{app=\"any\"}} {filter}");
        let pipeline = match logql::parse(&query) {
            Ok(Expr::Log(query)) => Pipeline::build(&query.stages, None, Hints::log()),
            _ => return Ok(()),
        };
        let Ok(pipeline) = pipeline else { return Ok(()) };
        let required = pipeline.required();
        let required: Vec<_> =
            required.iter().map(|condition| Required::AnyOf(&condition.any_of)).collect();
        let left = segment.candidates(&required)?;
        let mut scratch = pipeline.scratch();
        let mut finds = |block: &BlockMeta| -> Result<bool, String> {
            let batch = Batch { lines: segment.lines(block)?, ..Batch::default() };
            let mut rows = Vec::new();
            pipeline.sweep(&batch, 0..batch.lines.len(), &mut scratch, &mut rows);
            Ok(!rows.is_empty())
        };
        self.judge(segment, &left, &mut finds, &mut |block| {
            missed(format!("block {block}: {filter}"));
        })
    }

    /// Asks for one of the block's metadata values.
    fn ask_metadata(
        &mut self,
        segment: &Segment<'_>,
        block: &BlockMeta,
        missed: &mut dyn FnMut(String),
    ) -> Result<(), String> {
        if block.metadata.is_empty() {
            return Ok(());
        }
        let column = &block.metadata[self.below(block.metadata.len())];
        let values = segment.column(column)?;
        let values = values.values();
        let Some(value) = values.get(self.below(values.len())) else { return Ok(()) };
        let name = &*column.name;
        let left = segment.candidates(&[Required::Metadata(name, value)])?;
        let mut finds = |block: &BlockMeta| -> Result<bool, String> {
            let Some(column) = block.metadata_named(name) else { return Ok(false) };
            Ok(segment.column(column)?.values().contains(value))
        };
        self.judge(segment, &left, &mut finds, &mut |block| {
            missed(format!("block {block}: {name}={}", quoted(value)));
        })
    }

    /// Scans some of the blocks that were ruled out.
    fn judge(
        &mut self,
        segment: &Segment<'_>,
        left: &BlockSet,
        finds: &mut dyn FnMut(&BlockMeta) -> Result<bool, String>,
        missed: &mut dyn FnMut(u32),
    ) -> Result<(), String> {
        let blocks = segment.footer.blocks();
        let mut excluded: Vec<&BlockMeta> =
            blocks.iter().filter(|block| !left.contains(block.ordinal)).collect();
        self.found.questions += 1;
        self.found.blocks += blocks.len() as u64;
        self.found.excluded += excluded.len() as u64;
        for _ in 0..self.blocks.min(excluded.len()) {
            let block = excluded.swap_remove(self.below(excluded.len()));
            self.found.scanned += 1;
            if finds(block)? {
                self.found.missed += 1;
                missed(block.ordinal);
            }
        }
        Ok(())
    }

    /// Two parts of a line, one behind the other.
    fn parts(&self, line: &str) -> Option<(String, String)> {
        let chars: Vec<char> = line.chars().collect();
        let len = PART_BYTES.start + self.below(PART_BYTES.len());
        let start = self.below(chars.len().saturating_sub(PART_BYTES.start).max(1));
        let first = chars.get(start..(start + len).min(chars.len()))?;
        let behind = (start + first.len()).min(chars.len());
        let second = chars.get(behind..(behind + len / 2).min(chars.len()))?;
        (!first.is_empty()).then(|| (first.iter().collect(), second.iter().collect()))
    }

    /// A number below `count`; 0 when there is none.
    fn below(&self, count: usize) -> usize {
        (self.random.next_u64() % count.max(1) as u64) as usize
    }
}

fn quoted(text: &str) -> String {
    let mut out = String::new();
    model::label::quote_into(text, &mut out);
    out
}

/// A text as a regular expression for itself.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii_punctuation() {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use model::{Labels, TenantId, Timestamp};
    use segment::{EncodeSettings, Row, SegmentFacts, SegmentWriter};

    use super::*;

    fn encoded() -> Vec<u8> {
        let tenant = TenantId::anonymous();
        let facts = SegmentFacts { tenant, day: 0, level: 0, coverage: None };
        let settings = EncodeSettings { block_rows: 200, ..EncodeSettings::default() };
        let mut writer = SegmentWriter::new(facts, settings);
        writer.add_stream(&Labels::new([("app", "x")]));
        for n in 0..2000u64 {
            let id = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let line = format!("GET /api/größe/{} took={n}ms id={id:016x}", n / 300);
            let trace = format!("{:016x}", !id);
            let metadata = [("trace_id", trace.as_str())];
            let timestamp = Timestamp(n as i64);
            let line = line.as_bytes();
            writer.add_row(Row { timestamp, line, level: None, metadata: &metadata });
        }
        writer.finish().unwrap().bytes.to_vec()
    }

    #[test]
    fn an_index_rules_out_and_misses_nothing() {
        let bytes = encoded();
        let mut pruning = Pruning::new(200, 3, 7);
        pruning.ask(&bytes, |miss| panic!("{miss}")).unwrap();
        let Found { questions, blocks, excluded, scanned, missed } = pruning.found;
        assert!(questions > 150 && blocks == questions * 10 && missed == 0);
        assert!(excluded > blocks / 4 && scanned > questions, "{excluded} of {blocks}");
    }

    #[test]
    fn texts_stand_for_themselves() {
        assert_eq!(escaped("a.b*ü"), "a\\.b\\*ü");
        assert_eq!(quoted("a\"b"), "\"a\\\"b\"");
    }
}
