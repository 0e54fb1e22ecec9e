//! Label filters and how they combine.
//!
//! `and` binds tighter than `or`; a comma or a mere blank means `and` but has no precedence, so
//! whatever stands on its right is combined first: `a, b or c` is `a and (b or c)`. Chains may be
//! as long as the query, so combining works with two stacks and no recursion; only parentheses
//! recurse.

use super::Parser;
use crate::syntax::ast::{CompareOp, FilterGroup, LabelFilter, Logic, Nesting};
use crate::syntax::error::ParseError;
use crate::syntax::number::parse_float;
use crate::syntax::token::{Kind, Value};
use model::MatchOp;

/// What joins two label filters in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Joint {
    Or,
    And,
    /// A comma or a blank.
    Plain,
}

impl Joint {
    fn logic(self) -> Logic {
        if self == Self::Or { Logic::Or } else { Logic::And }
    }

    /// Whether the operands of `self` are combined before `next` is looked at.
    fn binds_before(self, next: Self) -> bool {
        matches!((self, next), (Self::Or | Self::And, Self::Or) | (Self::And, Self::And))
    }
}

impl Parser {
    /// Label filters up to whatever cannot continue them.
    pub(super) fn label_filter(&mut self) -> Result<LabelFilter, ParseError> {
        self.condition().map(|condition| condition.filter)
    }

    fn condition(&mut self) -> Result<Condition, ParseError> {
        let mut chain = Chain { operands: vec![self.condition_operand()?], joints: Vec::new() };
        while let Some(joint) = self.joint() {
            chain.push_joint(joint);
            chain.operands.push(self.condition_operand()?);
        }
        let condition = chain.finish();
        self.check_depth(condition.height)?;
        Ok(condition)
    }

    fn joint(&mut self) -> Option<Joint> {
        let joint = match self.peek() {
            Kind::Or => Joint::Or,
            Kind::And => Joint::And,
            Kind::Comma => Joint::Plain,
            Kind::Identifier | Kind::OpenParen => return Some(Joint::Plain),
            _ => return None,
        };
        self.take();
        Some(joint)
    }

    fn condition_operand(&mut self) -> Result<Condition, ParseError> {
        if self.accept(Kind::OpenParen) {
            return self.nested(|parser| {
                let condition = parser.condition()?;
                parser.expect_among(Kind::CloseParen, &[])?;
                Ok(condition)
            });
        }
        Ok(Condition { filter: self.comparison()?, height: 1 })
    }

    fn comparison(&mut self) -> Result<LabelFilter, ParseError> {
        let label = self.identifier(&[Kind::Identifier, Kind::OpenParen])?;
        match (self.peek(), self.peek_second()) {
            (Kind::Match | Kind::NotMatch, _) | (Kind::Equal | Kind::NotEqual, Kind::String) => {
                self.text_filter(label)
            }
            (Kind::Equal | Kind::NotEqual, Kind::Ip) => self.ip_filter(label),
            _ => self.number_filter(label),
        }
    }

    fn text_filter(&mut self, label: String) -> Result<LabelFilter, ParseError> {
        let op = self.match_op().unwrap_or(MatchOp::Equal);
        let matcher = self.matcher(label, op)?;
        Ok(LabelFilter::Text {
            label: matcher.name().to_owned(),
            op,
            value: matcher.value().to_owned(),
        })
    }

    fn ip_filter(&mut self, label: String) -> Result<LabelFilter, ParseError> {
        let op = self.match_op().unwrap_or(MatchOp::Equal);
        Ok(LabelFilter::Ip { label, op, pattern: self.ip_pattern()? })
    }

    fn number_filter(&mut self, label: String) -> Result<LabelFilter, ParseError> {
        let op = match self.peek() {
            Kind::Equal | Kind::DoubleEqual => CompareOp::Equal,
            Kind::NotEqual => CompareOp::NotEqual,
            Kind::Greater => CompareOp::Greater,
            Kind::GreaterOrEqual => CompareOp::GreaterOrEqual,
            Kind::Less => CompareOp::Less,
            Kind::LessOrEqual => CompareOp::LessOrEqual,
            _ => return Err(self.unexpected(&[])),
        };
        self.take();
        match self.peek() {
            Kind::Duration => {
                let nanos = if let Value::Nanos(nanos) = self.take() { nanos } else { 0 };
                Ok(LabelFilter::Duration { label, op, nanos })
            }
            Kind::Bytes => {
                let bytes = if let Value::Bytes(bytes) = self.take() { bytes } else { 0 };
                Ok(LabelFilter::Bytes { label, op, bytes })
            }
            Kind::Number | Kind::Add | Kind::Sub => {
                Ok(LabelFilter::Number { label, op, value: self.signed_number()? })
            }
            _ => Err(self.unexpected(&[])),
        }
    }

