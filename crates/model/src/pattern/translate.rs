//! Rewrites Go's regular expression syntax into that of `regex-syntax`.

use std::str::Chars;

use super::{PatternError, REPETITION_MAX};

/// A pattern in the syntax of the engine.
pub(super) struct Translated<'a> {
    pub(super) text: String,
    /// The names of groups, in the order in which they stand.
    pub(super) group_names: Vec<&'a str>,
}

/// Rewrites Go syntax into the equivalent `regex-syntax` text.
///
/// # Errors
///
/// [`PatternError`] for what Go refuses, except for parentheses that do not match and classes that
/// do not exist: those the engine finds itself.
pub fn translate(text: &str) -> Result<String, PatternError> {
    rewrite(text).map(|translated| translated.text)
}

/// As [`translate`], with the names of groups.
pub(super) fn rewrite(text: &str) -> Result<Translated<'_>, PatternError> {
    let translator = Translator {
        rest: text,
        out: String::with_capacity(text.len() + 8),
        group_names: Vec::new(),
        repeatable: false,
        repeated: None,
    };
    translator.run()
}

struct Translator<'a> {
    rest: &'a str,
    out: String,
    group_names: Vec<&'a str>,
    /// Whether something stands before that an operator can repeat.
    repeatable: bool,
    /// The text from the last repetition operator on, as long as nothing follows it.
    repeated: Option<&'a str>,
}

/// The names Go knows in `[[:name:]]`.
const CLASS_NAMES: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
    "space", "upper", "word", "xdigit",
];

