//! What can be said about a regular expression without running it.

use regex_syntax::ParserBuilder;
use regex_syntax::hir::literal::{ExtractKind, Extractor, Seq};
use regex_syntax::hir::{
    Capture, Class, ClassBytes, ClassBytesRange, ClassUnicode, ClassUnicodeRange, Hir, HirKind,
    Look, Repetition,
};

/// How many alternatives a requirement may have.
const ALTERNATIVES_MAX: usize = 32;
/// How many requirements one expression may give.
const REQUIREMENTS_MAX: usize = 4;
/// Shorter texts are not worth requiring.
const LENGTH_MIN: usize = 2;

/// More alternatives are joined where they begin alike.
const MANY_ALTERNATIVES: usize = 4;
/// Shorter beginnings say too little.
const TELLING_BYTES: usize = 6;

/// Parses an expression that is already in the engine's syntax.
pub(super) fn parse(translated: &str) -> Option<Hir> {
    ParserBuilder::new().utf8(false).build().parse(translated).ok()
}

/// The same expression for a text of many lines, of which each match must stay inside one.
///
/// On lines without newlines the two match the same lines: no class takes a newline, and the
/// anchors of the whole text become those of a line.
pub(super) fn within_line(hir: &Hir) -> Hir {
    match hir.kind() {
        HirKind::Empty => Hir::empty(),
        HirKind::Literal(literal) if literal.0.contains(&b'\n') => Hir::fail(),
        HirKind::Literal(literal) => Hir::literal(literal.0.clone()),
        HirKind::Class(Class::Unicode(class)) => {
            let mut class = class.clone();
            class.difference(&ClassUnicode::new([ClassUnicodeRange::new('\n', '\n')]));
            Hir::class(Class::Unicode(class))
        }
        HirKind::Class(Class::Bytes(class)) => {
            let mut class = class.clone();
            class.difference(&ClassBytes::new([ClassBytesRange::new(b'\n', b'\n')]));
            Hir::class(Class::Bytes(class))
        }
        HirKind::Look(Look::Start) => Hir::look(Look::StartLF),
        HirKind::Look(Look::End) => Hir::look(Look::EndLF),
        HirKind::Look(look) => Hir::look(*look),
        HirKind::Repetition(repetition) => Hir::repetition(Repetition {
            sub: Box::new(within_line(&repetition.sub)),
            ..repetition.clone()
        }),
        HirKind::Capture(capture) => {
            Hir::capture(Capture { sub: Box::new(within_line(&capture.sub)), ..capture.clone() })
        }
        HirKind::Concat(parts) => Hir::concat(parts.iter().map(within_line).collect()),
        HirKind::Alternation(parts) => Hir::alternation(parts.iter().map(within_line).collect()),
    }
}

/// Conditions on every text that the expression matches: of each list, one text must be there.
pub(super) fn required(hir: &Hir) -> Vec<Vec<Box<[u8]>>> {
    let mut found = Vec::new();
    collect(hir, &mut found);
    found.sort_by_key(|texts: &Vec<Box<[u8]>>| {
        std::cmp::Reverse(texts.iter().map(|text| text.len()).min())
    });
    found.dedup();
    found.truncate(REQUIREMENTS_MAX);
    found
}

fn collect(hir: &Hir, found: &mut Vec<Vec<Box<[u8]>>>) {
    match hir.kind() {
        HirKind::Capture(capture) => collect(&capture.sub, found),
        HirKind::Repetition(repetition) if repetition.min > 0 => collect(&repetition.sub, found),
        HirKind::Concat(parts) => {
            // Every part must match somewhere, and what follows it directly lengthens its texts.
            let mut at = 0;
            while at < parts.len() {
                let rest = Hir::concat(parts[at..].to_vec());
                match texts(&rest) {
                    Some(texts) => {
                        found.push(texts);
                        at = skip_literals(parts, at);
                    }
                    None => {
                        collect(&parts[at], found);
                        at += 1;
                    }
                }
            }
        }
        _ => found.extend(texts(hir)),
    }
}

