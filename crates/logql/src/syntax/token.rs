//! The words of the language.

use std::borrow::Cow;

use super::ast::{RangeOp, VectorOp};

/// One token and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) value: Value,
    pub(super) line: u32,
    pub(super) column: u32,
}

/// What a token carries besides its kind.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    None,
    /// An identifier, a string's content, a number's text or a flag.
    Text(String),
    /// A duration or range, in nanoseconds.
    Nanos(i64),
    /// A size.
    Bytes(u64),
}

/// The kinds of tokens the grammar tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    End,
    /// Stands where the text stops making sense; the lexer's error says why.
    Fault,
    Identifier,
    /// A word with letters beyond ASCII, which no label name may have.
    ForeignWord,
    String,
    Number,
    Flag,
    Duration,
    Range,
    Bytes,
    OpenBrace,
    CloseBrace,
    CloseBracket,
    OpenParen,
    CloseParen,
    Comma,
    Dot,
    Pipe,
    PipeExact,
    PipeMatch,
    PipePattern,
    NotPattern,
    Equal,
    DoubleEqual,
    NotEqual,
    Match,
    NotMatch,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Or,
    And,
    Unless,
    By,
    Without,
    Bool,
    Offset,
    On,
    Ignoring,
    GroupLeft,
    GroupRight,
    Json,
    Logfmt,
    Regexp,
    Pattern,
    Unpack,
    LineFormat,
    LabelFormat,
    Decolorize,
    Drop,
    Keep,
    Unwrap,
    Ip,
    RangeOp(RangeOp),
    VectorOp(VectorOp),
    LabelReplace,
    Vector,
    ConvertBytes,
    ConvertDuration,
    ConvertDurationSeconds,
}

/// Signs and reserved words. Words are matched in lower case.
const FIXED: &[(&str, Kind)] = &[
    ("{", Kind::OpenBrace),
    ("}", Kind::CloseBrace),
    ("]", Kind::CloseBracket),
    ("(", Kind::OpenParen),
    (")", Kind::CloseParen),
    (",", Kind::Comma),
    (".", Kind::Dot),
    ("|", Kind::Pipe),
    ("|=", Kind::PipeExact),
    ("|~", Kind::PipeMatch),
    ("|>", Kind::PipePattern),
    ("!>", Kind::NotPattern),
    ("=", Kind::Equal),
    ("==", Kind::DoubleEqual),
    ("!=", Kind::NotEqual),
    ("=~", Kind::Match),
    ("!~", Kind::NotMatch),
    (">", Kind::Greater),
    (">=", Kind::GreaterOrEqual),
    ("<", Kind::Less),
    ("<=", Kind::LessOrEqual),
    ("+", Kind::Add),
    ("-", Kind::Sub),
    ("*", Kind::Mul),
    ("/", Kind::Div),
    ("%", Kind::Mod),
    ("^", Kind::Pow),
    ("or", Kind::Or),
    ("and", Kind::And),
    ("unless", Kind::Unless),
    ("by", Kind::By),
    ("without", Kind::Without),
    ("bool", Kind::Bool),
    ("offset", Kind::Offset),
    ("on", Kind::On),
    ("ignoring", Kind::Ignoring),
    ("group_left", Kind::GroupLeft),
    ("group_right", Kind::GroupRight),
    ("json", Kind::Json),
    ("logfmt", Kind::Logfmt),
    ("regexp", Kind::Regexp),
    ("pattern", Kind::Pattern),
    ("unpack", Kind::Unpack),
    ("line_format", Kind::LineFormat),
    ("label_format", Kind::LabelFormat),
    ("decolorize", Kind::Decolorize),
    ("drop", Kind::Drop),
    ("keep", Kind::Keep),
    ("unwrap", Kind::Unwrap),
];

/// Words that are names unless a parenthesis follows.
const CONTEXTUAL: &[(&str, Kind)] = &[
    ("ip", Kind::Ip),
    ("label_replace", Kind::LabelReplace),
    ("vector", Kind::Vector),
    ("bytes", Kind::ConvertBytes),
    ("duration", Kind::ConvertDuration),
    ("duration_seconds", Kind::ConvertDurationSeconds),
];

/// The sign or reserved word that `text`, in lower case, spells.
pub(super) fn fixed(text: &str) -> Option<Kind> {
    FIXED.iter().find(|(word, _)| *word == text).map(|(_, kind)| *kind)
}

/// The function that `text`, in lower case, names.
pub(super) fn function(text: &str) -> Option<Kind> {
    let range_op = || RangeOp::ALL.into_iter().find(|op| op.as_str() == text).map(Kind::RangeOp);
    let vector_op = || VectorOp::ALL.into_iter().find(|op| op.as_str() == text).map(Kind::VectorOp);
    CONTEXTUAL
        .iter()
        .find(|(word, _)| *word == text)
        .map(|(_, kind)| *kind)
        .or_else(range_op)
        .or_else(vector_op)
}

impl Kind {
    /// The name error messages use.
    pub(super) fn name(self) -> Cow<'static, str> {
        match self {
            Self::End => "$end".into(),
            Self::Fault | Self::Identifier => "IDENTIFIER".into(),
            Self::ForeignWord | Self::String => "STRING".into(),
            Self::Number => "NUMBER".into(),
            Self::Flag => "PARSER_FLAG".into(),
            Self::Duration => "DURATION".into(),
            Self::Range => "RANGE".into(),
            Self::Bytes => "BYTES".into(),
            Self::Ip => "ip".into(),
            Self::RangeOp(op) => op.as_str().to_uppercase().into(),
            Self::VectorOp(op) => op.as_str().to_uppercase().into(),
            Self::LabelReplace => "LABEL_REPLACE".into(),
            Self::Vector => "VECTOR".into(),
            Self::ConvertBytes => "BYTES_CONV".into(),
            Self::ConvertDuration => "DURATION_CONV".into(),
            Self::ConvertDurationSeconds => "DURATION_SECONDS_CONV".into(),
            fixed => {
                FIXED.iter().find(|(_, kind)| *kind == fixed).map_or("", |(word, _)| *word).into()
            }
        }
    }
}
