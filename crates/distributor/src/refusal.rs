//! The answer to a push that was not accepted whole.

use std::time::Duration;

use api::append::Rejected;
use api::push::PushError;
use model::ErrorKind;

use crate::appender::AppendError;

/// Why a push was refused, fully or in part, as HTTP says it.
///
/// A status below 500 does not mean that nothing was stored: valid entries beside refused ones are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PushRefused {
    /// The HTTP status: 400, 413, 422, 429, 500, 503, or the configured status of blocked ingestion.
    pub status: u16,
    /// The text for the client.
    pub message: String,
    /// When a retry makes sense, if it does at all.
    pub retry_after: Option<Duration>,
}

impl PushRefused {
    pub(crate) fn new(status: u16, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), retry_after: None }
    }

    /// What a caller does about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self.status {
            429 => ErrorKind::LimitExceeded,
            503 => ErrorKind::Unavailable,
            500 => ErrorKind::Internal,
            _ => ErrorKind::Invalid,
        }
    }
}

/// A push that could not be decoded is answered by this too.
impl From<PushError> for PushRefused {
    fn from(error: PushError) -> Self {
        let status = match error {
            PushError::Empty => 422,
            PushError::TooLarge(_) => 413,
            _ => 400,
        };
        Self::new(status, error.to_string())
    }
}

impl From<AppendError> for PushRefused {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Unavailable { message, retry_after } => {
                Self { status: 503, message, retry_after: Some(retry_after) }
            }
            AppendError::Internal(message) => Self::new(500, message),
        }
    }
}

/// Distinct texts that one answer holds at most.
const MESSAGES_MAX: usize = 100;
/// Longest text of one refusal; labels, which texts quote, may be megabytes long.
const MESSAGE_BYTES_MAX: usize = 8 << 10;

/// The refusals of one push, collected while the rest of it is taken in.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    /// Texts with their number, in the order in which they came up.
    messages: Vec<(String, u64)>,
    /// Refusals beyond [`MESSAGES_MAX`], whose text was not written.
    unsaid: u64,
    /// Blocked ingestion: the status and the text.
    blocked: Option<(u16, String)>,
}

impl Refusals {
    /// Adds a refusal; `message` is called only when its text is needed.
    pub(crate) fn add(&mut self, message: impl FnOnce() -> String) {
        if self.messages.len() >= MESSAGES_MAX {
            self.unsaid += 1;
            return;
        }
        let mut message = message();
        if message.len() > MESSAGE_BYTES_MAX {
            message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
            message.push('…');
        }
        match self.messages.iter_mut().find(|(known, _)| *known == message) {
            Some((_, count)) => *count += 1,
            None => self.messages.push((message, 1)),
        }
    }

    /// Notes that ingestion is blocked. Status 200 asks for silence.
    pub(crate) fn block(&mut self, status: u16, message: String) {
        if status != 200 {
            self.blocked = Some((status, message));
        }
    }

    /// What to answer, given what the ingester rejected.
    ///
    /// A rejection of the ingester comes before a refusal of ours, and a limit before a mistake,
    /// because only the former is worth a retry. Of several rejections the last one is told.
    pub(crate) fn answer(&self, rejected: Vec<Rejected>) -> Result<(), PushRefused> {
        let mut rejected = rejected;
        let last_limit = rejected.iter().rposition(|r| r.kind == ErrorKind::LimitExceeded);
        if let Some(index) = last_limit {
            return Err(PushRefused::new(429, rejected.swap_remove(index).message));
        }
        if let Some(last) = rejected.pop() {
            return Err(PushRefused::new(400, last.message));
        }
        if !self.messages.is_empty() {
            return Err(PushRefused::new(400, self.text()));
        }
        match &self.blocked {
            Some((status, message)) => Err(PushRefused::new(*status, message)),
            None => Ok(()),
        }
    }

    /// One text for all refusals of ours.
    fn text(&self) -> String {
        if let [(message, 1)] = &self.messages[..] {
            return message.clone();
        }
        let mut texts: Vec<String> = self
            .messages
            .iter()
            .map(|(message, count)| format!("{count} errors like: {message}"))
            .collect();
        if self.unsaid > 0 {
            texts.push(format!("{} more errors", self.unsaid));
        }
        texts.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusals(messages: &[&str]) -> Refusals {
        let mut refusals = Refusals::default();
        messages.iter().for_each(|message| refusals.add(|| (*message).to_owned()));
        refusals
    }

    fn answer(refusals: &Refusals, rejected: &[(ErrorKind, &str)]) -> Option<(u16, String)> {
        let rejected = rejected
            .iter()
            .map(|(kind, message)| Rejected {
                reason: "r",
                kind: *kind,
                message: (*message).to_owned(),
                entries: 1,
                bytes: 1,
            })
            .collect();
        refusals.answer(rejected).err().map(|refused| (refused.status, refused.message))
    }

    #[test]
    fn texts_are_grouped() {
        let check = |messages: &[&str], expected: &str| {
            assert_eq!(answer(&refusals(messages), &[]), Some((400, expected.to_owned())));
        };
        check(&["a"], "a");
        check(&["a", "a"], "2 errors like: a");
        check(&["a", "b", "a"], "2 errors like: a; 1 errors like: b");
        assert_eq!(answer(&refusals(&[]), &[]), None);
        let mut many = Refusals::default();
        (0..200).for_each(|number| many.add(|| number.to_string()));
        let (_, text) = answer(&many, &[]).unwrap();
        assert!(text.ends_with("; 1 errors like: 99; 100 more errors"), "{text}");
        let (_, text) = answer(&refusals(&[&"é".repeat(10_000)]), &[]).unwrap();
        assert_eq!(text.chars().count(), 4097);
    }

    #[test]
    fn the_most_useful_refusal_is_told() {
        let mut both = refusals(&["bad"]);
        both.block(260, "blocked".into());
        assert_eq!(answer(&both, &[]), Some((400, "bad".into())));
        let mut blocked = Refusals::default();
        blocked.block(200, "silent".into());
        assert_eq!(answer(&blocked, &[]), None);
        blocked.block(260, "blocked".into());
        assert_eq!(answer(&blocked, &[]), Some((260, "blocked".into())));
        let behind = (ErrorKind::Invalid, "behind");
        let limit = (ErrorKind::LimitExceeded, "limit");
        assert_eq!(answer(&both, &[behind]), Some((400, "behind".into())));
        assert_eq!(answer(&both, &[limit, behind]), Some((429, "limit".into())));
    }
}
