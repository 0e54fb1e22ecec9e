//! `printf`: Go's formatting verbs.

mod hex_float;

use std::fmt::Write as _;

use model::label::quote_into;

use super::Data;
use super::format::{append, scientific_digits, shortest, special, with_exponent};
use super::value::Value;

/// Largest width or precision that is honoured.
const WIDTH_MAX: usize = 10_000;

/// Flags, width and precision of one verb.
#[derive(Debug, Clone, Copy, Default)]
struct Spec {
    plus: bool,
    minus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// Formats `args` as Go's `Sprintf`.
pub(super) fn sprintf(format: &[u8], args: &[Value<'_>], data: &dyn Data) -> Vec<u8> {
    let mut printer =
        Printer { format, at: 0, args, next: 0, is_reordered: false, data, out: Vec::new() };
    printer.run();
    printer.out
}

struct Printer<'p, 'a> {
    format: &'p [u8],
    at: usize,
    args: &'p [Value<'a>],
    next: usize,
    /// Whether some verb named its argument, which silences the complaint about the rest.
    is_reordered: bool,
    data: &'p dyn Data,
    out: Vec<u8>,
}

impl Printer<'_, '_> {
    fn run(&mut self) {
        while let Some(length) = memchr::memchr(b'%', &self.format[self.at..]) {
            self.out.extend_from_slice(&self.format[self.at..self.at + length]);
            self.at += length + 1;
            self.verb();
        }
        self.out.extend_from_slice(&self.format[self.at.min(self.format.len())..]);
        if !self.is_reordered && self.next < self.args.len() {
            self.complain_of_extra();
        }
    }

    fn complain_of_extra(&mut self) {
        self.out.extend_from_slice(b"%!(EXTRA ");
        for (at, arg) in self.args[self.next..].iter().enumerate() {
            self.out.extend_from_slice(if at > 0 { b", " } else { b"" });
            match arg {
                Value::Missing | Value::Nil => self.out.extend_from_slice(b"<nil>"),
                arg => {
                    self.out.extend_from_slice(arg.type_name().as_bytes());
                    self.out.push(b'=');
                    append(arg, self.data, &mut self.out);
                }
            }
        }
        self.out.push(b')');
    }

    fn peek(&self) -> Option<u8> {
        self.format.get(self.at).copied()
    }

    /// Reads one verb after its `%` and prints its argument.
    fn verb(&mut self) {
        let mut spec = Spec::default();
        let mut is_index_bad = !self.flags(&mut spec);
        is_index_bad |= !self.index();
        if self.peek() == Some(b'*') {
            self.at += 1;
            match self.star() {
                Some(width) => {
                    spec.minus |= width < 0;
                    spec.width = Some((width.unsigned_abs() as usize).min(WIDTH_MAX));
                }
                None => self.out.extend_from_slice(b"%!(BADWIDTH)"),
            }
        } else {
            spec.width = self.digits();
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            is_index_bad |= !self.index();
            if self.peek() == Some(b'*') {
                self.at += 1;
                spec.precision = self.star().and_then(|precision| usize::try_from(precision).ok());
                if spec.precision.is_none() {
                    self.out.extend_from_slice(b"%!(BADPREC)");
                }
            } else {
                spec.precision = Some(self.digits().unwrap_or(0));
            }
        }
        is_index_bad |= !self.index();
        let Some(verb) = self.verb_char() else {
            self.out.extend_from_slice(b"%!(NOVERB)");
            return;
        };
        if verb == '%' {
            self.out.push(b'%');
        } else if is_index_bad {
            let _ = self.push(&format!("%!{verb}(BADINDEX)"));
        } else if let Some(arg) = self.args.get(self.next) {
            self.next += 1;
            self.print(verb, arg.clone(), spec);
        } else {
            let _ = self.push(&format!("%!{verb}(MISSING)"));
        }
    }

    fn push(&mut self, text: &str) -> std::fmt::Result {
        self.out.extend_from_slice(text.as_bytes());
        Ok(())
    }

    fn flags(&mut self, spec: &mut Spec) -> bool {
        while let Some(flag) = self.peek() {
            match flag {
                b'+' => spec.plus = true,
                b'-' => spec.minus = true,
                b'#' => spec.sharp = true,
                b' ' => spec.space = true,
                b'0' => spec.zero = true,
                _ => break,
            }
            self.at += 1;
        }
        true
    }

