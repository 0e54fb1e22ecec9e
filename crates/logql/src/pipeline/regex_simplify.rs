//! Regular expressions that are really a few substrings (language reference 4.3 and 4.7).
//!
//! Loki parses an expression as Go does and, when the tree is made of literals, `.*` and
//! alternations only, searches for substrings instead. The rewriting is observable:
//!
//! * Q1: in label filters `warn.*` becomes "contains warn", and so do alternatives that share
//!   their first letters, because Go factors `warn|warning` into `warn(?:|ing)`; alternatives
//!   without shared letters stay exact, an empty expression accepts everything.
//! * Q2: an alternative that is always true is thrown away instead of winning: `x|` is `x`.
//!
//! To hit the same cases the tree must be the one Go builds: which literals are merged, which
//! prefixes are factored out, which single characters become a class. Everything that Loki would
//! not rewrite comes back as [`Shape::Other`] and runs as a real regular expression.

use model::pattern::{Pattern, PatternError, translate};
use regex_syntax::ast::parse::Parser;
use regex_syntax::ast::{self, Ast};
use regex_syntax::hir::{self, ClassUnicode, ClassUnicodeRange, HirKind};

use super::line_filter::TextTest;
use super::literal::{FoldLiteral, Literal, lowercase};

/// The test of a label filter's regular expression: exact where Loki is exact.
///
/// # Errors
///
/// The text of a refused expression.
pub(super) fn label_test(text: &str) -> Result<TextTest, String> {
    test(text, Target::Label)
}

/// The test of a line filter's regular expression, which may match anywhere.
///
/// # Errors
///
/// The text of a refused expression.
pub(super) fn line_test(text: &str) -> Result<TextTest, String> {
    test(text, Target::Line)
}

#[derive(Clone, Copy, PartialEq)]
enum Target {
    Line,
    Label,
}

fn test(text: &str, target: Target) -> Result<TextTest, String> {
    let words = |error: PatternError| error.to_string();
    let pattern = Pattern::search(text).map_err(words)?;
    if let Some(test) = parse(text).and_then(|node| simplify(&node, target)) {
        return Ok(test);
    }
    Ok(TextTest::regex(match target {
        Target::Line => pattern,
        Target::Label => Pattern::search(&format!("^(?:{text})$")).map_err(words)?,
    }))
}

/// A node of the tree that Go would build.
#[derive(Debug, Clone, PartialEq)]
enum Node {
    Empty {
        fold: bool,
    },
    Literal {
        chars: Vec<char>,
        fold: bool,
    },
    Class(ClassUnicode),
    AnyNotNewline,
    Any,
    Star(Box<Node>),
    Plus(Box<Node>),
    /// `x{n}` of a class: may be factored out of alternatives.
    FixedClass(ClassUnicode, u32),
    Concat(Vec<Node>),
    Alternate(Vec<Node>),
    Capture(Box<Node>),
    /// Anything that is never rewritten.
    Other(Box<Ast>),
}

/// Builds Go's tree; `None` when the expression is not understood.
fn parse(text: &str) -> Option<Node> {
    let translated = translate(text).ok()?;
    let tree = Parser::new().parse(&translated).ok()?;
    let mut builder = Builder { pattern: &translated, flags: Flags::default() };
    Some(builder.node(&tree))
}

#[derive(Debug, Clone, Copy, Default)]
struct Flags {
    fold: bool,
    dot_all: bool,
}

struct Builder<'p> {
    pattern: &'p str,
    flags: Flags,
}