impl<'a> Translator<'a> {
    fn run(mut self) -> Result<Translated<'a>, PatternError> {
        while let Some(c) = self.rest.chars().next() {
            let repeated = self.repeated.take();
            match c {
                '*' | '+' | '?' => self.repetition(1, repeated)?,
                '{' => match repetition_bounds(self.rest) {
                    Some((bounds, length)) => {
                        check_bounds(&bounds, &self.rest[..length])?;
                        self.repetition(length, repeated)?;
                    }
                    None => self.literal(c),
                },
                '(' if self.rest.starts_with("(?") => self.group()?,
                '(' | '|' => {
                    self.keep(1);
                    self.repeatable = false;
                }
                '\\' => self.escape()?,
                '[' => self.class()?,
                // Special only to the other engine.
                '}' => self.literal(c),
                c => {
                    self.keep(c.len_utf8());
                    self.repeatable = true;
                }
            }
        }
        Ok(Translated { text: self.out, group_names: self.group_names })
    }

    fn keep(&mut self, bytes: usize) {
        let (kept, rest) = self.rest.split_at(bytes);
        self.out.push_str(kept);
        self.rest = rest;
    }

    fn replace(&mut self, bytes: usize, with: &str) {
        self.rest = &self.rest[bytes..];
        self.out.push_str(with);
        self.repeatable = true;
    }

    /// The next character, `c`, stands for itself.
    fn literal(&mut self, c: char) {
        self.rest = &self.rest[c.len_utf8()..];
        self.push(c);
        self.repeatable = true;
    }

    fn push(&mut self, c: char) {
        regex_syntax::escape_into(c.encode_utf8(&mut [0; 4]), &mut self.out);
    }

    /// What was read since the text was `from`.
    fn read_since(&self, from: &'a str) -> &'a str {
        &from[..from.len() - self.rest.len()]
    }

    /// An operator of so many bytes, and the `?` that makes it lazy.
    fn repetition(&mut self, bytes: usize, repeated: Option<&'a str>) -> Result<(), PatternError> {
        let before = self.rest;
        self.keep(bytes);
        if self.rest.starts_with('?') {
            self.keep(1);
        }
        if let Some(from) = repeated {
            return Err(fault("invalid nested repetition operator", self.read_since(from)));
        }
        if !self.repeatable {
            let operator = self.read_since(before);
            return Err(fault("missing argument to repetition operator", operator));
        }
        self.repeated = Some(before);
        Ok(())
    }

    /// `(?P<name>`, `(?<name>`, `(?i:` or `(?i)`.
    fn group(&mut self) -> Result<(), PatternError> {
        let name_at = match self.rest {
            rest if rest.starts_with("(?P<") && rest.len() > 4 => 4,
            rest if rest.starts_with("(?<") && rest.len() > 3 => 3,
            _ => return self.flags(),
        };
        let Some(end) = self.rest.find('>') else {
            return Err(fault("invalid named capture", self.rest));
        };
        let name = &self.rest[name_at..end];
        if name.is_empty() || !name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric()) {
            return Err(fault("invalid named capture", &self.rest[..=end]));
        }
        // The engine takes a name once, and none that begins with a digit.
        if self.group_names.contains(&name) || name.starts_with(|c: char| c.is_ascii_digit()) {
            self.out.push('(');
        } else {
            self.out.push_str(&format!("(?P<{name}>"));
        }
        self.group_names.push(name);
        self.rest = &self.rest[end + 1..];
        self.repeatable = false;
        Ok(())
    }

    /// Flags, alone or with the opening of a group that is not captured.
    fn flags(&mut self) -> Result<(), PatternError> {
        let invalid = |flags| Err(fault("invalid or unsupported Perl syntax", flags));
        let (mut negated, mut has_flag) = (false, false);
        for (at, c) in self.rest.char_indices().skip("(?".len()) {
            match c {
                'i' | 'm' | 's' | 'U' => has_flag = true,
                '-' if !negated => (negated, has_flag) = (true, false),
                ':' | ')' if has_flag || !negated => {
                    let opens_group = c == ':';
                    if opens_group || has_flag {
                        self.keep(at + 1);
                    } else {
                        self.rest = &self.rest[at + 1..];
                    }
                    self.repeatable &= !opens_group;
                    return Ok(());
                }
                c => return invalid(&self.rest[..at + c.len_utf8()]),
            }
        }
        invalid(self.rest)
    }

    /// An escape outside of brackets.
    fn escape(&mut self) -> Result<(), PatternError> {
        match self.rest[1..].chars().next() {
            Some('b') => self.replace(2, "(?-u:\\b)"),
            Some('B') => self.replace(2, "(?-u:\\B)"),
            Some('A') => self.replace(2, "\\A"),
            Some('z') => self.replace(2, "\\z"),
            Some('Q') => self.quoted(),
            _ if self.class_escape()? => {}
            _ => {
                let c = self.escaped_char()?;
                self.push(c);
                self.repeatable = true;
            }
        }
        Ok(())
    }

    /// `\Q…\E` (or to the end of the text) stands for its literal content.
    fn quoted(&mut self) {
        let body = &self.rest[2..];
        let (literal, rest) = body.split_once("\\E").unwrap_or((body, ""));
        regex_syntax::escape_into(literal, &mut self.out);
        self.rest = rest;
        self.repeatable |= !literal.is_empty();
    }

    /// Takes an escape that stands for a class, in brackets or not. Whether there was one.
    fn class_escape(&mut self) -> Result<bool, PatternError> {
        let mut chars = self.rest.chars();
        let (Some('\\'), Some(letter)) = (chars.next(), chars.next()) else { return Ok(false) };
        let class = match letter {
            'd' => "[0-9]",
            'D' => "[^0-9]",
            'w' => "[0-9A-Za-z_]",
            'W' => "[^0-9A-Za-z_]",
            's' => "[\\t\\n\\x0C\\r ]",
            'S' => "[^\\t\\n\\x0C\\r ]",
            'p' | 'P' => {
                self.unicode_class(letter == 'P')?;
                return Ok(true);
            }
            _ => return Ok(false),
        };
        self.replace(2, class);
        Ok(true)
    }

    /// `\pN`, `\p{Greek}`, `\p{^Greek}`.
    fn unicode_class(&mut self, negated: bool) -> Result<(), PatternError> {
        let invalid = |class| Err(fault("invalid character class range", class));
        let named = &self.rest[2..];
        let length = match named.chars().next() {
            Some('{') => named.find('}').map(|end| end + 1),
            first => first.map(char::len_utf8),
        };
        let Some(length) = length else { return invalid(self.rest) };
        let name = named[..length].trim_start_matches('{').trim_end_matches('}');
        // Properties with values are the other engine's.
        if name.contains(['=', ':', '!']) {
            return invalid(&self.rest[..2 + length]);
        }
        let turned = name.starts_with('^');
        let letter = if negated == turned { 'p' } else { 'P' };
        let class = format!("\\{letter}{{{}}}", name.trim_start_matches('^'));
        self.replace(2 + length, &class);
        Ok(())
    }

    /// Reads the escape of one character.
    fn escaped_char(&mut self) -> Result<char, PatternError> {
        let mut chars = self.rest[1..].chars();
        let code = match chars.next() {
            None => return Err(fault("trailing backslash at end of expression", "")),
            Some('a') => Some(0x07),
            Some('t') => Some(0x09),
            Some('n') => Some(0x0A),
            Some('v') => Some(0x0B),
            Some('f') => Some(0x0C),
            Some('r') => Some(0x0D),
            Some(digit @ '0'..='7') => octal(digit, &mut chars),
            Some('x') => hexadecimal(&mut chars),
            Some(c) => (c.is_ascii() && !c.is_ascii_alphanumeric()).then_some(u32::from(c)),
        };
        let before = std::mem::replace(&mut self.rest, chars.as_str());
        code.and_then(char::from_u32)
            .ok_or_else(|| fault("invalid escape sequence", self.read_since(before)))
    }

    fn class(&mut self) -> Result<(), PatternError> {
        let class = self.rest;
        self.keep(1);
        if self.rest.starts_with('^') {
            self.keep(1);
        }
        let mut first = true;
        while first || !self.rest.starts_with(']') {
            first = false;
            if !self.named_class()? && !self.class_escape()? {
                self.class_range(class)?;
            }
        }
        self.keep(1);
        self.repeatable = true;
        Ok(())
    }

    /// Takes `[:name:]` in brackets. Whether there was one.
    fn named_class(&mut self) -> Result<bool, PatternError> {
        let end = self.rest.strip_prefix("[:").and_then(|rest| rest.find(":]"));
        let Some(end) = end else { return Ok(false) };
        let (name, class) = (&self.rest[2..2 + end], &self.rest[..end + 4]);
        if !CLASS_NAMES.contains(&name.strip_prefix('^').unwrap_or(name)) {
            return Err(fault("invalid character class range", class));
        }
        self.keep(class.len());
        Ok(true)
    }

    /// One character or a range of them, in the brackets that open `class`.
    fn class_range(&mut self, class: &str) -> Result<(), PatternError> {
        let before = self.rest;
        let low = self.class_char(class)?;
        self.push(low);
        match self.rest.strip_prefix('-') {
            None | Some("") => return Ok(()),
            Some(rest) if rest.starts_with(']') => return Ok(()),
            Some(rest) => self.rest = rest,
        }
        let high = self.class_char(class)?;
        if high < low {
            return Err(fault("invalid character class range", self.read_since(before)));
        }
        self.out.push('-');
        self.push(high);
        Ok(())
    }

    fn class_char(&mut self, class: &str) -> Result<char, PatternError> {
        match self.rest.chars().next() {
            None => Err(fault("missing closing ]", class)),
            Some('\\') => self.escaped_char(),
            Some(c) => {
                self.rest = &self.rest[c.len_utf8()..];
                Ok(c)
            }
        }
    }
}

