//! Pruning never loses a row: what the index rules out, a look at every row rules out too.

use std::ops::Range;

use model::Labels;
use proptest::prelude::*;
use segment::{BlockSet, EncodeSettings, EncodedSegment, FormatError, IndexPolicy};
use segment::{Required, prune, verify};

use crate::rows::{InputRow, Streams, decode_block, encode, sorted};

fn part<'a>(segment: &'a EncodedSegment, range: &Range<u64>) -> &'a [u8] {
    &segment.bytes[range.start as usize..range.end as usize]
}

fn candidates(segment: &EncodedSegment, required: &[Required<'_>]) -> BlockSet {
    let plan = prune(&segment.footer, required);
    let pages: Vec<&[u8]> = plan.ranges().iter().map(|range| part(segment, range)).collect();
    let left = plan.blocks(&segment.footer, &pages).unwrap();
    // The same of some blocks alone, by as many pages as it takes.
    let mut some = BlockSet::empty(segment.footer.blocks().len());
    (0..).step_by(3).take_while(|at| *at < 2000).for_each(|block| some.insert(block));
    let read = |ranges: &[Range<u64>]| -> Result<Vec<&[u8]>, FormatError> {
        Ok(ranges.iter().map(|range| part(segment, range)).collect())
    };
    let of_some = plan.blocks_among(&segment.footer, &some, read).unwrap();
    some.intersect(&left);
    assert_eq!(of_some, some);
    left
}

fn folds_to(line: &[u8], needle: &[u8]) -> bool {
    let folded = line.to_ascii_lowercase();
    needle.is_empty() || folded.windows(needle.len()).any(|part| part.eq_ignore_ascii_case(needle))
}

fn fulfils(row: &crate::rows::PlainRow, required: &Required<'_>) -> bool {
    match required {
        Required::AnyOf(texts) => texts.iter().any(|text| folds_to(&row.line, text)),
        Required::Metadata(name, value) => row.metadata.get(*name).is_some_and(|own| own == value),
    }
}

/// Checks a pruning against all rows; answers how many blocks were left of how many.
fn check(segment: &EncodedSegment, required: &[Required<'_>]) -> (usize, usize) {
    let left = candidates(segment, required);
    for block in segment.footer.blocks() {
        let rows = decode_block(block, &segment.bytes).unwrap();
        let wanted = rows.iter().any(|row| required.iter().all(|part| fulfils(row, part)));
        assert!(!wanted || left.contains(block.ordinal), "block {} lost", block.ordinal);
    }
    assert_eq!(left.iter().count(), left.count());
    (left.count(), segment.footer.blocks().len())
}

/// A number sequence that looks random and is the same every time.
fn scrambled(n: u64) -> u64 {
    (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

/// Twenty blocks of five apps, each with words of its own and identifiers everywhere.
fn apps() -> EncodedSegment {
    let settings = EncodeSettings { block_rows: 400, ..EncodeSettings::default() };
    let words = [
        ["request", "served"],
        ["payment", "declined"],
        ["kubelet", "evicted"],
        ["Zookeeper", "Quorum"],
        ["compaction", "finished"],
    ];
    let streams: Streams = (0..5u64)
        .map(|app| {
            let rows = (0..1600u64)
                .map(|row| {
                    let id = scrambled(app << 32 | row);
                    let [subject, verb] = words[app as usize];
                    let uuid =
                        format!("{:08x}-0000-4000-8000-{:012x}", id >> 32, scrambled(id) >> 16);
                    let line = format!(
                        "2024-04-16T15:10:44.{:09}Z {subject} trace_{id:016x} was {verb} by {uuid}",
                        row * 617
                    );
                    InputRow {
                        metadata: vec![("trace_id".to_owned(), format!("{:032x}", scrambled(id)))],
                        ..InputRow::new(row as i64, line.as_bytes())
                    }
                })
                .collect();
            (Labels::new([("app", format!("app-{app}"))]), rows)
        })
        .collect();
    encode(&sorted(streams, &settings), &settings).unwrap()
}

fn texts(texts: &[&str]) -> Vec<Box<[u8]>> {
    texts.iter().map(|text| text.as_bytes().into()).collect()
}

#[test]
fn words_and_identifiers_find_their_blocks() {
    let segment = apps();
    let left = |wanted: &[&str]| check(&segment, &[Required::AnyOf(&texts(wanted))]).0;
    assert_eq!(segment.footer.blocks().len(), 20);
    assert_eq!(left(&["declined"]), 4);
    assert_eq!(left(&["eQUOR"]), 0, "the letters stand in other words' order nowhere");
    assert_eq!(left(&["keeper trace"]), 4);
    assert_eq!(left(&["zzzz-not-there-zzzz"]), 0);
    assert_eq!(left(&["declined", "evicted"]), 8);
    let id = format!("{:016x}", scrambled(3 << 32 | 700));
    assert_eq!(left(&[&id]), 1);
    assert_eq!(left(&[&id.to_uppercase()]), 1);
    assert!(left(&[&id[2..14]]) <= 3, "part of an identifier");
    assert_eq!(left(&["0fff1eee2ddd3ccc"]), 0);
    assert_eq!(left(&["a"]), 20, "too short to tell");
    assert_eq!(left(&["declined", "a"]), 20);
}

#[test]
fn conditions_are_combined_and_metadata_has_keys() {
    let segment = apps();
    let declined = texts(&["declined"]);
    let evicted = texts(&["evicted"]);
    let both = [Required::AnyOf(&declined), Required::AnyOf(&evicted)];
    assert_eq!(check(&segment, &both), (0, 20));
    let trace = format!("{:032x}", scrambled(scrambled(2 << 32 | 5)));
    let left = |name, value| check(&segment, &[Required::Metadata(name, value)]).0;
    assert_eq!(left("trace_id", &trace), 1);
    assert_eq!(left("span_id", &trace), 0);
    assert_eq!(left("trace_id", "00000000000000000000000000000000"), 0);
    assert_eq!(left("trace_id", "0"), 20, "too short to be indexed");
    assert_eq!(left("detected_level", "something else"), 20);
    assert_eq!(check(&segment, &[]), (20, 20));
}

#[test]
fn a_segment_without_index_prunes_nothing() {
    let settings = EncodeSettings { index: IndexPolicy::Nothing, ..EncodeSettings::default() };
    let streams = vec![(Labels::default(), vec![InputRow::new(1, b"some line of text")])];
    let segment = encode(&streams, &settings).unwrap();
    let wanted = texts(&["elsewhere"]);
    let plan = prune(&segment.footer, &[Required::AnyOf(&wanted)]);
    assert!(plan.is_useless() && plan.ranges().is_empty());
    assert_eq!(check(&segment, &[Required::AnyOf(&wanted)]), (1, 1));
    assert_eq!(verify(&segment.bytes).unwrap().postings, 0);
}

#[test]
fn damaged_and_missing_pages_are_errors() {
    let segment = apps();
    let wanted = texts(&["declined"]);
    let plan = prune(&segment.footer, &[Required::AnyOf(&wanted)]);
    let mut pages: Vec<Vec<u8>> =
        plan.ranges().iter().map(|range| part(&segment, range).to_vec()).collect();
    assert!(!pages.is_empty() && plan.blocks(&segment.footer, &pages).is_ok());
    pages[0][0] ^= 1;
    assert!(plan.blocks(&segment.footer, &pages).is_err());
    assert!(plan.blocks(&segment.footer, &pages[1..]).is_err());
}

fn any_line() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        4 => prop::sample::select(vec!["error", "Timeout", "user", "GET", "/api/v1", "größe", "\n"])
            .prop_map(str::to_owned),
        2 => "[0-9a-f]{16}|[0-9a-f]{32}|[0-9A-F]{12}",
        1 => "[0-9]{9}Z|[0-9]{10}|[0-9]{19}",
        1 => "[a-zA-Z0-9]{8,24}",
    ];
    prop::collection::vec((word, "[-_:. =\"]"), 0..8)
        .prop_map(|words| words.concat_pairs().into_bytes())
}

trait ConcatPairs {
    fn concat_pairs(&self) -> String;
}

impl ConcatPairs for Vec<(String, String)> {
    fn concat_pairs(&self) -> String {
        self.iter().map(|(word, space)| format!("{word}{space}")).collect()
    }
}

/// A needle: part of some line, maybe with other case or an addition, or something else.
#[derive(Debug, Clone)]
enum Needle {
    Part(prop::sample::Index, prop::sample::Index, prop::sample::Index, bool),
    Other(String),
}

fn any_needle() -> impl Strategy<Value = Needle> {
    prop_oneof![
        4 => any::<(prop::sample::Index, prop::sample::Index, prop::sample::Index, bool)>()
            .prop_map(|(line, from, to, upper)| Needle::Part(line, from, to, upper)),
        1 => "[a-z0-9 -]{1,12}|[0-9a-f]{10,20}".prop_map(Needle::Other),
    ]
}

impl Needle {
    fn text(&self, lines: &[Vec<u8>]) -> Box<[u8]> {
        match self {
            Self::Other(text) => text.as_bytes().into(),
            Self::Part(line, from, to, upper) => {
                let line = &lines[line.index(lines.len())];
                let (from, to) = (from.index(line.len() + 1), to.index(line.len() + 1));
                let mut text = line[from.min(to)..from.max(to)].to_vec();
                if *upper {
                    text.make_ascii_uppercase();
                }
                text.into()
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn no_row_is_lost(
        lines in prop::collection::vec(any_line(), 20..400),
        needles in prop::collection::vec(prop::collection::vec(any_needle(), 1..4), 1..30),
    ) {
        let settings = EncodeSettings { block_bytes: 6_000, ..EncodeSettings::default() };
        let rows = (0..).zip(&lines).map(|(at, line)| InputRow::new(at, line)).collect();
        let segment = encode(&vec![(Labels::default(), rows)], &settings).unwrap();
        verify(&segment.bytes).unwrap();
        for needles in needles {
            let texts: Vec<Box<[u8]>> = needles.iter().map(|needle| needle.text(&lines)).collect();
            check(&segment, &[Required::AnyOf(&texts)]);
            let (first, rest) = texts.split_at(1);
            let each = [Required::AnyOf(first), Required::AnyOf(rest)];
            check(&segment, if rest.is_empty() { &each[..1] } else { &each });
        }
    }
}
