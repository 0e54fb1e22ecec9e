//! How many answers are enough.

use std::sync::Arc;

use crate::instance::Instance;

/// How many of `replication_factor` replicas must hold a row before it is acknowledged. Any two
/// such groups share a replica.
#[must_use]
pub fn quorum(replication_factor: usize) -> usize {
    replication_factor / 2 + 1
}

/// Whom to ask, and how many of them may fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicationSet {
    /// Healthy instances, each once.
    pub instances: Vec<Arc<Instance>>,
    /// How many may fail. Zero when zones are counted instead.
    pub max_errors: usize,
    /// In how many zones any number of instances may fail. Zero when instances are counted.
    pub max_unavailable_zones: usize,
}

impl ReplicationSet {
    /// How many zones the instances lie in.
    #[must_use]
    pub fn zones(&self) -> usize {
        zone_numbers(&self.instances).1
    }
}

/// For each instance the number of its zone, and how many zones there are.
fn zone_numbers(instances: &[Arc<Instance>]) -> (Vec<usize>, usize) {
    let mut zones: Vec<&str> = Vec::new();
    let mut numbers = Vec::with_capacity(instances.len());
    for instance in instances {
        let known = zones.iter().position(|zone| **zone == *instance.zone);
        numbers.push(known.unwrap_or(zones.len()));
        if known.is_none() {
            zones.push(&instance.zone);
        }
    }
    (numbers, zones.len())
}

/// How one instance answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It did what was asked.
    Ok,
    /// It says that the request is wrong.
    ClientError,
    /// It could not, or did not answer.
    ServerError,
}

/// What the answers so far mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Answers are still needed.
    Pending,
    /// Enough instances did what was asked.
    Reached,
    /// It failed because the request is wrong; sending it again cannot help.
    FailedByClient,
    /// It failed because too many instances did; sending it again may help.
    FailedByServer,
}

/// Counts the answers of one replication set, of one stream for writes.
///
/// The first verdict that is not [`Verdict::Pending`] stays. An instance counts once: a second
/// answer changes nothing.
#[derive(Debug, Clone)]
pub struct QuorumTracker {
    /// For each instance the group it fails with: itself for instances, its zone for zones.
    group_of: Vec<usize>,
    is_answered: Vec<bool>,
    groups: Vec<Group>,
    is_write: bool,
    max_errors: usize,
    open: usize,
    client_errors: usize,
    server_errors: usize,
    failed_groups: usize,
    complete_groups: usize,
    verdict: Verdict,
}

/// Instances that count as one.
#[derive(Debug, Clone, Copy, Default)]
struct Group {
    waiting: usize,
    is_failed: bool,
}

impl QuorumTracker {
    /// Counts the replicas of a write. It fails when more instances than tolerated agree that the
    /// request is wrong, or that they cannot; a mixture of both waits for the last answer.
    #[must_use]
    pub fn write(set: &ReplicationSet) -> Self {
        Self::new(set, true)
    }

    /// Counts the answers of a read. One client error decides: all instances would say the same.
    #[must_use]
    pub fn read(set: &ReplicationSet) -> Self {
        Self::new(set, false)
    }

    fn new(set: &ReplicationSet, is_write: bool) -> Self {
        let by_zone = set.max_unavailable_zones > 0;
        let (group_of, groups) = match by_zone {
            true => zone_numbers(&set.instances),
            false => ((0..set.instances.len()).collect(), set.instances.len()),
        };
        let mut tracker = Self {
            is_answered: vec![false; group_of.len()],
            groups: vec![Group::default(); groups],
            is_write,
            max_errors: if by_zone { set.max_unavailable_zones } else { set.max_errors },
            open: group_of.len(),
            group_of,
            client_errors: 0,
            server_errors: 0,
            failed_groups: 0,
            complete_groups: 0,
            verdict: Verdict::Pending,
        };
        for &group in &tracker.group_of {
            tracker.groups[group].waiting += 1;
        }
        if tracker.open == 0 {
            tracker.verdict = Verdict::FailedByServer;
        }
        tracker
    }

    /// Notes the answer of the instance at `index` of the set. An index beyond it is ignored.
    pub fn record(&mut self, index: usize, outcome: Outcome) -> Verdict {
        let is_new = self.is_answered.get(index).is_some_and(|is_answered| !is_answered);
        if !is_new || self.verdict != Verdict::Pending {
            return self.verdict;
        }
        self.is_answered[index] = true;
        self.open -= 1;
        let group = &mut self.groups[self.group_of[index]];
        group.waiting -= 1;
        match outcome {
            Outcome::Ok => {
                self.complete_groups += usize::from(group.waiting == 0 && !group.is_failed)
            }
            Outcome::ClientError => self.client_errors += 1,
            Outcome::ServerError => self.server_errors += 1,
        }
        if outcome != Outcome::Ok && !group.is_failed {
            group.is_failed = true;
            self.failed_groups += 1;
        }
        self.verdict = self.judge();
        self.verdict
    }