/// The part after a run of parts that the texts of `at` already cover.
fn skip_literals(parts: &[Hir], at: usize) -> usize {
    let run = parts[at..].iter().take_while(|part| {
        matches!(part.kind(), HirKind::Literal(_) | HirKind::Class(_) | HirKind::Look(_))
    });
    at + run.count().max(1)
}

/// The texts with which every match begins, if there are few and none is short.
fn texts(hir: &Hir) -> Option<Vec<Box<[u8]>>> {
    let mut extractor = Extractor::new();
    extractor.kind(ExtractKind::Prefix).limit_total(ALTERNATIVES_MAX);
    let sequence: Seq = extractor.extract(hir);
    let literals = sequence.literals()?;
    let worthy = !literals.is_empty()
        && literals.len() <= ALTERNATIVES_MAX
        && literals.iter().all(|literal| literal.len() >= LENGTH_MIN);
    worthy.then(|| {
        let texts: Vec<&[u8]> = literals.iter().map(|literal| literal.as_bytes()).collect();
        match common_start(&texts) {
            Some(start) => vec![start.into()],
            None => texts.into_iter().map(Into::into).collect(),
        }
    })
}

/// What many texts begin with, when it says about as much as they do and costs far less to look
/// for.
fn common_start<'t>(texts: &[&'t [u8]]) -> Option<&'t [u8]> {
    let (first, others) = texts.split_first()?;
    let shared = |other: &&[u8]| first.iter().zip(*other).take_while(|(a, b)| a == b).count();
    let len = others.iter().map(shared).min()?;
    let longest = texts.iter().map(|text| text.len()).min()?;
    let is_telling = texts.len() > MANY_ALTERNATIVES && len >= TELLING_BYTES && len * 2 >= longest;
    is_telling.then(|| &first[..len])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn required_texts_are_found() {
        let check = |pattern: &str, expected: &[&[&str]]| {
            let found = required(&parse(pattern).unwrap());
            let found: Vec<Vec<String>> = found
                .iter()
                .map(|texts| {
                    texts.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect()
                })
                .collect();
            assert_eq!(found, expected, "{pattern}");
        };
        check("foo.*barbaz", &[&["barbaz"], &["foo"]]);
        check("(?:foo|barn)x", &[&["foox", "barnx"]]);
        check("a.*b", &[]);
        check("(foo)?bar", &[&["foobar", "bar"], &["bar"]]);
        check("(?:foo)*", &[]);
        check("(?:foo)+", &[&["foo"]]);
        check("x|", &[]);
        check("^foo$", &[&["foo"]]);
        check("[ab]cd", &[&["acd", "bcd"]]);
        check("foo|[^x]*bar", &[]);
        check("password for [a-z]+", &[&["password for "]]);
        check("abc[a-e]", &[&["abca", "abcb", "abcc", "abcd", "abce"]]);
    }

    #[test]
    fn expressions_stay_within_lines() {
        let check = |pattern: &str, line: &[u8]| {
            let hir = parse(pattern).unwrap();
            let build =
                |hir: &Hir| regex_automata::meta::Builder::new().build_from_hir(hir).unwrap();
            let expected = build(&hir).is_match(line);
            let text = [b"before\n", line, b"\nafter"].concat();
            let found = build(&within_line(&hir))
                .find_iter(&text[..])
                .any(|found| 7 <= found.start() && found.end() <= 7 + line.len());
            assert_eq!(found, expected, "{pattern} on {line:?}");
        };
        for line in [&b"foo bar"[..], b"", b"x", b"foo", b" bar "] {
            for pattern in ["^foo", "bar$", "^$", "[^x]+", "(?s).x.", "\\s", "(?-u:\\b)foo", "x?"] {
                check(pattern, line);
            }
        }
    }
}
