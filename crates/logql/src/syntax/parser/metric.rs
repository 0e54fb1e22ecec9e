//! Aggregations, binary operations and the other expressions that answer with samples.

use model::Pattern;

use super::{Operand, Parser, Tree};
use crate::syntax::ast::{
    BinaryOp, BinaryOperation, Cardinality, Grouping, LabelReplace, Matching, MatchingLabels,
    MetricExpr, RangeAggregation, RangeOp, VectorAggregation, VectorOp,
};
use crate::syntax::check;
use crate::syntax::error::ParseError;
use crate::syntax::number::format_float;
use crate::syntax::token::Kind;

impl Parser {
    /// An expression whose operators bind at least as tightly as `lowest`.
    pub(super) fn expr(&mut self, lowest: u8) -> Result<Operand, ParseError> {
        self.nested(|parser| parser.operations(lowest))
    }

    fn operations(&mut self, lowest: u8) -> Result<Operand, ParseError> {
        let mark = self.faults.len();
        let mut left = self.operand()?;
        while let Some(op) = binary_op(self.peek()).filter(|op| precedence(*op) >= lowest) {
            self.take();
            let modifier = self.modifier()?;
            let lowest_right = precedence(op) + u8::from(op != BinaryOp::Power);
            let right = self.expr(lowest_right)?;
            let tree = self.binary(mark, op, modifier, (left, right));
            self.check_depth(tree.height)?;
            left = Operand::Metric(tree);
        }
        Ok(left)
    }

    fn operand(&mut self) -> Result<Operand, ParseError> {
        let expr = match self.peek() {
            Kind::OpenBrace => return self.log_expr().map(Operand::Log),
            Kind::OpenParen => {
                self.take();
                let inner = self.expr(0)?;
                self.expect_among(Kind::CloseParen, &[])?;
                return Ok(inner);
            }
            Kind::RangeOp(op) => MetricExpr::Range(self.range_aggregation(op)?),
            Kind::VectorOp(op) => return self.vector_aggregation(op).map(Operand::Metric),
            Kind::LabelReplace => return self.label_replace().map(Operand::Metric),
            Kind::Vector => self.constant()?,
            Kind::Number | Kind::Add | Kind::Sub => MetricExpr::Literal(self.signed_number()?),
            _ => return Err(self.unexpected(&[])),
        };
        Ok(Operand::Metric(Tree { expr, height: 1 }))
    }

    /// `bool`, `on (…)`, `group_left (…)` and the like.
    fn modifier(&mut self) -> Result<(bool, Matching), ParseError> {
        let return_bool = self.accept(Kind::Bool);
        let mut matching = Matching::default();
        matching.labels = match self.peek() {
            Kind::On => {
                self.take();
                MatchingLabels::On(self.label_names()?)
            }
            Kind::Ignoring => {
                self.take();
                MatchingLabels::Ignoring(self.label_names()?)
            }
            _ => return Ok((return_bool, matching)),
        };
        matching.cardinality = match self.peek() {
            Kind::GroupLeft => Cardinality::ManyToOne { include: self.included()? },
            Kind::GroupRight => Cardinality::OneToMany { include: self.included()? },
            _ => Cardinality::OneToOne,
        };
        Ok((return_bool, matching))
    }

    fn included(&mut self) -> Result<Vec<String>, ParseError> {
        self.take();
        if self.peek() == Kind::OpenParen { self.label_names() } else { Ok(Vec::new()) }
    }

    /// `(a, b)`
    fn label_names(&mut self) -> Result<Vec<String>, ParseError> {
        self.expect(Kind::OpenParen)?;
        if self.accept(Kind::CloseParen) {
            return Ok(Vec::new());
        }
        let mut names = vec![self.identifier(&[Kind::Identifier, Kind::CloseParen])?];
        while self.accept(Kind::Comma) {
            names.push(self.identifier(&[Kind::Identifier])?);
        }
        self.expect_among(Kind::CloseParen, &[Kind::Comma, Kind::CloseParen])?;
        Ok(names)
    }

