//! What binary operators make of two numbers, in constants and in samples alike.

use super::ast::{BinaryOp, CompareOp};

impl BinaryOp {
    /// The result on two numbers: a comparison answers 1 or 0, an operator on sets has none (NaN).
    /// Division by zero is NaN too, as Loki has it.
    #[must_use]
    pub fn apply(self, left: f64, right: f64) -> f64 {
        match self {
            Self::Add => left + right,
            Self::Subtract => left - right,
            Self::Multiply => left * right,
            Self::Divide | Self::Modulo if right == 0.0 => f64::NAN,
            Self::Divide => left / right,
            Self::Modulo => left % right,
            Self::Power => left.powf(right),
            _ => match self.comparison() {
                Some(comparison) => f64::from(u8::from(comparison.holds(left, right))),
                None => f64::NAN,
            },
        }
    }

    /// Whether a comparison holds; no other operator does.
    #[must_use]
    pub fn holds(self, left: f64, right: f64) -> bool {
        self.comparison().is_some_and(|comparison| comparison.holds(left, right))
    }

    fn comparison(self) -> Option<CompareOp> {
        Some(match self {
            Self::Equal => CompareOp::Equal,
            Self::NotEqual => CompareOp::NotEqual,
            Self::Greater => CompareOp::Greater,
            Self::GreaterOrEqual => CompareOp::GreaterOrEqual,
            Self::Less => CompareOp::Less,
            Self::LessOrEqual => CompareOp::LessOrEqual,
            _ => return None,
        })
    }
}
