//! What can be configured.

use std::time::Duration;

use segment::EncodeSettings;

/// Everything a [`crate::Compactor`] needs to know. Names follow Loki's `compactor` block where
/// Loki has the key.
#[derive(Debug, Clone)]
pub struct Config {
    /// Time between rounds (`compaction_interval`).
    pub compaction_interval: Duration,
    /// How often the catalog is looked at between rounds for flushes that have piled up.
    pub check_interval: Duration,
    /// Stored bytes of a compacted segment, about. Smaller segments are merged until they have
    /// half of it.
    pub target_bytes: u64,
    /// Flushes lie in windows of this length by their first row, and those of one window are
    /// merged. A day is a multiple of it.
    pub window: Duration,
    /// How long after its end a window counts as closed.
    pub window_delay: Duration,
    /// How long after its end a day counts as closed: what is left of it is merged once more.
    pub day_delay: Duration,
    /// Segments of one level that may pile up in an open window.
    pub pile_max: usize,
    /// How long a segment is kept whose rows another one took over (`superseded_delete_delay`).
    /// Must be longer than other processes take to notice, and than a merge takes.
    pub grace: Duration,
    /// Whether rows expire and delete requests are carried out (`retention_enabled`).
    pub retention_enabled: bool,
    /// How long expired segments are kept, though hidden (`retention_delete_delay`).
    pub retention_delete_delay: Duration,
    /// Stored bytes of all tenants above which the oldest segments are deleted; 0 for no bound.
    pub retention_bytes: u64,
    /// How long a delete request can be cancelled (`delete_request_cancel_period`).
    pub cancel_period: Duration,
    /// Longest `max_interval` that a delete request may ask for (`delete_max_interval`); 0 for any.
    /// Requests are carried out segment by segment, so that nothing has to be cut into such spans.
    pub delete_max_interval: Duration,
    /// How long processed delete requests are listed.
    pub processed_kept: Duration,
    /// How segments are encoded.
    pub encode: EncodeSettings,
}

impl Default for Config {
    fn default() -> Self {
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        Self {
            compaction_interval: Duration::from_secs(600),
            check_interval: Duration::from_secs(15),
            target_bytes: 48 << 20,
            window: hours(3),
            window_delay: Duration::from_secs(900),
            day_delay: hours(3),
            pile_max: 32,
            grace: Duration::from_secs(300),
            retention_enabled: false,
            retention_delete_delay: hours(2),
            retention_bytes: 0,
            cancel_period: hours(24),
            delete_max_interval: hours(24),
            processed_kept: hours(30 * 24),
            encode: EncodeSettings::to_stay(),
        }
    }
}
