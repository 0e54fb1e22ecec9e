//! Label matchers: the parts of a stream selector.

use std::fmt;

use crate::label::{Labels, quote_into};
use crate::pattern::{Pattern, PatternError};

/// How a matcher compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`, fully anchored
    Regex,
    /// `!~`, fully anchored
    NotRegex,
}

impl MatchOp {
    /// The operator's text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Regex => "=~",
            Self::NotRegex => "!~",
        }
    }
}

/// One comparison of a label's value; an absent label counts as the empty value.
#[derive(Clone)]
pub struct Matcher {
    name: String,
    op: MatchOp,
    value: String,
    pattern: Option<Pattern>,
}

impl Matcher {
    /// Builds a matcher, compiling regular expressions anchored as `^(?s:…)$`.
    ///
    /// # Errors
    ///
    /// [`PatternError`] when the regular expression does not parse or is too large.
    pub fn new(
        name: impl Into<String>,
        op: MatchOp,
        value: impl Into<String>,
    ) -> Result<Self, PatternError> {
        let value = value.into();
        let pattern = match op {
            MatchOp::Equal | MatchOp::NotEqual => None,
            MatchOp::Regex | MatchOp::NotRegex => Some(Pattern::anchored(&value)?),
        };
        Ok(Self { name: name.into(), op, value, pattern })
    }

    /// The label the matcher looks at.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it compares.
    #[must_use]
    pub fn op(&self) -> MatchOp {
        self.op
    }

    /// What it compares with: a literal or a regular expression's text.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether a label value satisfies the matcher.
    #[must_use]
    pub fn matches(&self, value: &str) -> bool {
        match (self.op, &self.pattern) {
            (MatchOp::Equal, _) => value == self.value,
            (MatchOp::NotEqual, _) => value != self.value,
            (MatchOp::Regex, Some(pattern)) => pattern.is_match(value.as_bytes()),
            (MatchOp::NotRegex, Some(pattern)) => !pattern.is_match(value.as_bytes()),
            (MatchOp::Regex | MatchOp::NotRegex, None) => false,
        }
    }

    /// Whether the matcher accepts a stream that lacks the label.
    #[must_use]
    pub fn matches_empty(&self) -> bool {
        self.matches("")
    }

    /// Whether a label set satisfies the matcher.
    #[must_use]
    pub fn matches_labels(&self, labels: &Labels) -> bool {
        self.matches(labels.get(&self.name).unwrap_or(""))
    }
}

/// Whether a label set satisfies every matcher.
#[must_use]
pub fn all_match(matchers: &[Matcher], labels: &Labels) -> bool {
    matchers.iter().all(|matcher| matcher.matches_labels(labels))
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.op, &self.value) == (&other.name, other.op, &other.value)
    }
}

impl Eq for Matcher {}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut value = String::new();
        quote_into(&self.value, &mut value);
        write!(f, "{}{}{}", self.name, self.op.as_str(), value)
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(op: MatchOp, pattern: &str, value: &str) -> bool {
        Matcher::new("a", op, pattern).unwrap().matches(value)
    }

    #[test]
    fn regexes_are_anchored_and_dot_takes_newlines() {
        assert!(check(MatchOp::Regex, "a.c", "a\nc"));
        assert!(!check(MatchOp::Regex, "b", "abc"));
        assert!(check(MatchOp::NotRegex, "b", "abc"));
        assert!(check(MatchOp::Regex, "a|", ""));
    }

    #[test]
    fn absent_labels_are_empty() {
        let labels = Labels::new([("app", "web")]);
        let absent = Matcher::new("env", MatchOp::NotEqual, "prod").unwrap();
        assert!(absent.matches_labels(&labels));
        assert!(absent.matches_empty());
    }
}
