//! Streams, parsed and checked once and then remembered.
//!
//! A client sends the same label texts push after push. What a text means to a tenant (its labels
//! with the service's name, their canonical text and hash, whether they are acceptable, the level
//! they carry) depends only on the text and the tenant's limits, so a hot stream costs one lookup.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use api::label_text;
use api::push::{PushError, PushLabels};
use model::{Fingerprint, Labels, TenantId};
use parking_lot::Mutex;
use runtime::limiter::TokenBucket;

use crate::distributor::{Config, PushFormat};
use crate::generations::Generations;
use crate::level::{Found, LevelFields};
use crate::limits::Limits;
use crate::service_name::with_service_name;
use crate::sharding::Rates;
use crate::validate::{StreamRefusal, check_enforced, check_labels};

#[cfg(test)]
mod tests;

/// Labels that mark streams this program, or Loki, writes for its own use.
const INTERNAL_LABELS: [&str; 2] = ["__aggregated_metric__", "__pattern__"];
/// Labels that only a backfill gets, from its header.
const BACKFILL_LABEL: &str = "__backfill__";
const BACKFILL_SHARD_LABEL: &str = "__backfill_shard__";
/// Label texts longer than this are not remembered: they would be memory for a rare case.
const REMEMBERED_TEXT_BYTES_MAX: usize = 2 << 10;
/// Streams remembered for all tenants together: a quarter of a gigabyte with long labels. A tenant
/// that would remember more forgets its own.
const KNOWN_STREAMS_MAX: usize = 250_000;
/// Tenants remembered; an idle one that drops out starts over with a full rate budget.
const TENANTS_MAX: usize = 20_000;

/// What a tenant's label text means.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct KnownStream {
    pub(crate) labels: Labels,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) policy: Box<str>,
    /// Whether the stream was written by a log store for its own use; few rules apply then.
    pub(crate) is_internal: bool,
    /// The level that the labels carry.
    pub(crate) level: Option<Found<'static>>,
    /// Why the stream cannot be accepted, whatever its entries.
    pub(crate) refusal: Option<StreamRefusal>,
}

/// What the meaning of a label text depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading<'a> {
    pub(crate) tenant: &'a TenantId,
    pub(crate) limits: &'a Limits,
    pub(crate) level_fields: &'a LevelFields,
    pub(crate) format: PushFormat,
    /// The policy that the request demands.
    pub(crate) policy: Option<&'a str>,
    /// The shard of a backfill.
    pub(crate) backfill_shard: Option<&'a str>,
}

impl Reading<'_> {
    /// Whether the result may serve other requests too.
    fn is_ordinary(&self) -> bool {
        self.policy.is_none() && self.backfill_shard.is_none()
    }

    fn read(&self, labels: Labels) -> Result<KnownStream, PushError> {
        if labels.get(BACKFILL_LABEL).is_some() || labels.get(BACKFILL_SHARD_LABEL).is_some() {
            return Err(PushError::Malformed(format!(
                "labels {BACKFILL_LABEL} and {BACKFILL_SHARD_LABEL} are reserved: send the header X-Loki-Backfill-Shard"
            )));
        }
        let is_internal = INTERNAL_LABELS.iter().any(|name| labels.get(name).is_some());
        let mut labels = labels;
        if self.format == PushFormat::Loki && !is_internal {
            labels = with_service_name(labels, self.limits);
        }
        if let Some(shard) = self.backfill_shard {
            labels = labels.with(BACKFILL_LABEL, "true").with(BACKFILL_SHARD_LABEL, shard);
        }
        let canonical = labels.canonical();
        let policy = self.policy.unwrap_or_else(|| self.limits.policy_of(&labels));
        let tenant = self.tenant.as_str();
        let verdict = match check_labels(&labels, canonical, self.limits) {
            // A stream for own use has labels, or it would not be one.
            _ if is_internal => Ok(()),
            Ok(()) => check_enforced(&labels, canonical, policy, tenant, self.limits),
            Err(refusal) => Err(refusal),
        };
        Ok(KnownStream {
            fingerprint: labels.fingerprint(),
            policy: policy.into(),
            is_internal,
            level: self.level_fields.of_labels(&labels).map(Found::into_owned),
            refusal: verdict.err(),
            labels,
        })
    }
}

/// What is remembered of a tenant.
pub(crate) struct Tenant {
    /// Its ingestion rate.
    pub(crate) bucket: TokenBucket,
    /// How fast its streams are.
    pub(crate) rates: Rates,
    known: Mutex<Known>,
    /// Streams remembered of all tenants.
    remembered: Arc<AtomicUsize>,
}

struct Known {
    /// The limits under which all of this was read.
    limits: Arc<Limits>,
    level_fields: Arc<LevelFields>,
    /// By protocol, because OTLP brings its service names along.
    loki: Generations<Box<str>, Arc<KnownStream>>,
    otlp: Generations<Box<str>, Arc<KnownStream>>,
}

