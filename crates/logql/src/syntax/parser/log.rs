//! Selectors and the stages behind them.

use model::{MatchOp, Matcher};

use super::{NOTHING_REQUIRED, Parser};
use crate::syntax::ast::{
    Extract, LabelFormat, LabelFormatValue, LabelItem, LineFilter, LineFilterArg, LineFilterOp,
    LogExpr, Logfmt, Stage,
};
use crate::syntax::check;
use crate::syntax::error::ParseError;
use crate::syntax::token::Kind;

/// The signs between a label and a text.
const MATCH_SIGNS: [Kind; 4] = [Kind::Equal, Kind::Match, Kind::NotMatch, Kind::NotEqual];

impl Parser {
    /// A selector and all stages that follow.
    pub(super) fn log_expr(&mut self) -> Result<LogExpr, ParseError> {
        let selector = self.selector()?;
        let mut stages = Vec::new();
        while let Some(stage) = self.stage()? {
            stages.push(stage);
        }
        if self.accept(Kind::Pipe) {
            return Err(self.unexpected(&[]));
        }
        Ok(LogExpr { selector, stages })
    }

    pub(super) fn selector(&mut self) -> Result<Vec<Matcher>, ParseError> {
        self.expect(Kind::OpenBrace)?;
        let mark = self.faults.len();
        let mut matchers = Vec::new();
        let mut fitting: &[Kind] = &[Kind::Identifier, Kind::CloseBrace];
        while matchers.is_empty() || self.accept(Kind::Comma) {
            if matchers.is_empty() && self.peek() == Kind::CloseBrace {
                break;
            }
            let name = self.identifier(fitting)?;
            fitting = &[Kind::Identifier];
            let Some(op) = self.match_op() else {
                return Err(self.unexpected(&MATCH_SIGNS));
            };
            matchers.push(self.matcher(name, op)?);
        }
        self.expect_among(Kind::CloseBrace, &[Kind::CloseBrace, Kind::Comma])?;
        if self.faults.len() == mark && matchers.iter().all(Matcher::matches_empty) {
            self.fault(mark, NOTHING_REQUIRED);
        }
        Ok(matchers)
    }

    /// Takes `=`, `!=`, `=~` or `!~`.
    pub(super) fn match_op(&mut self) -> Option<MatchOp> {
        let op = match self.peek() {
            Kind::Equal => MatchOp::Equal,
            Kind::NotEqual => MatchOp::NotEqual,
            Kind::Match => MatchOp::Regex,
            Kind::NotMatch => MatchOp::NotRegex,
            _ => return None,
        };
        self.take();
        Some(op)
    }

    /// The text of a matcher whose name and sign have been taken.
    pub(super) fn matcher(&mut self, name: String, op: MatchOp) -> Result<Matcher, ParseError> {
        let value = self.string()?;
        let matcher = Matcher::new(name.clone(), op, value);
        Ok(matcher.unwrap_or_else(|error| {
            self.fault(self.faults.len(), error.to_string());
            placeholder(name)
        }))
    }

    /// The next stage, if one begins here. Leaves `| unwrap` to the range it belongs to.
    pub(super) fn stage(&mut self) -> Result<Option<Stage>, ParseError> {
        let op = match self.peek() {
            Kind::PipeExact => LineFilterOp::Contains,
            Kind::NotEqual => LineFilterOp::NotContains,
            Kind::PipeMatch => LineFilterOp::Regex,
            Kind::NotMatch => LineFilterOp::NotRegex,
            Kind::PipePattern => LineFilterOp::Pattern,
            Kind::NotPattern => LineFilterOp::NotPattern,
            Kind::Pipe if self.peek_second() != Kind::Unwrap => {
                self.take();
                return self.pipe_stage().map(Some);
            }
            _ => return Ok(None),
        };
        self.take();
        let mut args = vec![self.line_filter_arg()?];
        while self.accept(Kind::Or) {
            args.push(self.line_filter_arg()?);
        }
        Ok(Some(Stage::LineFilter(LineFilter { op, args })))
    }

    fn line_filter_arg(&mut self) -> Result<LineFilterArg, ParseError> {
        match self.peek() {
            Kind::String => Ok(LineFilterArg::Text(self.take_text())),
            Kind::Ip => Ok(LineFilterArg::Ip(self.ip_pattern()?)),
            _ => Err(self.unexpected(&[Kind::String, Kind::Ip])),
        }
    }

