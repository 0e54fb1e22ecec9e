//! `ip("…")`: finding addresses in text and testing them (language reference 4.4).

use std::net::IpAddr;

use ipnet::IpNet;

/// Which addresses match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum IpMatcher {
    /// One address.
    Address(IpAddr),
    /// A block; host bits do not count.
    Block(IpNet),
    /// From the first to the second, both included.
    Range(IpAddr, IpAddr),
}

impl IpMatcher {
    /// Reads an address, a CIDR block, or `from-to`.
    ///
    /// # Errors
    ///
    /// `ip: invalid pattern: "…"`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let parsed = match text.split_once('-') {
            Some((from, to)) => range(from, to),
            None if text.contains('/') => text.parse().ok().map(Self::Block),
            None => address(text).map(Self::Address),
        };
        parsed.ok_or_else(|| {
            let mut message = String::from("ip: invalid pattern: ");
            model::label::quote_into(text, &mut message);
            message
        })
    }

    fn matches(&self, address: IpAddr) -> bool {
        match self {
            Self::Address(wanted) => *wanted == address,
            Self::Block(block) => block.contains(&address),
            Self::Range(from, to) => {
                from.is_ipv4() == address.is_ipv4() && *from <= address && address <= *to
            }
        }
    }

    /// Whether some address in `text` matches.
    ///
    /// A run of address characters that is no address is skipped as a whole.
    pub(super) fn is_in(&self, text: &[u8]) -> bool {
        let mut at = 0;
        while at < text.len() {
            if !STARTS[text[at] as usize] {
                at += 1;
                continue;
            }
            let Some(kind) = run_kind(text, at) else {
                at += 1;
                continue;
            };
            let run = text[at..].iter().take_while(|byte| kind.has(**byte)).count();
            let parsed = std::str::from_utf8(&text[at..at + run]).ok().and_then(address);
            if parsed.is_some_and(|address| self.matches(address)) {
                return true;
            }
            at += run + 1;
        }
        false
    }
}

fn range(from: &str, to: &str) -> Option<IpMatcher> {
    let (from, to) = (address(from)?, address(to)?);
    (from.is_ipv4() == to.is_ipv4() && from <= to).then_some(IpMatcher::Range(from, to))
}

/// An address; an IPv4 address written as IPv6 stays IPv6.
fn address(text: &str) -> Option<IpAddr> {
    text.parse().ok()
}

/// Bytes with which an address may begin.
const STARTS: [bool; 256] = {
    let mut starts = [false; 256];
    let mut at = 0;
    while at < 256 {
        starts[at] = (at as u8).is_ascii_hexdigit() || at as u8 == b':';
        at += 1;
    }
    starts
};

/// The alphabet of a run that may be an address.
#[derive(Clone, Copy)]
enum RunKind {
    V4,
    V6,
}

impl RunKind {
    fn has(self, byte: u8) -> bool {
        match self {
            Self::V4 => byte.is_ascii_digit() || byte == b'.',
            Self::V6 => byte.is_ascii_hexdigit() || byte == b':' || byte == b'.',
        }
    }
}

/// Whether an address may begin here.
fn run_kind(text: &[u8], at: usize) -> Option<RunKind> {
    let rest = &text[at..];
    match *rest.first()? {
        b'0'..=b'9' if rest.len() > 3 && rest[1..4].contains(&b'.') => Some(RunKind::V4),
        b':' => {
            let starts =
                rest.get(1) == Some(&b':') && rest.get(2).is_some_and(u8::is_ascii_hexdigit);
            starts.then_some(RunKind::V6)
        }
        b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F' => {
            // Up to four digits, then a colon.
            let after = rest.iter().skip(1).take(4).find(|byte| !byte.is_ascii_hexdigit());
            (after == Some(&b':')).then_some(RunKind::V6)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found() {
        let check = |pattern: &str, text: &str, expected: bool| {
            let matcher = IpMatcher::parse(pattern).unwrap();
            assert_eq!(matcher.is_in(text.as_bytes()), expected, "{pattern} in {text:?}");
        };
        check("192.168.0.1", "src 192.168.0.1:80", true);
        check("192.168.0.1", "src 192.168.0.1.", false);
        check("10.0.0.0/8", "1.2.3.4-10.1.1.1", true);
        check("10.1.2.3/8", "10.9.9.9", true);
        check("192.168.4.5-192.168.4.20", "x192.168.4.20y", true);
        check("192.168.4.5-192.168.4.20", "192.168.4.21", false);
        check("::1", "from ::1 port", true);
        check("2001:db8::/32", "[2001:db8::ff00:42:8329]", true);
        check("2001:db8::/32", "2001:db9::1", false);
        check("10.0.0.0/8", "", false);
        check("0.0.0.0/0", "abc:def", false);
        check("0.0.0.0/0", "::1", false);
        check("10.0.0.1", "v10.0.0.1", true);
        check("10.0.0.1", "110.0.0.1", false);
    }

    #[test]
    fn faulty_patterns_are_refused() {
        for text in ["", "x", "1.2.3", "10.0.0.0/33", "2.0.0.0-1.0.0.0", "1.1.1.1-::1", "1-2"] {
            let message = IpMatcher::parse(text).unwrap_err();
            assert_eq!(message, format!("ip: invalid pattern: {text:?}"));
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_can_be_searched(text in proptest::collection::vec(
            proptest::prelude::prop_oneof![
                proptest::sample::select(b"0123456789abcdef.:/- ".to_vec()),
                proptest::prelude::any::<u8>(),
            ], 0..80)) {
            IpMatcher::parse("10.0.0.0/8").unwrap().is_in(&text);
        }
    }
}