impl Builder<'_> {
    fn node(&mut self, tree: &Ast) -> Node {
        match tree {
            Ast::Empty(_) => Node::Empty { fold: false },
            Ast::Flags(set) => {
                self.set_flags(&set.flags);
                Node::Empty { fold: false }
            }
            Ast::Literal(literal) => self.literal(literal.c),
            Ast::Dot(_) if self.flags.dot_all => Node::Any,
            Ast::Dot(_) => Node::AnyNotNewline,
            Ast::Assertion(_) => Node::Other(Box::new(tree.clone())),
            Ast::ClassUnicode(_) | Ast::ClassPerl(_) | Ast::ClassBracketed(_) => self.class(tree),
            Ast::Repetition(repetition) => self.repetition(repetition, tree),
            Ast::Group(group) => self.group(group),
            Ast::Alternation(alternation) => self.alternation(&alternation.asts),
            Ast::Concat(concat) => self.concat(&concat.asts),
        }
    }

    fn set_flags(&mut self, flags: &ast::Flags) {
        if let Some(fold) = flags.flag_state(ast::Flag::CaseInsensitive) {
            self.flags.fold = fold;
        }
        if let Some(dot_all) = flags.flag_state(ast::Flag::DotMatchesNewLine) {
            self.flags.dot_all = dot_all;
        }
    }

    fn literal(&self, c: char) -> Node {
        let fold = self.flags.fold;
        let c = if fold { orbit(c).into_iter().min().unwrap_or(c) } else { c };
        Node::Literal { chars: vec![c], fold }
    }

    fn class(&self, tree: &Ast) -> Node {
        let mut translator = hir::translate::TranslatorBuilder::new()
            .utf8(false)
            .case_insensitive(self.flags.fold)
            .build();
        let Ok(translated) = translator.translate(self.pattern, tree) else {
            return Node::Other(Box::new(tree.clone()));
        };
        match translated.into_kind() {
            HirKind::Class(hir::Class::Unicode(class)) => class_node(class),
            HirKind::Class(hir::Class::Bytes(class)) => match class.to_unicode_class() {
                Some(class) => class_node(class),
                None => Node::Other(Box::new(tree.clone())),
            },
            HirKind::Literal(literal) => match std::str::from_utf8(&literal.0) {
                Ok(text) => Node::Literal { chars: text.chars().collect(), fold: false },
                Err(_) => Node::Other(Box::new(tree.clone())),
            },
            _ => Node::Other(Box::new(tree.clone())),
        }
    }

    fn repetition(&mut self, repetition: &ast::Repetition, tree: &Ast) -> Node {
        use ast::{RepetitionKind as Kind, RepetitionRange as Range};
        let inner = self.node(&repetition.ast);
        if matches!(inner, Node::Empty { .. }) {
            return inner;
        }
        match &repetition.op.kind {
            Kind::ZeroOrMore | Kind::Range(Range::AtLeast(0)) => Node::Star(Box::new(inner)),
            Kind::OneOrMore | Kind::Range(Range::AtLeast(1)) => Node::Plus(Box::new(inner)),
            Kind::Range(Range::Exactly(0) | Range::Bounded(0, 0)) => Node::Empty { fold: false },
            Kind::Range(Range::Exactly(1) | Range::Bounded(1, 1)) => inner,
            Kind::Range(Range::Exactly(count)) => match class_of(&inner) {
                Some(class) => Node::FixedClass(class, *count),
                None => Node::Other(Box::new(tree.clone())),
            },
            _ => Node::Other(Box::new(tree.clone())),
        }
    }

    fn group(&mut self, group: &ast::Group) -> Node {
        let outer = self.flags;
        if let Some(flags) = group.flags() {
            self.set_flags(flags);
        }
        let inner = self.node(&group.ast);
        self.flags = outer;
        if group.is_capturing() { Node::Capture(Box::new(inner)) } else { inner }
    }

    fn concat(&mut self, trees: &[Ast]) -> Node {
        let mut nodes: Vec<Node> = Vec::new();
        for tree in trees {
            let node = self.node(tree);
            if matches!(tree, Ast::Flags(_)) {
                continue;
            }
            merge_literals(&mut nodes);
            nodes.push(node);
        }
        merge_literals(&mut nodes);
        concat_of(nodes)
    }

    fn alternation(&mut self, trees: &[Ast]) -> Node {
        let mut branches: Vec<Node> = Vec::new();
        for tree in trees {
            // A single item is a branch of its own, with the same rules as a concatenation.
            let branch = match tree {
                Ast::Concat(concat) => self.concat(&concat.asts),
                other => self.node(other),
            };
            match branches.last_mut() {
                Some(last) if is_single(last) && is_single(&branch) => {
                    *last = merge_single(last, &branch);
                }
                _ => branches.push(branch),
            }
        }
        alternate_of(branches)
    }
}