    /// `ip("…")`
    pub(super) fn ip_pattern(&mut self) -> Result<String, ParseError> {
        self.expect(Kind::Ip)?;
        self.expect(Kind::OpenParen)?;
        let pattern = self.string()?;
        self.expect(Kind::CloseParen)?;
        Ok(pattern)
    }

    fn pipe_stage(&mut self) -> Result<Stage, ParseError> {
        let keyword = self.peek();
        match keyword {
            Kind::Identifier | Kind::OpenParen => {
                return self.label_filter().map(Stage::LabelFilter);
            }
            Kind::Json
            | Kind::Logfmt
            | Kind::Regexp
            | Kind::Pattern
            | Kind::Unpack
            | Kind::LineFormat
            | Kind::LabelFormat
            | Kind::Decolorize
            | Kind::Drop
            | Kind::Keep => self.take(),
            _ => return Err(self.unexpected(&[])),
        };
        Ok(match keyword {
            Kind::Json => Stage::Json { extracts: self.extracts()? },
            Kind::Logfmt => Stage::Logfmt(self.logfmt()?),
            Kind::Regexp => {
                let pattern = self.string()?;
                self.check(check::regexp(&pattern));
                Stage::Regexp { pattern }
            }
            Kind::Pattern => {
                let pattern = self.string()?;
                self.check(check::pattern(&pattern));
                Stage::Pattern { pattern }
            }
            Kind::Unpack => Stage::Unpack,
            Kind::LineFormat => Stage::LineFormat { template: self.string()? },
            Kind::LabelFormat => Stage::LabelFormat { items: self.list(Self::label_format)? },
            Kind::Decolorize => Stage::Decolorize,
            Kind::Drop => Stage::Drop { items: self.list(Self::label_item)? },
            _ => Stage::Keep { items: self.list(Self::label_item)? },
        })
    }

    fn check(&mut self, outcome: Result<(), String>) {
        if let Err(message) = outcome {
            self.fault(self.faults.len(), message);
        }
    }

    fn list<T>(
        &mut self,
        item: impl Fn(&mut Self) -> Result<T, ParseError>,
    ) -> Result<Vec<T>, ParseError> {
        let mut items = vec![item(self)?];
        while self.accept(Kind::Comma) {
            items.push(item(self)?);
        }
        Ok(items)
    }

    fn logfmt(&mut self) -> Result<Logfmt, ParseError> {
        let mut logfmt = Logfmt::default();
        while self.peek() == Kind::Flag {
            match self.take_text().as_str() {
                "--strict" => logfmt.strict = true,
                _ => logfmt.keep_empty = true,
            }
        }
        logfmt.extracts = self.extracts()?;
        Ok(logfmt)
    }

    fn extracts(&mut self) -> Result<Vec<Extract>, ParseError> {
        if self.peek() == Kind::Identifier { self.list(Self::extract) } else { Ok(Vec::new()) }
    }

    fn extract(&mut self) -> Result<Extract, ParseError> {
        let label = self.identifier(&[Kind::Identifier])?;
        let expression = if self.accept(Kind::Equal) { self.string()? } else { label.clone() };
        Ok(Extract { label, expression })
    }

    fn label_format(&mut self) -> Result<LabelFormat, ParseError> {
        let target = self.identifier(&[Kind::Identifier])?;
        self.expect(Kind::Equal)?;
        let value = match self.peek() {
            Kind::String => LabelFormatValue::Template(self.take_text()),
            _ => LabelFormatValue::Rename(self.identifier(&[Kind::Identifier, Kind::String])?),
        };
        Ok(LabelFormat { target, value })
    }

    fn label_item(&mut self) -> Result<LabelItem, ParseError> {
        let name = self.identifier(&[Kind::Identifier])?;
        match self.match_op() {
            Some(op) => self.matcher(name, op).map(LabelItem::Match),
            None => Ok(LabelItem::Name(name)),
        }
    }
}

/// Stands for a matcher that was refused; the recorded fault keeps it from being used.
fn placeholder(name: String) -> Matcher {
    match Matcher::new(name, MatchOp::Equal, "") {
        Ok(matcher) => matcher,
        Err(_) => unreachable!("a comparison of texts compiles nothing"),
    }
}