impl Known {
    fn len(&self) -> usize {
        self.loki.len() + self.otlp.len()
    }

    fn clear(&mut self) {
        self.loki.clear();
        self.otlp.clear();
    }

    fn of(&mut self, format: PushFormat) -> &mut Generations<Box<str>, Arc<KnownStream>> {
        match format {
            PushFormat::Loki => &mut self.loki,
            PushFormat::Otlp => &mut self.otlp,
        }
    }
}

impl Tenant {
    fn new(limits: Arc<Limits>, config: &Config, remembered: &Arc<AtomicUsize>) -> Self {
        let bucket = TokenBucket::new(limits.ingestion_rate_bytes, limits.ingestion_burst_bytes);
        let known = Known {
            level_fields: level_fields(&limits),
            limits,
            loki: Generations::new(config.known_streams_per_tenant),
            otlp: Generations::new(config.known_streams_per_tenant),
        };
        let rates = Rates::new(config.known_streams_per_tenant);
        Self { bucket, rates, known: Mutex::new(known), remembered: Arc::clone(remembered) }
    }

    /// Changes what is known, and counts what is remembered then.
    fn change<T>(&self, known: &mut Known, change: impl FnOnce(&mut Known) -> T) -> T {
        let before = known.len();
        let changed = change(known);
        let after = known.len();
        if after != before {
            self.remembered.fetch_add(after, Ordering::Relaxed);
            self.remembered.fetch_sub(before, Ordering::Relaxed);
        }
        changed
    }

    /// Makes these limits the ones in force; forgets what was read under others. Answers where
    /// levels are looked for.
    pub(crate) fn adopt(&self, limits: &Arc<Limits>) -> Arc<LevelFields> {
        let mut known = self.known.lock();
        if !Arc::ptr_eq(&known.limits, limits) {
            if *known.limits != **limits {
                known.level_fields = level_fields(limits);
                self.change(&mut known, Known::clear);
            }
            known.limits = Arc::clone(limits);
        }
        Arc::clone(&known.level_fields)
    }

    /// The meaning of labels as pushed.
    ///
    /// # Errors
    ///
    /// [`PushError`] when the labels cannot be read, which fails the whole request.
    pub(crate) fn stream(
        &self,
        labels: PushLabels<'_>,
        reading: &Reading<'_>,
    ) -> Result<Arc<KnownStream>, PushError> {
        if !reading.is_ordinary() {
            return Ok(Arc::new(reading.read(parsed(labels)?)?));
        }
        let text = match &labels {
            PushLabels::Text(text) => *text,
            PushLabels::Pairs(pairs) => pairs.canonical(),
        };
        let mut known = self.known.lock();
        if let Some(stream) = self.change(&mut known, |known| known.of(reading.format).get(text)) {
            return Ok(stream);
        }
        drop(known);
        let key: Box<str> = text.into();
        let stream = Arc::new(reading.read(parsed(labels)?)?);
        if key.len() <= REMEMBERED_TEXT_BYTES_MAX {
            let is_full = self.remembered.load(Ordering::Relaxed) >= KNOWN_STREAMS_MAX;
            self.change(&mut self.known.lock(), |known| {
                if is_full {
                    known.clear();
                }
                known.of(reading.format).insert(key, Arc::clone(&stream));
            });
        }
        Ok(stream)
    }
}

impl Drop for Tenant {
    fn drop(&mut self) {
        self.remembered.fetch_sub(self.known.get_mut().len(), Ordering::Relaxed);
    }
}

fn parsed(labels: PushLabels<'_>) -> Result<Labels, PushError> {
    match labels {
        PushLabels::Text(text) => label_text::parse(text),
        PushLabels::Pairs(labels) => Ok(labels),
    }
}

fn level_fields(limits: &Limits) -> Arc<LevelFields> {
    Arc::new(LevelFields::new(&limits.log_level_fields, limits.log_level_json_depth_max))
}

/// All tenants that pushed lately.
pub(crate) struct Tenants {
    config: Config,
    remembered: Arc<AtomicUsize>,
    tenants: Mutex<Generations<TenantId, Arc<Tenant>>>,
}

impl Tenants {
    /// No tenant yet.
    pub(crate) fn new(config: Config) -> Self {
        let tenants = Mutex::new(Generations::new(TENANTS_MAX));
        Self { config, remembered: Arc::default(), tenants }
    }

    /// A tenant, new or remembered.
    pub(crate) fn tenant(&self, tenant: &TenantId, limits: &Arc<Limits>) -> Arc<Tenant> {
        let mut tenants = self.tenants.lock();
        if let Some(known) = tenants.get(tenant) {
            return known;
        }
        let new = Arc::new(Tenant::new(Arc::clone(limits), &self.config, &self.remembered));
        tenants.insert(tenant.clone(), Arc::clone(&new));
        new
    }
}