    /// Reads `[n]`; answers whether it was sound or absent.
    fn index(&mut self) -> bool {
        if self.peek() != Some(b'[') {
            return true;
        }
        self.is_reordered = true;
        let rest = &self.format[self.at + 1..];
        let Some(end) = rest.iter().position(|byte| *byte == b']') else {
            self.at += 1;
            return false;
        };
        self.at += end + 2;
        let number: Option<usize> =
            std::str::from_utf8(&rest[..end]).ok().and_then(|digits| digits.parse().ok());
        match number {
            Some(number) if number >= 1 && number <= self.args.len() => {
                self.next = number - 1;
                true
            }
            _ => false,
        }
    }

    /// The argument that a `*` takes.
    fn star(&mut self) -> Option<i64> {
        let value = self.args.get(self.next)?.as_int();
        self.next += 1;
        value.filter(|value| value.unsigned_abs() <= WIDTH_MAX as u64 * 100)
    }

    fn digits(&mut self) -> Option<usize> {
        let rest = &self.format[self.at..];
        let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += length;
        let digits = std::str::from_utf8(&rest[..length]).ok()?;
        let number: usize = digits.parse().ok()?;
        Some(number.min(WIDTH_MAX))
    }

    fn verb_char(&mut self) -> Option<char> {
        let rest = self.format.get(self.at..).filter(|rest| !rest.is_empty())?;
        let c = rest.utf8_chunks().next().and_then(|chunk| chunk.valid().chars().next());
        let c = c.unwrap_or(char::REPLACEMENT_CHARACTER);
        self.at += if rest[0] < 0x80 { 1 } else { c.len_utf8().min(rest.len()) };
        Some(c)
    }

    fn print(&mut self, verb: char, arg: Value<'_>, spec: Spec) {
        let text = match (&arg, verb) {
            (_, 'T') => Some(match &arg {
                Value::Missing | Value::Nil => b"<nil>".to_vec(),
                arg => arg.type_name().as_bytes().to_vec(),
            }),
            (Value::Missing | Value::Nil, 'v') => Some(b"<nil>".to_vec()),
            (Value::Bool(value), 't' | 'v') => Some(value.to_string().into_bytes()),
            (Value::Float(value), _) => float(*value, verb, spec).map(String::into_bytes),
            (Value::Text(text), _) => bytes(text, verb, spec),
            (Value::Int(_) | Value::Int64(_) | Value::Byte(_), _) => {
                arg.as_int().and_then(|value| integer(value, verb, spec)).map(String::into_bytes)
            }
            (
                Value::Duration(_) | Value::Month(_) | Value::Weekday(_),
                'd' | 'x' | 'X' | 'o' | 'b',
            ) => arg.as_int().and_then(|value| integer(value, verb, spec)).map(String::into_bytes),
            (Value::Missing | Value::Nil, _) => None,
            (_, 'v' | 's') => {
                let mut text = Vec::new();
                append(&arg, self.data, &mut text);
                Some(text)
            }
            (Value::Time(_) | Value::Duration(_) | Value::Month(_) | Value::Weekday(_), 'q') => {
                let mut text = Vec::new();
                append(&arg, self.data, &mut text);
                bytes(&text, verb, spec)
            }
            _ => None,
        };
        match text {
            Some(text) => self.pad(&text, spec, &arg),
            None => self.bad_verb(verb, &arg),
        }
    }

    fn bad_verb(&mut self, verb: char, arg: &Value<'_>) {
        let mut out = format!("%!{verb}(").into_bytes();
        match arg {
            Value::Missing | Value::Nil => out.extend_from_slice(b"<nil>"),
            arg => {
                out.extend_from_slice(arg.type_name().as_bytes());
                out.push(b'=');
                append(arg, self.data, &mut out);
            }
        }
        out.push(b')');
        self.out.extend_from_slice(&out);
    }

    /// Appends a text padded to the width, counted in characters.
    fn pad(&mut self, text: &[u8], spec: Spec, arg: &Value<'_>) {
        let length = String::from_utf8_lossy(text).chars().count();
        let missing = spec.width.unwrap_or(0).saturating_sub(length);
        if spec.minus {
            self.out.extend_from_slice(text);
            self.out.extend(std::iter::repeat_n(b' ', missing));
            return;
        }
        let is_number =
            matches!(arg, Value::Float(value) if value.is_finite()) || arg.as_int().is_some();
        if spec.zero && (is_number || matches!(arg, Value::Text(_))) {
            let signed = is_number && matches!(text.first(), Some(b'+' | b'-' | b' '));
            let (sign, digits) = text.split_at(usize::from(signed));
            self.out.extend_from_slice(sign);
            self.out.extend(std::iter::repeat_n(b'0', missing));
            self.out.extend_from_slice(digits);
            return;
        }
        self.out.extend(std::iter::repeat_n(b' ', missing));
        self.out.extend_from_slice(text);
    }
}

/// The sign that is printed before a number.
fn sign(is_negative: bool, spec: Spec) -> &'static str {
    match (is_negative, spec.plus, spec.space) {
        (true, _, _) => "-",
        (false, true, _) => "+",
        (false, false, true) => " ",
        _ => "",
    }
}

