//! The argument of a range aggregation: a log query with a window, in any of the places where the
//! window may stand.

use super::Parser;
use crate::syntax::ast::{Conversion, LogExpr, LogRange, Unwrap};
use crate::syntax::error::ParseError;
use crate::syntax::token::{Kind, Value};

/// A range as far as it has been read; the window may still follow behind a parenthesis.
struct Partial {
    query: LogExpr,
    unwrap: Option<Unwrap>,
    window: Option<Window>,
}

#[derive(Clone, Copy)]
struct Window {
    range_ns: i64,
    offset_ns: i64,
}

impl Partial {
    fn is_bare_selector(&self) -> bool {
        self.query.stages.is_empty() && self.unwrap.is_none()
    }

    fn complete(self, window: Window) -> LogRange {
        LogRange {
            query: self.query,
            unwrap: self.unwrap,
            range_ns: window.range_ns,
            offset_ns: window.offset_ns,
        }
    }
}

impl Parser {
    pub(super) fn log_range(&mut self) -> Result<LogRange, ParseError> {
        if self.peek() == Kind::OpenParen {
            return self.range_in_parens();
        }
        let partial = self.partial_range()?;
        match partial.window {
            Some(window) => Ok(partial.complete(window)),
            None if partial.unwrap.is_some() => Err(self.unexpected(&[Kind::Range, Kind::Pipe])),
            None => Err(self.unexpected(&[])),
        }
    }

    fn range_in_parens(&mut self) -> Result<LogRange, ParseError> {
        self.take();
        if self.peek() == Kind::OpenParen {
            let range = self.nested(Self::range_in_parens)?;
            self.expect(Kind::CloseParen)?;
            return Ok(range);
        }
        let mut partial = self.partial_range()?;
        if let Some(window) = partial.window {
            self.expect(Kind::CloseParen)?;
            return Ok(partial.complete(window));
        }
        let fitting: &[Kind] = match partial.unwrap {
            Some(_) => &[Kind::Range, Kind::CloseParen, Kind::Pipe],
            None => &[],
        };
        self.expect_among(Kind::CloseParen, fitting)?;
        let window = self.window()?;
        if partial.is_bare_selector() && self.peek() == Kind::Pipe {
            partial.unwrap = Some(self.unwrap()?);
        }
        Ok(partial.complete(window))
    }

    /// A selector with its stages, its `unwrap` and, if it stands here, its window.
    fn partial_range(&mut self) -> Result<Partial, ParseError> {
        if self.peek() != Kind::OpenBrace {
            return Err(self.unexpected(&[Kind::OpenBrace, Kind::OpenParen]));
        }
        let selector = self.selector()?;
        let mut window = self.window_here()?;
        let mut stages = Vec::new();
        while let Some(stage) = self.stage()? {
            stages.push(stage);
        }
        let unwrap = if self.peek() == Kind::Pipe { Some(self.unwrap()?) } else { None };
        if window.is_none() {
            window = self.window_here()?;
        }
        Ok(Partial { query: LogExpr { selector, stages }, unwrap, window })
    }

    fn window_here(&mut self) -> Result<Option<Window>, ParseError> {
        if self.peek() == Kind::Range { self.window().map(Some) } else { Ok(None) }
    }

    /// `[5m] offset 1h`
    fn window(&mut self) -> Result<Window, ParseError> {
        if self.peek() != Kind::Range {
            return Err(self.unexpected(&[Kind::Range]));
        }
        let range_ns = self.take_nanos();
        let mut offset_ns = 0;
        if self.accept(Kind::Offset) {
            if self.peek() != Kind::Duration {
                return Err(self.unexpected(&[Kind::Duration]));
            }
            offset_ns = self.take_nanos();
        }
        Ok(Window { range_ns, offset_ns })
    }

    fn take_nanos(&mut self) -> i64 {
        if let Value::Nanos(nanos) = self.take() { nanos } else { 0 }
    }

    /// `| unwrap label` and the label filters behind it.
    fn unwrap(&mut self) -> Result<Unwrap, ParseError> {
        self.expect(Kind::Pipe)?;
        self.expect(Kind::Unwrap)?;
        let conversion = match self.peek() {
            Kind::ConvertBytes => Conversion::Bytes,
            Kind::ConvertDuration => Conversion::Duration,
            Kind::ConvertDurationSeconds => Conversion::DurationSeconds,
            _ => Conversion::Number,
        };
        let label = if conversion == Conversion::Number {
            self.identifier(&[
                Kind::Identifier,
                Kind::ConvertBytes,
                Kind::ConvertDuration,
                Kind::ConvertDurationSeconds,
            ])?
        } else {
            self.take();
            self.expect(Kind::OpenParen)?;
            let label = self.identifier(&[Kind::Identifier])?;
            self.expect(Kind::CloseParen)?;
            label
        };
        let mut filters = Vec::new();
        while self.accept(Kind::Pipe) {
            filters.push(self.label_filter()?);
        }
        Ok(Unwrap { conversion, label, filters })
    }
}
