//! Upper and lower case, one character for one character, as Go maps them.
//!
//! The standard library maps some characters to several (`ß` to `SS`); Go's simple mappings leave
//! those alone or use the single character that exists for the purpose.

/// The lower case of a character.
pub(crate) fn lower(c: char) -> char {
    match c {
        'A'..='Z' => c.to_ascii_lowercase(),
        c if c.is_ascii() => c,
        'İ' => 'i',
        c => only(c.to_lowercase()).unwrap_or(c),
    }
}

/// The upper case of a character.
pub(crate) fn upper(c: char) -> char {
    match c {
        'a'..='z' => c.to_ascii_uppercase(),
        c if c.is_ascii() => c,
        // Greek letters with a subscript have one capital that Unicode calls title case.
        '\u{1f80}'..='\u{1f87}' | '\u{1f90}'..='\u{1f97}' | '\u{1fa0}'..='\u{1fa7}' => {
            shifted(c, 8)
        }
        '\u{1fb3}' | '\u{1fc3}' | '\u{1ff3}' => shifted(c, 9),
        c => only(c.to_uppercase()).unwrap_or(c),
    }
}

/// The case in which a word begins.
pub(crate) fn title(c: char) -> char {
    match c {
        'Ǆ' | 'ǅ' | 'ǆ' => 'ǅ',
        'Ǉ' | 'ǈ' | 'ǉ' => 'ǈ',
        'Ǌ' | 'ǋ' | 'ǌ' => 'ǋ',
        'Ǳ' | 'ǲ' | 'ǳ' => 'ǲ',
        'ა'..='ჿ' => c,
        c => upper(c),
    }
}

/// Every character whose lower case is `c`, with `c` itself.
pub(super) fn cases(c: char) -> Vec<char> {
    let mut cases = vec![c, upper(c), title(c)];
    cases.extend(match c {
        'i' => Some('İ'),
        'k' => Some('\u{212a}'),
        'å' => Some('\u{212b}'),
        'ω' => Some('\u{2126}'),
        'ß' => Some('ẞ'),
        'θ' => Some('ϴ'),
        _ => None,
    });
    cases.retain(|case| *case == c || lower(*case) == c);
    cases.sort_unstable();
    cases.dedup();
    cases
}

fn only(mut mapped: impl Iterator<Item = char>) -> Option<char> {
    let first = mapped.next();
    if mapped.next().is_some() { None } else { first }
}

fn shifted(c: char, by: u32) -> char {
    char::from_u32(u32::from(c) + by).unwrap_or(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_map_one_to_one() {
        let check = |map: fn(char) -> char, text: &str, expected: &str| {
            assert_eq!(text.chars().map(map).collect::<String>(), expected);
        };
        check(lower, "ÀÉ ẞ İ ΣΑΣ K", "àé ß i σασ k");
        check(upper, "straße é ı ᾳ ŉ ſ", "STRAßE É I ᾼ ŉ S");
        check(title, "aǆß", "Aǅß");
    }

    #[test]
    fn all_cases_are_listed() {
        for c in (0..0x3000).filter_map(char::from_u32) {
            let low = lower(c);
            assert!(cases(low).contains(&c), "{c:?} of {low:?}");
        }
    }
}