fn integer(value: i64, verb: char, spec: Spec) -> Option<String> {
    let magnitude = value.unsigned_abs();
    let digits = match verb {
        'd' | 'v' => magnitude.to_string(),
        'b' => format!("{magnitude:b}"),
        'o' | 'O' => format!("{magnitude:o}"),
        'x' => format!("{magnitude:x}"),
        'X' => format!("{magnitude:X}"),
        'c' => {
            let code = u32::try_from(value).ok().and_then(char::from_u32);
            return Some(code.unwrap_or(char::REPLACEMENT_CHARACTER).to_string());
        }
        'q' => {
            let c = u32::try_from(value).ok().and_then(char::from_u32);
            return Some(quoted_char(c.unwrap_or(char::REPLACEMENT_CHARACTER)));
        }
        'U' => {
            let c = u32::try_from(value).ok().and_then(char::from_u32);
            let shown = c.filter(|_| spec.sharp).map_or(String::new(), |c| format!(" '{c}'"));
            return Some(format!("U+{magnitude:04X}{shown}"));
        }
        _ => return None,
    };
    let prefix = match verb {
        'x' if spec.sharp => "0x",
        'X' if spec.sharp => "0X",
        'b' if spec.sharp => "0b",
        'o' if spec.sharp => "0",
        'O' => "0o",
        _ => "",
    };
    let width = spec.precision.unwrap_or(0);
    if spec.precision == Some(0) && value == 0 {
        return Some(String::new());
    }
    Some(format!("{}{prefix}{digits:0>width$}", sign(value < 0, spec)))
}

fn quoted_char(c: char) -> String {
    match c {
        '\'' => "'\\''".into(),
        '"' => "'\"'".into(),
        c => {
            let mut quoted = String::new();
            quote_into(&c.to_string(), &mut quoted);
            format!("'{}'", &quoted[1..quoted.len() - 1])
        }
    }
}

fn float(value: f64, verb: char, spec: Spec) -> Option<String> {
    if !matches!(verb, 'e' | 'E' | 'f' | 'F' | 'g' | 'G' | 'v' | 'x' | 'X') {
        return None;
    }
    let prefix = sign(value.is_sign_negative() && !value.is_nan(), spec);
    if let Some(word) = special(value) {
        let word = word.trim_start_matches(['+', '-']);
        let shows_plus = spec.plus
            || matches!(verb, 'v') && value == f64::INFINITY
            || value.is_infinite() && prefix.is_empty() && !spec.space;
        let prefix =
            if prefix.is_empty() && shows_plus && value.is_infinite() { "+" } else { prefix };
        return Some(format!("{prefix}{word}"));
    }
    let magnitude = value.abs();
    let body = match (verb, spec.precision) {
        ('f' | 'F', precision) => format!("{magnitude:.*}", precision.unwrap_or(6)),
        ('e' | 'E', precision) => fixed_exponent(magnitude, precision.unwrap_or(6), verb),
        ('x' | 'X', precision) => hex_float::format(magnitude, precision),
        (_, None) => shortest(magnitude),
        (_, Some(precision)) => general(magnitude, precision.max(1), spec.sharp),
    };
    let body = if matches!(verb, 'E' | 'G' | 'X') { body.to_uppercase() } else { body };
    Some(format!("{prefix}{body}"))
}

/// Scientific notation with a fixed number of digits after the point.
fn fixed_exponent(magnitude: f64, precision: usize, e: char) -> String {
    let text = format!("{magnitude:.precision$e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}{e}{sign}{:02}", exponent.unsigned_abs())
}

/// `%g` with a precision: that many digits, without trailing zeros unless `keeps_zeros`.
fn general(magnitude: f64, precision: usize, keeps_zeros: bool) -> String {
    let text = format!("{magnitude:.*e}", precision - 1);
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits = mantissa.replace('.', "");
    let kept = if keeps_zeros { &digits } else { digits.trim_end_matches('0') };
    let kept = if kept.is_empty() { "0" } else { kept };
    let limit = match scientific_digits(magnitude).0.len() {
        // Fewer digits than asked for raise the bar only as far as they go.
        count if precision > count && count as i32 > exponent => count,
        _ => precision,
    };
    if exponent < -4 || exponent >= limit.max(1) as i32 {
        return with_exponent(kept, exponent, false, 'e');
    }
    let decimals = kept.len() as i32 - 1 - exponent;
    format!("{magnitude:.*}", usize::try_from(decimals).unwrap_or(0))
}

