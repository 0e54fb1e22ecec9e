//! How long rows are kept.
//!
//! Rules are looked at when they are needed and never written down, so that a change of them holds
//! at once for everything that is stored. Queries hide what has expired; the compactor deletes it.

use std::time::Duration;

use model::{Labels, Matcher, Timestamp, matcher::all_match};

/// The rules of one tenant.
#[derive(Debug, Clone, Default)]
pub struct Retention {
    /// How long rows of streams are kept that no rule matches; `None` for ever.
    period: Option<Duration>,
    /// The one that counts stands before those it outranks.
    rules: Vec<RetentionRule>,
}

/// Another period for some streams.
#[derive(Debug, Clone)]
pub struct RetentionRule {
    /// All must match a stream's labels.
    pub matchers: Vec<Matcher>,
    /// Of several rules that match, the highest counts; of equal ones the shortest period.
    pub priority: i64,
    /// How long the rows are kept.
    pub period: Duration,
}

impl Retention {
    /// Takes the rules in any order. A period of zero means for ever.
    #[must_use]
    pub fn new(period: Duration, mut rules: Vec<RetentionRule>) -> Self {
        rules.sort_by_key(|rule| (std::cmp::Reverse(rule.priority), rule.period));
        Self { period: limited(period), rules }
    }

    /// Whether some rows expire.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        self.period.is_some() || !self.rules.is_empty()
    }

    /// Rows of a stream before this time have expired; `None` when they never do.
    #[must_use]
    pub fn cutoff(&self, labels: &Labels, now: Timestamp) -> Option<Timestamp> {
        let rule = self.rules.iter().find(|rule| all_match(&rule.matchers, labels));
        let period = rule.map_or(self.period, |rule| limited(rule.period))?;
        Some(now.minus(period))
    }

    /// Rows of every stream before this time have expired; `None` when some streams never do.
    #[must_use]
    pub fn cutoff_of_all(&self, now: Timestamp) -> Option<Timestamp> {
        let rules = self.rules.iter().map(|rule| limited(rule.period));
        let longest = rules
            .chain([self.period])
            .try_fold(Duration::ZERO, |longest, period| period.map(|period| longest.max(period)))?;
        Some(now.minus(longest))
    }

    /// Rows from this time on have not expired, whatever their stream; `None` when none ever do.
    #[must_use]
    pub fn cutoff_of_any(&self, now: Timestamp) -> Option<Timestamp> {
        let rules = self.rules.iter().filter_map(|rule| limited(rule.period));
        rules.chain(self.period).min().map(|shortest| now.minus(shortest))
    }
}

fn limited(period: Duration) -> Option<Duration> {
    (!period.is_zero()).then_some(period)
}

#[cfg(test)]
mod tests {
    use model::MatchOp;

    use super::*;

    fn rule(value: &str, priority: i64, seconds: u64) -> RetentionRule {
        let matchers = vec![Matcher::new("app", MatchOp::Regex, value).unwrap()];
        RetentionRule { matchers, priority, period: Duration::from_secs(seconds) }
    }

    fn cutoffs(retention: &Retention, apps: &[&str]) -> Vec<Option<i64>> {
        let now = Timestamp::from_seconds(1000);
        let seconds = |at: Timestamp| at.0 / 1_000_000_000;
        let of = |app: &&str| retention.cutoff(&Labels::new([("app", *app)]), now).map(seconds);
        let all = retention.cutoff_of_all(now).map(seconds);
        apps.iter().map(of).chain([all, retention.cutoff_of_any(now).map(seconds)]).collect()
    }

    #[test]
    fn the_rule_of_highest_priority_counts_and_then_the_shortest() {
        let rules = vec![rule("a|b", 1, 10), rule("a", 2, 100), rule("b|c", 1, 20)];
        let retention = Retention::new(Duration::from_secs(50), rules.clone());
        let expected = [900, 990, 980, 950, 900, 990].map(Some);
        assert_eq!(cutoffs(&retention, &["a", "b", "c", "d"]), expected);
        let forever = Retention::new(Duration::ZERO, rules);
        assert_eq!(cutoffs(&forever, &["c", "d"]), [Some(980), None, None, Some(990)]);
        assert!(forever.is_limited() && !Retention::default().is_limited());
        assert_eq!(cutoffs(&Retention::default(), &["a"]), [None, None, None]);
    }
}