    /// A number with at most one sign.
    pub(super) fn signed_number(&mut self) -> Result<f64, ParseError> {
        let negative = self.peek() == Kind::Sub;
        if matches!(self.peek(), Kind::Add | Kind::Sub) {
            self.take();
        }
        let value = self.number(&[Kind::Number])?;
        Ok(if negative { -value } else { value })
    }

    /// A number without a sign, where `fitting` would fit.
    pub(super) fn number(&mut self, fitting: &[Kind]) -> Result<f64, ParseError> {
        if self.peek() != Kind::Number {
            return Err(self.unexpected(fitting));
        }
        let text = self.take_text();
        Ok(parse_float(&text).unwrap_or_else(|error| {
            let mark = self.faults.len();
            self.fault(mark, format!("unable to parse literal as a float: {error}"));
            0.0
        }))
    }
}

/// A label filter and the height of its tree.
struct Condition {
    filter: LabelFilter,
    height: usize,
}

impl Condition {
    /// Whether joining another operand on `side` makes this group longer rather than deeper.
    fn extends(&self, logic: Logic, side: Nesting) -> bool {
        match &self.filter {
            LabelFilter::Group(group) => {
                group.logic == logic && (group.parts.len() == 2 || group.nesting == side)
            }
            _ => false,
        }
    }

    fn into_parts(self) -> Vec<LabelFilter> {
        match self.filter {
            LabelFilter::Group(group) => group.parts,
            single => vec![single],
        }
    }
}

/// Operands and the joints between them that are not combined yet.
struct Chain {
    operands: Vec<Condition>,
    joints: Vec<Joint>,
}

impl Chain {
    fn push_joint(&mut self, next: Joint) {
        while self.joints.last().is_some_and(|last| last.binds_before(next)) {
            self.combine_last(1);
        }
        self.joints.push(next);
    }

    fn finish(mut self) -> Condition {
        while let Some(last) = self.joints.last() {
            let logic = last.logic();
            let run = self.joints.iter().rev().take_while(|joint| joint.logic() == logic).count();
            self.combine_last(run);
        }
        self.operands.swap_remove(0)
    }

    /// Combines the operands of the last `count` joints, which mean the same, from the right.
    fn combine_last(&mut self, count: usize) {
        let first = self.joints.len() - count;
        let logic = self.joints[first].logic();
        self.joints.truncate(first);
        let mut operands = self.operands.split_off(self.operands.len() - count - 1);
        if let Some(last) = operands.pop() {
            self.operands.push(combine(logic, operands, last));
        }
    }
}

/// Joins `last` with each of `operands`, from the right.
fn combine(logic: Logic, mut operands: Vec<Condition>, mut last: Condition) -> Condition {
    while !last.extends(logic, Nesting::Right) {
        let Some(left) = operands.pop() else { return last };
        let is_longer = left.extends(logic, Nesting::Left);
        let height = last.height.max(left.height - usize::from(is_longer)) + 1;
        let mut parts = if is_longer { left.into_parts() } else { vec![left.filter] };
        parts.push(last.filter);
        last = group(logic, parts, Nesting::Left, height);
    }
    if operands.is_empty() {
        return last;
    }
    let tallest = operands.iter().map(|operand| operand.height + 1).max().unwrap_or(0);
    let height = last.height.max(tallest);
    let mut parts: Vec<_> = operands.into_iter().map(|operand| operand.filter).collect();
    parts.extend(last.into_parts());
    group(logic, parts, Nesting::Right, height)
}

fn group(logic: Logic, parts: Vec<LabelFilter>, nesting: Nesting, height: usize) -> Condition {
    let nesting = if parts.len() == 2 { Nesting::Left } else { nesting };
    Condition { filter: LabelFilter::Group(FilterGroup { logic, parts, nesting }), height }
}