/// Joins the last two nodes when both are literals of the same kind.
fn merge_literals(nodes: &mut Vec<Node>) {
    if let [.., Node::Literal { fold: a, .. }, Node::Literal { fold: b, .. }] = nodes.as_slice()
        && a == b
        && let Some(Node::Literal { chars: tail, .. }) = nodes.pop()
        && let Some(Node::Literal { chars, .. }) = nodes.last_mut()
    {
        chars.extend(tail);
    }
}

fn concat_of(nodes: Vec<Node>) -> Node {
    let mut flat = Vec::with_capacity(nodes.len());
    for node in nodes {
        match node {
            Node::Concat(inner) => flat.extend(inner),
            other => flat.push(other),
        }
    }
    match flat.len() {
        0 => Node::Empty { fold: false },
        1 => flat.remove(0),
        _ => Node::Concat(flat),
    }
}

fn alternate_of(branches: Vec<Node>) -> Node {
    let mut flat = Vec::with_capacity(branches.len());
    for branch in branches {
        match branch {
            Node::Alternate(inner) => flat.extend(inner),
            other => flat.push(other),
        }
    }
    if flat.len() == 1 {
        return flat.remove(0);
    }
    let mut factored = factor(flat);
    if factored.len() == 1 { factored.remove(0) } else { Node::Alternate(factored) }
}

/// Go's factoring of alternatives: common literal prefixes, common leading classes, runs of single
/// characters, runs of empty alternatives.
fn factor(branches: Vec<Node>) -> Vec<Node> {
    let branches = factor_literals(branches);
    let branches = factor_classes(branches);
    let mut out: Vec<Node> = Vec::new();
    let mut is_run = false;
    for branch in branches {
        let single = is_single(&branch);
        match out.last_mut() {
            Some(last) if single && is_run => *last = merge_single(last, &branch),
            _ => out.push(branch),
        }
        is_run = single;
    }
    out.dedup_by(|next, kept| matches!((next, kept), (Node::Empty { .. }, Node::Empty { .. })));
    out
}

fn factor_literals(branches: Vec<Node>) -> Vec<Node> {
    let mut out = Vec::new();
    let mut run: Vec<Node> = Vec::new();
    let mut prefix: Vec<char> = Vec::new();
    let mut prefix_fold = false;
    for branch in branches {
        let (chars, fold) = leading_literal(&branch).unwrap_or((&[], false));
        let common = if fold == prefix_fold {
            prefix.iter().zip(chars).take_while(|(a, b)| a == b).count()
        } else {
            0
        };
        if common > 0 {
            prefix.truncate(common);
        } else {
            flush_literals(&mut out, std::mem::take(&mut run), &prefix, prefix_fold);
            (prefix, prefix_fold) = (chars.to_vec(), fold);
        }
        run.push(branch);
    }
    flush_literals(&mut out, run, &prefix, prefix_fold);
    out
}

fn flush_literals(out: &mut Vec<Node>, run: Vec<Node>, prefix: &[char], fold: bool) {
    if run.len() < 2 {
        out.extend(run);
        return;
    }
    let rest = run.into_iter().map(|node| without_leading_chars(node, prefix.len())).collect();
    let literal = Node::Literal { chars: prefix.to_vec(), fold };
    out.push(Node::Concat(vec![literal, alternate_of(rest)]));
}

fn leading_literal(node: &Node) -> Option<(&[char], bool)> {
    match node {
        Node::Literal { chars, fold } => Some((chars, *fold)),
        Node::Concat(nodes) => match nodes.first() {
            Some(Node::Literal { chars, fold }) => Some((chars, *fold)),
            _ => None,
        },
        _ => None,
    }
}