fn bytes(text: &[u8], verb: char, spec: Spec) -> Option<Vec<u8>> {
    match verb {
        's' | 'v' => Some(cut(text, spec.precision).to_vec()),
        'q' => {
            let text = String::from_utf8_lossy(cut(text, spec.precision));
            if spec.sharp && !text.contains(['`', '\u{feff}']) {
                return Some(format!("`{text}`").into_bytes());
            }
            let mut out = String::new();
            quote_into(&text, &mut out);
            Some(out.into_bytes())
        }
        'x' | 'X' => {
            let text = &text[..text.len().min(spec.precision.unwrap_or(usize::MAX))];
            let mut out = String::new();
            for (at, byte) in text.iter().enumerate() {
                if at > 0 && spec.space {
                    out.push(' ');
                }
                if spec.sharp && (at == 0 || spec.space) {
                    out.push_str(if verb == 'x' { "0x" } else { "0X" });
                }
                let _ =
                    if verb == 'x' { write!(out, "{byte:02x}") } else { write!(out, "{byte:02X}") };
            }
            Some(out.into_bytes())
        }
        _ => None,
    }
}

/// The first `precision` characters.
fn cut(text: &[u8], precision: Option<usize>) -> &[u8] {
    let Some(precision) = precision else { return text };
    let mut length = 0;
    for (count, chunk) in super::text::runes(text).enumerate() {
        if count == precision {
            break;
        }
        length += chunk.len();
    }
    &text[..length]
}

#[cfg(test)]
mod tests {
    use super::super::tests::NoLabels;
    use super::*;

    #[test]
    fn verbs_print_as_in_go() {
        let check = |format: &str, args: &[Value<'_>], expected: &str| {
            let out = sprintf(format.as_bytes(), args, &NoLabels);
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{format}");
        };
        let int = Value::Int(42);
        check(
            "%6d|%-6d|%06d|%+d|% d",
            &[int.clone(), int.clone(), int.clone(), int.clone(), int.clone()],
            "    42|42    |000042|+42| 42",
        );
        let floats = [
            Value::Float(3.25159),
            Value::Float(2.5),
            Value::Float(123456.789),
            Value::Float(1e-9),
        ];
        check("%6.3f|%-8.2f|%e|%g", &floats, " 3.252|2.50    |1.234568e+05|1e-09");
        let texts = [Value::text("a"), Value::text("b")];
        check("%[2]s %[1]s", &texts, "b a");
        check("%*d", &[Value::Int(5), int.clone()], "   42");
        check("%!", &[], "%!!(MISSING)");
        check("%z", &[Value::Int(1)], "%!z(int=1)");
        check("%d", &[Value::text("carol")], "%!d(string=carol)");
        check("%s", &[], "%!s(MISSING)");
        check("x", &[Value::Int(1)], "x%!(EXTRA int=1)");
        check("%", &[], "%!(NOVERB)");
        check("%%", &[], "%");
        check(
            "%t %v %q %x",
            &[Value::Bool(true), Value::Float(1.0), Value::text("a\nb"), Value::text("é")],
            "true 1 \"a\\nb\" c3a9",
        );
        check(
            "%x %X %o %b %c %U",
            &[
                Value::Int(255),
                Value::Int(255),
                Value::Int(8),
                Value::Int(5),
                Value::Int(0x65e5),
                Value::Int(0x65e5),
            ],
            "ff FF 10 101 日 U+65E5",
        );
        check(
            "%5s|%-5s|%.2s",
            &[Value::text("é"), Value::text("é"), Value::text("日本語")],
            "    é|é    |日本",
        );
        check("%v %s", &[Value::Nil, Value::Nil], "<nil> %!s(<nil>)");
        check("%[3]d", &[Value::Int(1)], "%!d(BADINDEX)");
        check(
            "%.3g %g %G",
            &[Value::Float(1234.5678), Value::Float(1e21), Value::Float(1e-7)],
            "1.23e+03 1e+21 1E-07",
        );
        check("%T %T", &[Value::Int64(1), Value::text("x")], "int64 string");
        check(
            "%v %+v %f",
            &[Value::Float(f64::INFINITY), Value::Float(f64::NAN), Value::Float(f64::NEG_INFINITY)],
            "+Inf +NaN -Inf",
        );
        check(
            "%08.3f|%+.1e",
            &[Value::Float(-3.25159), Value::Float(12345.0)],
            "-003.252|+1.2e+04",
        );
    }
}
