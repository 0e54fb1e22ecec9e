//! What binary operators make of two numbers, in constants and in samples alike.

use super::ast::BinaryOp;

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
            _ if self.is_comparison() => f64::from(u8::from(self.holds(left, right))),
            _ => f64::NAN,
        }
    }

    /// Whether a comparison holds; no other operator does.
    #[must_use]
    pub fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Self::Equal => left == right,
            Self::NotEqual => left != right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            _ => false,
        }
    }
}