fn without_leading_chars(node: Node, count: usize) -> Node {
    match node {
        Node::Literal { mut chars, fold } => {
            chars.drain(..count);
            if chars.is_empty() { Node::Empty { fold } } else { Node::Literal { chars, fold } }
        }
        Node::Concat(mut nodes) => {
            let first = without_leading_chars(nodes.remove(0), count);
            if !matches!(first, Node::Empty { .. }) {
                nodes.insert(0, first);
            }
            if nodes.len() == 1 { nodes.remove(0) } else { Node::Concat(nodes) }
        }
        other => other,
    }
}

fn factor_classes(branches: Vec<Node>) -> Vec<Node> {
    let mut out = Vec::new();
    let mut run: Vec<Node> = Vec::new();
    let mut first: Option<Node> = None;
    for branch in branches {
        let leading = leading_node(&branch).cloned();
        let may_factor =
            matches!(&first, Some(node) if is_single(node) || matches!(node, Node::FixedClass(..)));
        if !(may_factor && first == leading) {
            flush_classes(&mut out, std::mem::take(&mut run), first.take());
            first = leading;
        }
        run.push(branch);
    }
    flush_classes(&mut out, run, first);
    out
}

fn flush_classes(out: &mut Vec<Node>, run: Vec<Node>, first: Option<Node>) {
    match first {
        Some(first) if run.len() > 1 => {
            let rest = run.into_iter().map(without_leading_node).collect();
            out.push(Node::Concat(vec![first, alternate_of(rest)]));
        }
        _ => out.extend(run),
    }
}

fn leading_node(node: &Node) -> Option<&Node> {
    match node {
        Node::Empty { .. } => None,
        Node::Concat(nodes) => nodes.first().filter(|first| !matches!(first, Node::Empty { .. })),
        other => Some(other),
    }
}

fn without_leading_node(node: Node) -> Node {
    match node {
        Node::Concat(mut nodes) => {
            nodes.remove(0);
            concat_of(nodes)
        }
        _ => Node::Empty { fold: false },
    }
}

/// Whether a node always matches exactly one character.
fn is_single(node: &Node) -> bool {
    match node {
        Node::Literal { chars, .. } => chars.len() == 1,
        Node::Class(_) | Node::AnyNotNewline | Node::Any => true,
        _ => false,
    }
}

/// One node for what either of two single-character nodes matches.
fn merge_single(a: &Node, b: &Node) -> Node {
    if a == b {
        return a.clone();
    }
    let (Some(mut class), Some(other)) = (class_of(a), class_of(b)) else { return Node::Any };
    class.union(&other);
    // Go keeps two merged letters a class, even when they are one letter in two cases.
    whole_class(&class).unwrap_or(Node::Class(class))
}

/// The characters a single-character node matches.
fn class_of(node: &Node) -> Option<ClassUnicode> {
    let range = |from, to| ClassUnicode::new([ClassUnicodeRange::new(from, to)]);
    match node {
        Node::Class(class) => Some(class.clone()),
        Node::Any => Some(range('\0', char::MAX)),
        Node::AnyNotNewline => {
            let mut class = range('\n', '\n');
            class.negate();
            Some(class)
        }
        Node::Literal { chars, fold } if chars.len() == 1 => {
            let mut class = range(chars[0], chars[0]);
            if *fold {
                class.try_case_fold_simple().ok()?;
            }
            Some(class)
        }
        _ => None,
    }
}

/// `.` in one of its meanings, when a class is that.
fn whole_class(class: &ClassUnicode) -> Option<Node> {
    let mut missing = class.clone();
    missing.negate();
    match missing.ranges() {
        [] => Some(Node::Any),
        [only] if only.start() == '\n' && only.end() == '\n' => Some(Node::AnyNotNewline),
        _ => None,
    }
}