    /// What the answers so far mean.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    fn judge(&self) -> Verdict {
        if self.complete_groups + self.max_errors >= self.groups.len() {
            return Verdict::Reached;
        }
        if !self.is_write {
            return match (self.client_errors > 0, self.failed_groups > self.max_errors) {
                (true, _) => Verdict::FailedByClient,
                (false, true) => Verdict::FailedByServer,
                (false, false) => Verdict::Pending,
            };
        }
        if self.client_errors > self.max_errors {
            return Verdict::FailedByClient;
        }
        if self.server_errors > self.max_errors {
            return Verdict::FailedByServer;
        }
        match (self.open, self.server_errors) {
            (0, 0) => Verdict::FailedByClient,
            (0, _) => Verdict::FailedByServer,
            _ => Verdict::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use model::Timestamp;

    use super::*;
    use crate::instance::State;

    fn set(zones: &[&str], max_errors: usize, max_unavailable_zones: usize) -> ReplicationSet {
        let instance = |(number, zone): (usize, &&str)| {
            Arc::new(Instance {
                id: number.to_string().into(),
                address: "".into(),
                zone: (*zone).into(),
                state: State::Active,
                tokens: [].into(),
                heartbeat: Timestamp(0),
                registered: Timestamp(0),
                read_only_since: None,
            })
        };
        let instances = zones.iter().enumerate().map(instance).collect();
        ReplicationSet { instances, max_errors, max_unavailable_zones }
    }

    /// Answers in order, one letter each: `o`k, `c`lient error, `s`erver error. The verdicts after
    /// each: `.` pending, `R`eached, `C`lient failure, `S`erver failure.
    fn verdicts(mut tracker: QuorumTracker, answers: &str) -> String {
        let record = |(index, letter)| {
            let outcome = match letter {
                'o' => Outcome::Ok,
                'c' => Outcome::ClientError,
                _ => Outcome::ServerError,
            };
            match tracker.record(index, outcome) {
                Verdict::Pending => '.',
                Verdict::Reached => 'R',
                Verdict::FailedByClient => 'C',
                Verdict::FailedByServer => 'S',
            }
        };
        answers.chars().enumerate().map(record).collect()
    }

    #[test]
    fn writes_count_client_and_server_errors_apart() {
        for (answers, expected) in [
            ("oo", ".R"),
            ("oso", "..R"),
            ("cos", "..S"),
            ("cc", ".C"),
            ("ss", ".S"),
            ("csc", "..C"),
            ("css", "..S"),
            ("cso", "..S"),
            ("oos", ".RR"),
        ] {
            let tracker = QuorumTracker::write(&set(&["", "", ""], 1, 0));
            assert_eq!(verdicts(tracker, answers), expected, "{answers}");
        }
        let tracker = QuorumTracker::write(&set(&["", ""], 0, 0));
        assert_eq!(verdicts(tracker, "oc"), ".C");
        assert_eq!(QuorumTracker::write(&set(&[], 0, 0)).verdict(), Verdict::FailedByServer);
    }

    #[test]
    fn reads_end_with_the_first_client_error() {
        for (answers, expected) in
            [("oooo", "...R"), ("soooo", "....R"), ("ss", ".S"), ("oc", ".C")]
        {
            let tracker = QuorumTracker::read(&set(&["", "", "", "", ""], 1, 0));
            assert_eq!(verdicts(tracker, answers), expected, "{answers}");
        }
    }

    #[test]
    fn a_failure_discounts_its_whole_zone() {
        let zones = ["a", "b", "c", "a", "b", "c"];
        for (answers, expected) in [
            ("oooooo", "....RR"),
            ("oosooo", "....RR"),
            ("oosoos", "....RR"),
            ("soosoo", ".....R"),
            ("soos", "...."),
            ("soso", "..SS"),
            ("oooo", "...."),
        ] {
            let tracker = QuorumTracker::read(&set(&zones, 0, 1));
            assert_eq!(verdicts(tracker, answers), expected, "{answers}");
        }
    }

    #[test]
    fn a_second_answer_of_an_instance_changes_nothing() {
        let mut tracker = QuorumTracker::write(&set(&["", "", ""], 1, 0));
        for _ in 0..3 {
            assert_eq!(tracker.record(0, Outcome::Ok), Verdict::Pending);
        }
        assert_eq!(tracker.record(9, Outcome::Ok), Verdict::Pending);
        assert_eq!(tracker.record(2, Outcome::Ok), Verdict::Reached);
    }

    #[test]
    fn quorums_intersect() {
        for factor in 1..20 {
            assert!(2 * quorum(factor) > factor);
        }
    }
}
