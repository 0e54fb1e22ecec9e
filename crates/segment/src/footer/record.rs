//! The facts of a segment: numbered fields, so that later versions can add some.

use model::{TenantId, Timestamp};

use crate::block::LineCodec;
use crate::encoding::cursor::{Cursor, put_bytes, put_signed, put_varint};
use crate::error::{FormatError, Result};
use crate::facts::{Coverage, SegmentFacts};
use crate::settings::{EncodeSettings, IndexPolicy};

const TENANT: u64 = 1;
const DAY: u64 = 2;
const LEVEL: u64 = 3;
const CLASS: u64 = 4;
const TIMES: u64 = 5;
const TOTALS: u64 = 6;
const HASH: u64 = 7;
const SETTINGS: u64 = 8;
const COVERAGE: u64 = 9;
const PARENTS: u64 = 10;

/// All facts of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FactsRecord {
    pub(crate) facts: SegmentFacts,
    /// Retention class.
    pub(crate) class: u8,
    pub(crate) first: Timestamp,
    pub(crate) last: Timestamp,
    pub(crate) rows: u64,
    pub(crate) raw_bytes: u64,
    pub(crate) streams: u64,
    /// The hash in the segment's name.
    pub(crate) hash: u128,
    pub(crate) settings: EncodeSettings,
    pub(crate) parents: Vec<u128>,
}

impl FactsRecord {
    /// Appends every fact, each as its number and a byte string; numbers ascend.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let mut field = Vec::new();
        let mut put = |number: u64, fill: &dyn Fn(&mut Vec<u8>)| {
            field.clear();
            fill(&mut field);
            put_varint(out, number);
            put_bytes(out, &field);
        };
        put(TENANT, &|field| field.extend_from_slice(self.facts.tenant.as_str().as_bytes()));
        put(DAY, &|field| put_signed(field, i64::from(self.facts.day)));
        put(LEVEL, &|field| field.push(self.facts.level));
        put(CLASS, &|field| field.push(self.class));
        put(TIMES, &|field| {
            put_signed(field, self.first.0);
            put_varint(field, self.last.0.wrapping_sub(self.first.0) as u64);
        });
        put(TOTALS, &|field| {
            [self.rows, self.raw_bytes, self.streams].iter().for_each(|n| put_varint(field, *n));
        });
        put(HASH, &|field| field.extend_from_slice(&self.hash.to_le_bytes()));
        put(SETTINGS, &|field| encode_settings(&self.settings, field));
        if let Some(coverage) = &self.facts.coverage {
            put(COVERAGE, &|field| encode_coverage(coverage, field));
        }
        if !self.parents.is_empty() {
            put(PARENTS, &|field| {
                self.parents.iter().for_each(|hash| field.extend_from_slice(&hash.to_le_bytes()));
            });
        }
    }

    /// Reads the facts; numbers that this reader does not know are skipped.
    pub(crate) fn decode(mut cursor: Cursor<'_>) -> Result<Self> {
        let mut found = Found::default();
        let mut before = 0;
        while cursor.remaining() > 0 {
            let number = cursor.varint()?;
            let field = Cursor::new(cursor.bytes()?, "facts");
            if number <= before {
                return Err(field.corrupt());
            }
            before = number;
            found.field(number, field)?;
        }
        found.finish().ok_or(FormatError::Corrupt("a fact is missing"))
    }
}

/// Facts read so far.
#[derive(Default)]
struct Found {
    tenant: Option<TenantId>,
    day: Option<i32>,
    level: Option<u8>,
    class: Option<u8>,
    times: Option<(Timestamp, Timestamp)>,
    totals: Option<[u64; 3]>,
    hash: Option<u128>,
    settings: Option<EncodeSettings>,
    coverage: Option<Coverage>,
    parents: Vec<u128>,
}

impl Found {
    fn field(&mut self, number: u64, mut field: Cursor<'_>) -> Result<()> {
        match number {
            TENANT => {
                let text = std::str::from_utf8(field.take(field.remaining())?);
                let tenant = text.ok().and_then(|text| TenantId::new(text).ok());
                self.tenant = Some(tenant.ok_or_else(|| field.corrupt())?);
            }
            DAY => {
                let day = i32::try_from(field.signed()?).map_err(|_| field.corrupt())?;
                self.day = Some(day);
            }
            LEVEL => self.level = Some(field.u8()?),
            CLASS => self.class = Some(field.u8()?),
            TIMES => {
                let first = field.signed()?;
                let last = first.checked_add_unsigned(field.varint()?);
                let last = last.ok_or_else(|| field.corrupt())?;
                self.times = Some((Timestamp(first), Timestamp(last)));
            }
            TOTALS => {
                self.totals = Some([field.varint()?, field.varint()?, field.varint()?]);
            }
            HASH => self.hash = Some(field.u128()?),
            SETTINGS => self.settings = Some(decode_settings(&mut field)?),
            COVERAGE => self.coverage = Some(decode_coverage(&mut field)?),
            PARENTS => {
                while field.remaining() > 0 {
                    self.parents.push(field.u128()?);
                }
            }
            _ => return Ok(()),
        }
        field.finish()
    }