/// A class as Go keeps it: a literal when it is one letter, or one letter in both cases.
fn class_node(class: ClassUnicode) -> Node {
    let ranges = class.ranges();
    let count: usize = ranges.iter().map(ClassUnicodeRange::len).sum();
    match ranges.first() {
        Some(first) if count == 1 => Node::Literal { chars: vec![first.start()], fold: false },
        Some(first) if count == 2 => {
            let letters: Vec<char> = ranges.iter().flat_map(|r| r.start()..=r.end()).collect();
            let mut cases = orbit(first.start());
            cases.sort_unstable();
            if cases == letters {
                return Node::Literal { chars: vec![first.start()], fold: true };
            }
            Node::Class(class)
        }
        _ => whole_class(&class).unwrap_or(Node::Class(class)),
    }
}

/// All characters that are the same letter.
fn orbit(c: char) -> Vec<char> {
    let mut class = ClassUnicode::new([ClassUnicodeRange::new(c, c)]);
    if class.try_case_fold_simple().is_err() {
        return vec![c];
    }
    class.ranges().iter().flat_map(|range| range.start()..=range.end()).collect()
}

/// Rewrites a tree into substring tests, as Loki does. `None`: run it as a regular expression.
fn simplify(node: &Node, target: Target) -> Option<TextTest> {
    match node {
        Node::Capture(inner) => simplify(inner, target),
        Node::Empty { .. } => Some(TextTest::Always),
        Node::Star(inner) if **inner == Node::AnyNotNewline => Some(TextTest::Always),
        Node::Plus(inner) if **inner == Node::AnyNotNewline => Some(TextTest::NonEmpty),
        Node::Literal { chars, fold } => {
            let text: String = chars.iter().collect();
            Some(match target {
                Target::Line => contains(&text, *fold),
                Target::Label if *fold => TextTest::EqualFold(FoldLiteral::new(&lowercase(&text))),
                Target::Label => TextTest::Equal(text.as_bytes().into()),
            })
        }
        Node::Alternate(branches) => {
            let tests = branches.iter().map(|branch| simplify(cleared(branch), target));
            Some(TextTest::any(tests.collect::<Option<Vec<_>>>()?))
        }
        Node::Concat(nodes) => simplify_concat(nodes, None),
        _ => None,
    }
}

fn contains(text: &str, fold: bool) -> TextTest {
    if fold {
        TextTest::ContainsFold(FoldLiteral::new(&lowercase(text)))
    } else {
        TextTest::Contains(Literal::new(text.as_bytes()))
    }
}

fn cleared(node: &Node) -> &Node {
    match node {
        Node::Capture(inner) => inner,
        other => other,
    }
}

/// One literal among up to three parts of which the others are `.*`, or a literal followed by
/// alternatives. `base` is the literal before the alternatives this concatenation is one of.
fn simplify_concat(nodes: &[Node], base: Option<&str>) -> Option<TextTest> {
    let parts = nodes.iter().map(cleared).filter(|node| !matches!(node, Node::Empty { .. }));
    let parts: Vec<&Node> = parts.collect();
    if parts.len() > 3 {
        return None;
    }
    let mut literal = base.map(str::to_owned);
    let mut fold = false;
    let mut literals = 0;
    let mut found: Vec<TextTest> = Vec::new();
    for part in parts {
        match part {
            Node::Literal { chars, fold: folds } => {
                literals += 1;
                if literals > 1 {
                    return None;
                }
                literal.get_or_insert_default().extend(chars);
                fold = *folds;
            }
            Node::Alternate(branches) => {
                found.extend(multiply(branches, literal.as_deref()?, fold)?);
            }
            Node::Star(inner) if **inner == Node::AnyNotNewline => {}
            _ => return None,
        }
    }
    if !found.is_empty() {
        return Some(TextTest::any(found));
    }
    Some(contains(&literal?, fold))
}

