//! The path of a push, step by step.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use api::append::{AppendBatch, BatchBuilder};
use api::push::{Push, PushEntry, PushError};
use model::{TenantId, Timestamp};

use crate::distributor::{Distributor, PushContext, PushFormat};
use crate::encode::Encoder;
use crate::level::LevelFields;
use crate::limits::{Limits, LongLines, RateStrategy};
use crate::metrics::{Amount, LINE_TOO_LONG, Tally, TallyContext};
use crate::refusal::{PushRefused, Refusals};
use crate::sharding::{Load, Split};
use crate::streams::{KnownStream, Reading, Tenant};
use crate::validate::{EntryChecks, INVALID_LABELS, check_blocked};

#[cfg(test)]
mod tests;

/// Longest value of the header `X-Loki-Backfill-Shard`.
const BACKFILL_SHARD_BYTES_MAX: usize = 128;

impl Distributor {
    /// Takes a push in: validates, limits, discovers, normalises, and hands over.
    ///
    /// When this succeeds, every entry is stored durably. Equal entries that are pushed again are
    /// stored once, so a client may always retry. [`Distributor::prepare`] and
    /// [`Distributor::hand_over`] are its two halves, for callers that keep long computations off
    /// the threads that serve connections.
    ///
    /// # Errors
    ///
    /// [`PushRefused`] says what to answer. Valid entries beside refused ones were stored, except
    /// when the tenant's rate is exceeded or the request could not be read, which refuse it whole.
    ///
    /// # Cancel safety
    ///
    /// A dropped future leaves the push stored, not stored, or stored in part.
    pub async fn push(
        &self,
        tenant: &TenantId,
        push: Push<'_>,
        context: PushContext,
    ) -> Result<(), PushRefused> {
        let prepared = self.prepare(tenant, push, context)?;
        self.hand_over(prepared).await
    }

    /// Does everything that comes before the hand-over. Computes for about a millisecond per
    /// megabyte and never waits; the request's body is not needed afterwards.
    ///
    /// # Errors
    ///
    /// [`PushRefused`] when nothing of the push can be stored because it could not be read or the
    /// tenant's rate is exceeded. Other refusals are told by [`Distributor::hand_over`].
    pub fn prepare(
        &self,
        tenant: &TenantId,
        push: Push<'_>,
        context: PushContext,
    ) -> Result<Prepared, PushRefused> {
        let limits = self.limits.limits_for(tenant);
        let known = self.tenants.tenant(tenant, &limits);
        let level_fields = known.adopt(&limits);
        let request = Request {
            tenant,
            known: &known,
            limits: &limits,
            level_fields: &level_fields,
            context: &context,
            distributors: self.distributors.healthy().max(1),
            shards_streams: self.shards_streams,
            now: self.clock.now(),
            monotonic: self.clock.monotonic(),
        };
        let mut record = Record::default();
        let batches = request.batches(push, &mut record);
        let origin = Origin { tenant: tenant.clone(), format: context.format, limits };
        self.publish(record.tally, &origin);
        Ok(Prepared { batches: batches?, refusals: record.refusals, origin })
    }

    /// Gives what was prepared to the appender, and answers for the whole push.
    ///
    /// # Errors
    ///
    /// As [`Distributor::push`].
    ///
    /// # Cancel safety
    ///
    /// As [`Distributor::push`].
    pub async fn hand_over(&self, prepared: Prepared) -> Result<(), PushRefused> {
        let Prepared { batches, refusals, origin } = prepared;
        let mut rejected = Vec::new();
        for batch in batches {
            let outcome = self.appender.append(batch).await?;
            let mut tally = Tally::default();
            for part in &outcome.rejected {
                let amount = Amount { entries: part.entries, bytes: part.bytes };
                tally.discard(part.reason, "", amount);
            }
            self.publish(tally, &origin);
            rejected.extend(outcome.rejected);
        }
        refusals.answer(rejected)
    }

    fn publish(&self, tally: Tally, origin: &Origin) {
        let retention_hours = &origin.limits.retention_hours;
        let shown = TallyContext { format: origin.format, retention_hours };
        self.metrics.publish(tally, &origin.tenant, &shown);
    }
}

/// A push that is ready for its appender; see [`Distributor::prepare`].
#[must_use = "nothing is stored until it is handed over"]
pub struct Prepared {
    batches: Vec<AppendBatch>,
    refusals: Refusals,
    origin: Origin,
}

/// Whose push it is, for the numbers that are published after the hand-over.
struct Origin {
    tenant: TenantId,
    format: PushFormat,
    limits: Arc<Limits>,
}

/// What is noted while a push is taken in: its numbers, and what of it was refused.
#[derive(Debug, Default)]
struct Record {
    tally: Tally,
    refusals: Refusals,
}

impl Record {
    /// Notes the refusal of some entries of a stream.
    fn refuse(
        &mut self,
        reason: &'static str,
        stream: &KnownStream,
        amount: Amount,
        message: impl FnOnce() -> String,
    ) {
        self.tally.discard(reason, &stream.policy, amount);
        self.refusals.add(message);
    }
}