    fn binary(
        &mut self,
        mark: usize,
        op: BinaryOp,
        (return_bool, matching): (bool, Matching),
        (left, right): (Operand, Operand),
    ) -> Tree {
        let (left, right) = match (left, right) {
            (Operand::Metric(left), Operand::Metric(right)) => (left, right),
            (left, right) => {
                let (side, log) = match (left, right) {
                    (Operand::Log(log), _) => ("left", log),
                    (_, Operand::Log(log)) => ("right", log),
                    _ => unreachable!("one operand is a log query"),
                };
                let kind = if log.stages.is_empty() { "MatchersExpr" } else { "PipelineExpr" };
                let op = op.as_str();
                let message = format!(
                    "unexpected type for {side} leg of binary operation ({op}): *syntax.{kind}"
                );
                return self.refused(mark, message);
            }
        };
        let literal = |tree: &Tree| match tree.expr {
            MetricExpr::Literal(value) => Some(value),
            _ => None,
        };
        match (literal(&left), literal(&right)) {
            (Some(value), _) if op.is_set() => self.refused(mark, set_literal("left", op, value)),
            (_, Some(value)) if op.is_set() => self.refused(mark, set_literal("right", op, value)),
            (Some(a), Some(b)) => Tree { expr: MetricExpr::Literal(op.apply(a, b)), height: 1 },
            _ => {
                let height = left.height.max(right.height) + 1;
                let (left, right) = (Box::new(left.expr), Box::new(right.expr));
                let operation = BinaryOperation { op, left, right, return_bool, matching };
                Tree { expr: MetricExpr::Binary(operation), height }
            }
        }
    }

    /// Records a fault and answers something in place of the expression that has it.
    fn refused(&mut self, mark: usize, message: String) -> Tree {
        self.fault(mark, message);
        Tree { expr: MetricExpr::Constant(0.0), height: 1 }
    }

    fn range_aggregation(&mut self, op: RangeOp) -> Result<RangeAggregation, ParseError> {
        let mark = self.faults.len();
        self.take();
        self.expect(Kind::OpenParen)?;
        let mut parameter = None;
        match self.peek() {
            Kind::OpenBrace | Kind::OpenParen => {}
            _ => {
                let fitting = [Kind::Number, Kind::OpenBrace, Kind::OpenParen];
                parameter = Some(self.number(&fitting)?);
                self.expect(Kind::Comma)?;
            }
        }
        let range = self.log_range()?;
        self.expect(Kind::CloseParen)?;
        let grouping = self.grouping_here()?;
        let aggregation = RangeAggregation { op, parameter, range, grouping };
        if let Err(message) = check::range_aggregation(&aggregation) {
            self.fault(mark, message);
        }
        Ok(aggregation)
    }

    fn grouping_here(&mut self) -> Result<Option<Grouping>, ParseError> {
        let without = match self.peek() {
            Kind::By => false,
            Kind::Without => true,
            _ => return Ok(None),
        };
        self.take();
        Ok(Some(Grouping { without, labels: self.label_names()? }))
    }

    fn vector_aggregation(&mut self, op: VectorOp) -> Result<Tree, ParseError> {
        let mark = self.faults.len();
        self.take();
        let mut grouping = self.grouping_here()?;
        let fitting: &[Kind] = match grouping {
            Some(_) => &[Kind::OpenParen],
            None => &[Kind::OpenParen, Kind::By, Kind::Without],
        };
        self.expect_among(Kind::OpenParen, fitting)?;
        let mut parameter = None;
        if (self.peek(), self.peek_second()) == (Kind::Number, Kind::Comma) {
            parameter = Some(self.take_text());
            self.take();
        }
        let Tree { expr, height } = self.metric_argument()?;
        self.expect_among(Kind::CloseParen, &[])?;
        if grouping.is_none() {
            grouping = self.grouping_here()?;
        }
        // `by ()` is what an aggregation without grouping does.
        let grouping = grouping.filter(|grouping| grouping.without || !grouping.labels.is_empty());
        let parameter = check::vector_parameter(op, parameter.as_deref());
        let outcome = check::vector_grouping(op, grouping.as_ref());
        let parameter = match parameter.and_then(|parameter| outcome.map(|()| parameter)) {
            Ok(parameter) => parameter,
            Err(message) => return Ok(self.refused(mark, message)),
        };
        let inner = Box::new(expr);
        let aggregation = VectorAggregation { op, parameter, inner, grouping };
        self.taller(MetricExpr::Vector(aggregation), height)
    }