/// The literal with each of the alternatives appended.
fn multiply(branches: &[Node], literal: &str, fold: bool) -> Option<Vec<TextTest>> {
    let mut out = Vec::new();
    for branch in branches {
        let folds = matches!(branch, Node::Literal { fold: true, .. } | Node::Empty { fold: true });
        if folds && !fold {
            return None;
        }
        out.push(match branch {
            Node::Empty { .. } => contains(literal, fold),
            Node::Literal { chars, .. } => {
                let mut text = literal.to_owned();
                text.extend(chars);
                contains(&text, fold)
            }
            Node::Concat(nodes) => simplify_concat(nodes, Some(literal))?,
            Node::Star(inner) if **inner == Node::AnyNotNewline => contains(literal, fold),
            _ => return None,
        });
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Prints the shape of a label test.
    fn shape(test: &TextTest) -> String {
        match test {
            TextTest::Always => "always".into(),
            TextTest::NonEmpty => "nonempty".into(),
            TextTest::Equal(text) => format!("={}", String::from_utf8_lossy(text)),
            TextTest::EqualFold(text) => format!("=i {}", text.as_str()),
            TextTest::Contains(literal) => {
                format!("~{}", String::from_utf8_lossy(literal.as_bytes()))
            }
            TextTest::ContainsFold(literal) => format!("~i {}", literal.as_str()),
            TextTest::Any(tests) => tests.iter().map(shape).collect::<Vec<_>>().join(" | "),
            TextTest::Regex(_) => "regex".into(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn label_expressions_take_lokis_shapes() {
        let check = |text: &str, expected: &str| {
            assert_eq!(shape(&label_test(text).unwrap()), expected, "{text}");
        };
        check("", "always");
        check(".*", "always");
        check(".+", "nonempty");
        check("foo", "=foo");
        check("(foo)", "=foo");
        check("(?i)foo", "=i foo");
        check("(?i)foo|bar", "=i foo | =i bar");
        check("foo|bar", "=foo | =bar");
        check("bar|buzz", "~bar | ~buzz");
        check("warn|error", "=warn | =error");
        check("warn|warning", "~warn | ~warning");
        check("warn.*", "~warn");
        check(".*foo", "~foo");
        check(".*foo.*", "~foo");
        check(".*foo.*bar", "regex");
        check("foo.*bar", "regex");
        check("a|", "=a");
        check("|a", "=a");
        check(".*|zzz", "=zzz");
        check("a|b", "regex");
        check("a|a", "=a");
        check("400|404", "regex");
        check("400|500", "=400 | =500");
        check("GET|PUT|POST", "=GET | regex".replace("regex", "~PUT | ~POST").as_str());
        check("5..", "regex");
        check("[a]bc", "=abc");
        check("[Aa]", "=i a");
        check("[Kk]", "regex");
        check("foo+", "regex");
        check("(?:foo)bar", "=foobar");
        check("foo(bar|baz)", "regex");
        check("foo(?:x|yy)", "~foox | ~fooyy");
        check("f(?i)oo", "regex");
        check("(?i)5", "=i 5");
        check("(?s).*", "regex");
        check("(?s).+", "regex");
        check("^foo$", "regex");
        check("x{1}", "=x");
        check("x{0}", "always");
        check("foo.+", "regex");
        check("(a|b)*", "regex");
        check("(?:)", "always");
        check("foo()", "~foo");
    }

    #[test]
    fn line_expressions_take_lokis_shapes() {
        let check = |text: &str, expected: &str| {
            assert_eq!(shape(&line_test(text).unwrap()), expected, "{text}");
        };
        check("foo", "~foo");
        check("(?i)Foo", "~i foo");
        check("foo|bar", "~foo | ~bar");
        check("zzz|", "~zzz");
        check(".*|zzz", "~zzz");
        check("level=(info|warn)", "~level=info | ~level=warn");
        check("|GET", "~GET");
        check("a.c", "regex");
    }

    #[test]
    fn faults_are_worded() {
        let error = label_test("a(").unwrap_err();
        assert_eq!(error, "error parsing regexp: missing closing ): `a(`");
    }
}