    fn finish(self) -> Option<FactsRecord> {
        let (first, last) = self.times?;
        let [rows, raw_bytes, streams] = self.totals?;
        Some(FactsRecord {
            facts: SegmentFacts {
                tenant: self.tenant?,
                day: self.day?,
                level: self.level?,
                coverage: self.coverage,
            },
            class: self.class?,
            first,
            last,
            rows,
            raw_bytes,
            streams,
            hash: self.hash?,
            settings: self.settings?,
            parents: self.parents,
        })
    }
}

/// Appends settings; also part of what a segment's name hashes.
pub(crate) fn encode_settings(settings: &EncodeSettings, out: &mut Vec<u8>) {
    put_signed(out, i64::from(settings.zstd_level));
    put_varint(out, u64::from(settings.block_bytes));
    put_varint(out, u64::from(settings.block_rows));
    put_varint(out, settings.sort_labels.len() as u64);
    settings.sort_labels.iter().for_each(|name| put_bytes(out, name.as_bytes()));
    out.push(settings.index as u8);
    out.push(settings.line_codec as u8);
}

fn decode_settings(field: &mut Cursor<'_>) -> Result<EncodeSettings> {
    let zstd_level = i32::try_from(field.signed()?).map_err(|_| field.corrupt())?;
    let (block_bytes, block_rows) = (field.varint_u32()?, field.varint_u32()?);
    let mut sort_labels = Vec::new();
    for _ in 0..field.count(1)? {
        sort_labels.push(field.text()?.to_owned());
    }
    let index = IndexPolicy::from_code(field.u8()?).ok_or_else(|| field.corrupt())?;
    // Segments of version 1.0 end here.
    let line_codec = match field.remaining() {
        0 => Some(LineCodec::Zstd),
        _ => LineCodec::from_code(field.u8()?),
    };
    let line_codec = line_codec.ok_or_else(|| field.corrupt())?;
    Ok(EncodeSettings { zstd_level, block_bytes, block_rows, sort_labels, index, line_codec })
}

/// Appends coverage; also part of what a segment's name hashes.
pub(crate) fn encode_coverage(coverage: &Coverage, out: &mut Vec<u8>) {
    put_bytes(out, coverage.ingester.as_bytes());
    put_varint(out, coverage.first_position);
    put_varint(out, coverage.last_position);
    put_varint(out, u64::from(coverage.part));
    put_varint(out, u64::from(coverage.parts));
}

fn decode_coverage(field: &mut Cursor<'_>) -> Result<Coverage> {
    Ok(Coverage {
        ingester: field.text()?.to_owned(),
        first_position: field.varint()?,
        last_position: field.varint()?,
        part: field.varint_u32()?,
        parts: field.varint_u32()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> FactsRecord {
        FactsRecord {
            facts: SegmentFacts {
                tenant: TenantId::anonymous(),
                day: -5,
                level: 2,
                coverage: Some(Coverage {
                    ingester: "a-1".to_owned(),
                    first_position: 7,
                    last_position: u64::MAX,
                    part: 1,
                    parts: 3,
                }),
            },
            class: 3,
            first: Timestamp(i64::MIN),
            last: Timestamp(i64::MAX),
            rows: 1,
            raw_bytes: 2,
            streams: 3,
            hash: u128::MAX - 5,
            settings: EncodeSettings::default(),
            parents: vec![1, 2],
        }
    }

    fn decode(bytes: &[u8]) -> Result<FactsRecord> {
        FactsRecord::decode(Cursor::new(bytes, "test"))
    }

    #[test]
    fn facts_round_trip_and_later_facts_are_skipped() {
        let mut out = Vec::new();
        record().encode(&mut out);
        assert_eq!(decode(&out), Ok(record()));
        let len = out.len();
        put_varint(&mut out, 1000);
        put_bytes(&mut out, b"from the future");
        assert_eq!(decode(&out), Ok(record()));
        out.truncate(len);
        put_varint(&mut out, TENANT);
        put_bytes(&mut out, b"again");
        assert!(decode(&out).is_err());
    }

    #[test]
    fn damage_is_an_error_or_other_facts_but_never_a_panic() {
        let mut out = Vec::new();
        record().encode(&mut out);
        assert!(decode(&out[3..]).is_err() && decode(&[]).is_err());
        for at in 0..out.len() {
            let _ = decode(&out[..at]);
            out[at] ^= 0x81;
            let _ = decode(&out);
            out[at] ^= 0x81;
        }
    }
}