    fn taller(&self, expr: MetricExpr, inner_height: usize) -> Result<Tree, ParseError> {
        self.check_depth(inner_height + 1)?;
        Ok(Tree { expr, height: inner_height + 1 })
    }

    /// An expression where only one that answers with samples fits.
    fn metric_argument(&mut self) -> Result<Tree, ParseError> {
        match self.expr(0)? {
            Operand::Metric(tree) => Ok(tree),
            Operand::Log(_) => Err(self.unexpected(&[])),
        }
    }

    fn label_replace(&mut self) -> Result<Tree, ParseError> {
        let mark = self.faults.len();
        self.take();
        self.expect(Kind::OpenParen)?;
        let Tree { expr, height } = self.metric_argument()?;
        self.expect_among(Kind::Comma, &[])?;
        let target = self.string()?;
        self.expect(Kind::Comma)?;
        let replacement = self.string()?;
        self.expect(Kind::Comma)?;
        let source = self.string()?;
        self.expect(Kind::Comma)?;
        let regex = self.string()?;
        self.expect(Kind::CloseParen)?;
        if let Err(error) = Pattern::search(&format!("^(?:{regex})$")) {
            self.fault(mark, format!("invalid regex in label_replace: {error}"));
        }
        let inner = Box::new(expr);
        let replace = LabelReplace { inner, target, replacement, source, regex };
        self.taller(MetricExpr::LabelReplace(replace), height)
    }

    /// `vector(5)`
    fn constant(&mut self) -> Result<MetricExpr, ParseError> {
        self.take();
        self.expect(Kind::OpenParen)?;
        let value = self.number(&[Kind::Number])?;
        self.expect(Kind::CloseParen)?;
        Ok(MetricExpr::Constant(value))
    }
}

fn set_literal(side: &str, op: BinaryOp, value: f64) -> String {
    let value = if value.is_finite() { format!("{value:.6}") } else { format_float(value) };
    let op = op.as_str();
    format!("unexpected literal for {side} leg of logical/set binary operation ({op}): {value}")
}

fn binary_op(kind: Kind) -> Option<BinaryOp> {
    Some(match kind {
        Kind::Or => BinaryOp::Or,
        Kind::And => BinaryOp::And,
        Kind::Unless => BinaryOp::Unless,
        Kind::Add => BinaryOp::Add,
        Kind::Sub => BinaryOp::Subtract,
        Kind::Mul => BinaryOp::Multiply,
        Kind::Div => BinaryOp::Divide,
        Kind::Mod => BinaryOp::Modulo,
        Kind::Pow => BinaryOp::Power,
        Kind::DoubleEqual => BinaryOp::Equal,
        Kind::NotEqual => BinaryOp::NotEqual,
        Kind::Greater => BinaryOp::Greater,
        Kind::GreaterOrEqual => BinaryOp::GreaterOrEqual,
        Kind::Less => BinaryOp::Less,
        Kind::LessOrEqual => BinaryOp::LessOrEqual,
        _ => return None,
    })
}

/// How tightly an operator binds; a larger number binds tighter.
fn precedence(op: BinaryOp) -> u8 {
    match op {
        BinaryOp::Or => 1,
        BinaryOp::And | BinaryOp::Unless => 2,
        op if op.is_comparison() => 3,
        BinaryOp::Add | BinaryOp::Subtract => 4,
        BinaryOp::Multiply | BinaryOp::Divide | BinaryOp::Modulo => 5,
        _ => 6,
    }
}