/// A stream of the push, and those of its entries that are still in.
struct Accepted<'a> {
    stream: Arc<KnownStream>,
    entries: Vec<PushEntry<'a>>,
    /// How much the entries are; kept up to date, because measuring metadata takes time.
    amount: Amount,
}

/// What the steps of one push share.
struct Request<'r> {
    tenant: &'r TenantId,
    known: &'r Tenant,
    limits: &'r Limits,
    level_fields: &'r LevelFields,
    context: &'r PushContext,
    /// Healthy ones.
    distributors: usize,
    shards_streams: bool,
    now: Timestamp,
    monotonic: Duration,
}

impl Request<'_> {
    /// Everything that happens before the hand-over.
    fn batches(
        &self,
        push: Push<'_>,
        record: &mut Record,
    ) -> Result<Vec<AppendBatch>, PushRefused> {
        let streams = self.read_streams(push, &mut record.tally)?;
        let streams = self.validate(streams, record);
        self.limit_rate(&streams, &mut record.tally)?;
        let streams = self.split(streams);
        Ok(self.encode(&streams, record))
    }

    /// Finds out which streams the entries belong to. One stream whose labels cannot be read fails
    /// the whole request.
    fn read_streams<'a>(
        &self,
        push: Push<'a>,
        tally: &mut Tally,
    ) -> Result<Vec<Accepted<'a>>, PushRefused> {
        if push.streams.is_empty() {
            return Err(PushError::Empty.into());
        }
        self.check_backfill()?;
        let reading = Reading {
            tenant: self.tenant,
            limits: self.limits,
            level_fields: self.level_fields,
            format: self.context.format,
            policy: self.context.policy.as_deref(),
            backfill_shard: self.context.backfill_shard.as_deref(),
        };
        let mut whole = Amount::default();
        let mut accepted = Vec::with_capacity(push.streams.len());
        let mut failed = None;
        for stream in push.streams {
            if failed.is_some() {
                whole.add(Amount::of_all(&stream.entries));
                continue;
            }
            match self.known.stream(stream.labels, &reading) {
                Ok(known) => {
                    let amount = tally.receive(&known, &stream.entries);
                    accepted.push(Accepted { stream: known, entries: stream.entries, amount });
                }
                Err(error) => {
                    whole.add(Amount::of_all(&stream.entries));
                    failed = Some(error);
                }
            }
        }
        let Some(error) = failed else { return Ok(accepted) };
        accepted.iter().for_each(|stream| whole.add(stream.amount));
        let is_too_large = matches!(error, PushError::TooLarge(_));
        let reason = if is_too_large { "request_body_too_large" } else { INVALID_LABELS };
        tally.discard(reason, "", whole);
        Err(error.into())
    }

    fn check_backfill(&self) -> Result<(), PushRefused> {
        let shard = self.context.backfill_shard.as_ref();
        if shard.is_some_and(|shard| shard.len() > BACKFILL_SHARD_BYTES_MAX) {
            let message =
                format!("X-Loki-Backfill-Shard is longer than {BACKFILL_SHARD_BYTES_MAX} bytes");
            return Err(PushRefused::new(400, message));
        }
        Ok(())
    }

    /// Drops streams and entries that the tenant may not store, after cutting long lines.
    fn validate<'a>(&self, streams: Vec<Accepted<'a>>, record: &mut Record) -> Vec<Accepted<'a>> {
        let is_backfill = self.context.backfill_shard.is_some();
        let checks = EntryChecks::new(self.limits, self.now, is_backfill);
        let mut kept = Vec::with_capacity(streams.len());
        for mut accepted in streams {
            if accepted.entries.is_empty() {
                continue;
            }
            self.truncate(&mut accepted, &mut record.tally);
            if !self.accepts_stream(&accepted, record) {
                continue;
            }
            let Accepted { stream, entries, amount } = &mut accepted;
            entries.retain(|entry| match checks.check(entry) {
                Ok(()) => true,
                Err(refusal) => {
                    let message = || refusal.message(stream.labels.canonical());
                    let refused = Amount::of(entry);
                    amount.subtract(refused);
                    record.refuse(refusal.reason(), stream, refused, message);
                    false
                }
            });
            if !accepted.entries.is_empty() {
                kept.push(accepted);
            }
        }
        kept
    }

    fn accepts_stream(&self, accepted: &Accepted<'_>, record: &mut Record) -> bool {
        let stream = &*accepted.stream;
        if let Some(refusal) = &stream.refusal {
            let amount = accepted.amount;
            record.refuse(refusal.reason, stream, amount, || refusal.message.clone());
            if refusal.is_of_labels {
                record.tally.discard(INVALID_LABELS, &stream.policy, amount);
            }
            return false;
        }
        match check_blocked(&stream.policy, self.tenant.as_str(), self.limits, self.now) {
            Ok(()) => true,
            Err(refusal) => {
                record.tally.discard(refusal.reason, &stream.policy, accepted.amount);
                record.refusals.block(self.limits.block_ingestion_status, refusal.message);
                false
            }
        }
    }

    /// Cuts lines that are too long, when the tenant wants that.
    fn truncate(&self, accepted: &mut Accepted<'_>, tally: &mut Tally) {
        let LongLines::Truncate { identifier } = &self.limits.long_lines else { return };
        let most = self.limits.max_line_bytes;
        if most == 0 {
            return;
        }
        for entry in accepted.entries.iter_mut().filter(|entry| entry.line.len() > most) {
            let cut = (entry.line.len() - most) as u64;
            accepted.amount.subtract(Amount { entries: 0, bytes: cut });
            tally.truncate(cut);
            let kept = most.saturating_sub(identifier.len());
            let mut line = entry.line[..kept].to_vec();
            line.extend_from_slice(&identifier.as_bytes()[..identifier.len().min(most)]);
            entry.line = Cow::Owned(line);
        }
    }

    /// Takes what is left from the tenant's budget; all of it or nothing.
    fn limit_rate(&self, streams: &[Accepted<'_>], tally: &mut Tally) -> Result<(), PushRefused> {
        let monotonic = self.monotonic;
        let mut whole = Amount::default();
        streams.iter().for_each(|stream| whole.add(stream.amount));
        let share = match self.limits.rate_strategy {
            RateStrategy::Global => self.distributors as f64,
            RateStrategy::Local => 1.0,
        };
        let rate = self.limits.ingestion_rate_bytes / share;
        let burst = self.limits.ingestion_burst_bytes;
        let bucket = &self.known.bucket;
        bucket.set_limits(monotonic, rate, burst);
        let bytes = whole.bytes as f64;
        if whole.entries == 0 || bucket.allow(monotonic, bytes) {
            return Ok(());
        }
        for stream in streams {
            tally.discard("rate_limited", &stream.stream.policy, stream.amount);
        }
        let mut refused = PushRefused::new(
            429,
            format!(
                "ingestion rate limit exceeded for user {} (limit: {} bytes/sec) while attempting to ingest '{}' lines totaling '{}' bytes, reduce log volume or contact your Loki administrator to see if the limit can be increased",
                self.tenant, rate as u64, whole.entries, whole.bytes
            ),
        );
        if bytes <= burst && rate > 0.0 {
            let missing = (bytes - bucket.available(monotonic)).max(0.0);
            refused.retry_after = Duration::try_from_secs_f64((missing / rate).ceil()).ok();
        }
        Err(refused)
    }

    /// Splits streams that are too hot for a few ingesters.
    fn split<'a>(&self, streams: Vec<Accepted<'a>>) -> Vec<Accepted<'a>> {
        if !self.shards_streams {
            return streams;
        }
        let (limits, rates) = (&self.limits.shard_streams, &self.known.rates);
        let mut split = Vec::with_capacity(streams.len());
        for mut accepted in streams {
            let (bytes, entries) = (accepted.amount.bytes, accepted.entries.len());
            let load =
                Load { bytes, entries, now: self.monotonic, distributors: self.distributors };
            let Some(Split { shards, first }) = rates.split(&accepted.stream, load, limits) else {
                split.push(accepted);
                continue;
            };
            if limits.logging {
                let (tenant, stream) = (self.tenant, accepted.stream.labels.canonical());
                tracing::info!(%tenant, %stream, shards, "a hot stream is split");
            }
            // Neighbouring entries stay together.
            let size = entries.div_ceil(shards).max(1);
            for part in 0..entries.div_ceil(size) {
                let rest = accepted.entries.split_off(size.min(accepted.entries.len()));
                let entries = std::mem::replace(&mut accepted.entries, rest);
                let stream = rates.part(&accepted.stream, (first + part) % shards);
                let amount = Amount::of_all(&entries);
                split.push(Accepted { stream, entries, amount });
            }
        }
        split
    }

    /// Discovers, normalises and encodes what is left.
    fn encode(&self, streams: &[Accepted<'_>], record: &mut Record) -> Vec<AppendBatch> {
        let (mut rows, mut bytes) = (0, 0);
        for stream in streams {
            rows += stream.entries.len();
            bytes += stream.amount.bytes as usize + stream.stream.labels.canonical().len();
        }
        let room = (streams.len(), BatchBuilder::estimate(streams.len(), rows, bytes));
        let mut encoder = Encoder::new(self.tenant, self.limits, self.level_fields, room);
        for Accepted { stream, entries, .. } in streams {
            encoder.stream(stream, entries, |entry| {
                let (bytes, stream_text) = (entry.line.len(), stream.labels.canonical());
                record.refuse(LINE_TOO_LONG, stream, Amount::of(entry), || {
                    format!("entry of {bytes} bytes for stream '{stream_text}' fits no batch")
                });
            });
        }
        encoder.finish()
    }
}
