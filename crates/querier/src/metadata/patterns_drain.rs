//! Groups lines by shape.
//!
//! A line is cut into words; words that hold a digit vary from line to line and stand as
//! [`WILDCARD`] from the beginning. Lines with equally many words that agree in most of them form a
//! cluster, whose differing words become wildcards (the method is known as Drain). Clusters are
//! found through their number of words and their first fixed word.

use hashbrown::HashMap;

/// Stands for a part that varies.
pub(crate) const WILDCARD: &str = "<_>";
/// Longer lines have no shape worth telling.
const LINE_BYTES_MAX: usize = 3000;
/// Words of a line that are looked at; longer lines have no shape.
const WORDS_MAX: usize = 128;
/// Clusters kept; lines that fit none of them are then left out.
const CLUSTERS_MAX: usize = 1000;
/// Share of words in which a line must agree with a cluster, in percent.
const AGREEMENT_PERCENT: usize = 50;

/// Lines of one shape.
#[derive(Debug)]
pub(crate) struct Cluster {
    words: Vec<String>,
    /// Whether a space stands before each word.
    spaced: Vec<bool>,
}

/// Shapes seen so far.
#[derive(Debug, Default)]
pub(crate) struct Miner {
    clusters: Vec<Cluster>,
    /// By number of words and first fixed word.
    index: HashMap<(usize, String), Vec<usize>>,
}

impl Miner {
    /// The cluster of a line; `None` when it has no shape.
    pub(crate) fn add(&mut self, line: &str) -> Option<usize> {
        if line.len() > LINE_BYTES_MAX {
            return None;
        }
        let (words, spaced) = cut(line)?;
        let anchor = words.iter().find(|word| *word != WILDCARD).cloned().unwrap_or_default();
        let candidates = self.index.entry((words.len(), anchor)).or_default();
        let fitting =
            candidates.iter().copied().max_by_key(|at| agreement(&self.clusters[*at], &words));
        if let Some(at) = fitting {
            let cluster = &mut self.clusters[at];
            if agreement(cluster, &words) * 100 >= words.len() * AGREEMENT_PERCENT
                && cluster.spaced == spaced
            {
                cluster.take(&words);
                return Some(at);
            }
        }
        if self.clusters.len() >= CLUSTERS_MAX {
            return None;
        }
        candidates.push(self.clusters.len());
        self.clusters.push(Cluster { words, spaced });
        Some(self.clusters.len() - 1)
    }

    /// A cluster's shape as text.
    pub(crate) fn pattern(&self, cluster: usize) -> String {
        let Cluster { words, spaced } = &self.clusters[cluster];
        let mut text = String::new();
        for (word, spaced) in words.iter().zip(spaced) {
            if *spaced {
                text.push(' ');
            }
            // Neighbouring wildcards without anything between them say no more than one.
            if *spaced || word != WILDCARD || !text.ends_with(WILDCARD) {
                text.push_str(word);
            }
        }
        text
    }
}

impl Cluster {
    /// Words in which a line differs become wildcards.
    fn take(&mut self, words: &[String]) {
        for (own, new) in self.words.iter_mut().zip(words) {
            if own != new {
                WILDCARD.clone_into(own);
            }
        }
    }
}

/// In how many words a line agrees with a cluster.
fn agreement(cluster: &Cluster, words: &[String]) -> usize {
    let both = cluster.words.iter().zip(words);
    both.filter(|(own, new)| own == new || *own == WILDCARD).count()
}

/// Words and whether each follows white space; `None` for no words or too many.
fn cut(line: &str) -> Option<(Vec<String>, Vec<bool>)> {
    let mut words = Vec::new();
    let mut spaced = Vec::new();
    for (at, chunk) in line.split_whitespace().enumerate() {
        let mut first = true;
        let mut rest = chunk;
        while !rest.is_empty() {
            let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '%');
            let end = match rest.find(|c: char| !is_word(c)) {
                Some(0) => rest.chars().next().map_or(0, char::len_utf8),
                Some(end) => end,
                None => rest.len(),
            };
            let (word, after) = rest.split_at(end);
            words.push(fixed_or_wildcard(word));
            spaced.push(first && at > 0);
            (first, rest) = (false, after);
        }
        if words.len() > WORDS_MAX {
            return None;
        }
    }
    (!words.is_empty()).then_some((words, spaced))
}

fn fixed_or_wildcard(word: &str) -> String {
    let varies = word.bytes().any(|byte| byte.is_ascii_digit());
    if varies { WILDCARD.to_owned() } else { word.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(lines: &[&str]) -> Vec<String> {
        let mut miner = Miner::default();
        let mut found: Vec<usize> = lines.iter().filter_map(|line| miner.add(line)).collect();
        found.sort_unstable();
        found.dedup();
        found.into_iter().map(|cluster| miner.pattern(cluster)).collect()
    }

    #[test]
    fn lines_of_one_shape_share_a_pattern() {
        let lines = ["cron run=1 rc=0 took=5ms", "cron run=2 rc=1 took=10ms"];
        assert_eq!(patterns(&lines), ["cron run=<_> rc=<_> took=<_>"]);
        let lines = ["user alice logged in", "user bob logged in"];
        assert_eq!(patterns(&lines), ["user <_> logged in"]);
    }

    #[test]
    fn other_shapes_stay_apart() {
        let lines = ["user alice logged in", "disk sda is nearly full", "user"];
        assert_eq!(patterns(&lines).len(), 3);
    }

    #[test]
    fn empty_and_endless_lines_have_no_shape() {
        assert!(patterns(&["", "   ", &"x ".repeat(2000), &"a ".repeat(200)]).is_empty());
    }
}