fn fault(what: &str, part: &str) -> PatternError {
    PatternError(format!("{what}: `{part}`"))
}

/// Up to three octal digits; a single digit 1–7 alone would be a back reference.
fn octal(first: char, chars: &mut Chars<'_>) -> Option<u32> {
    let digit = |chars: &Chars<'_>| chars.clone().next().and_then(|c| c.to_digit(8));
    if first != '0' && digit(chars).is_none() {
        return None;
    }
    let mut code = first.to_digit(8)?;
    for _ in 0..2 {
        let Some(value) = digit(chars) else { break };
        chars.next();
        code = code * 8 + value;
    }
    Some(code)
}

/// Two hexadecimal digits, or any number of them in braces.
fn hexadecimal(chars: &mut Chars<'_>) -> Option<u32> {
    let first = chars.next()?;
    if first != '{' {
        let second = chars.next()?;
        return Some(first.to_digit(16)? * 16 + second.to_digit(16)?);
    }
    let mut code = None;
    loop {
        match chars.next()? {
            '}' => return code,
            digit => {
                let value = code.unwrap_or(0) * 16 + digit.to_digit(16)?;
                code = (value <= u32::from(char::MAX)).then_some(value);
                code?;
            }
        }
    }
}

/// Refuses bounds that are too high or in the wrong order.
fn check_bounds(bounds: &[u32], operator: &str) -> Result<(), PatternError> {
    let too_high = bounds.iter().any(|bound| *bound > REPETITION_MAX);
    if too_high || !bounds.is_sorted() {
        return Err(fault("invalid repeat count", operator));
    }
    Ok(())
}

/// The bounds of `{n}`, `{n,}` or `{n,m}` at the start of `text`, and its length.
fn repetition_bounds(text: &str) -> Option<(Vec<u32>, usize)> {
    let end = text.find('}')? + 1;
    let body = &text[1..end - 1];
    let (low, high) = body.split_once(',').map_or((body, None), |(low, high)| (low, Some(high)));
    let number = |digits: &str| {
        let is_number = digits == "0" || !digits.is_empty() && !digits.starts_with('0');
        (is_number && digits.bytes().all(|b| b.is_ascii_digit()))
            .then(|| digits.parse().unwrap_or(u32::MAX))
    };
    let mut bounds = vec![number(low)?];
    match high {
        Some("") | None => {}
        Some(high) => bounds.push(number(high)?),
    }
    Some((bounds, end))
}
