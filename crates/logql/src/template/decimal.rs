//! Exact decimal arithmetic for `addf`, `subf`, `mulf` and `divf`.

/// How many decimals a quotient keeps.
const QUOTIENT_DECIMALS: i32 = 16;

/// A number `digits · 10^exponent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Decimal {
    digits: i128,
    exponent: i32,
}

impl Decimal {
    /// The decimal with the fewest digits that reads as this float; `None` when it is not finite.
    pub(super) fn of(value: f64) -> Option<Self> {
        if !value.is_finite() {
            return None;
        }
        let text = format!("{value:e}");
        let (mantissa, exponent) = text.split_once('e')?;
        let decimals = mantissa.split_once('.').map_or(0, |(_, fraction)| fraction.len());
        let digits = mantissa.replace('.', "").parse().ok()?;
        Some(Self { digits, exponent: exponent.parse::<i32>().ok()? - decimals as i32 })
    }

    /// The nearest float.
    pub(super) fn to_float(self) -> f64 {
        format!("{}e{}", self.digits, self.exponent).parse().unwrap_or(f64::NAN)
    }

    /// Brings two decimals to one exponent; `None` when their digits do not fit.
    fn aligned(a: Self, b: Self) -> Option<(i128, i128, i32)> {
        let exponent = a.exponent.min(b.exponent);
        let scaled = |decimal: Self| {
            let shift = u32::try_from(decimal.exponent - exponent).ok()?;
            decimal.digits.checked_mul(10i128.checked_pow(shift)?)
        };
        Some((scaled(a)?, scaled(b)?, exponent))
    }

    /// The sum; `None` when it has too many digits.
    pub(super) fn add(self, other: Self) -> Option<Self> {
        let (a, b, exponent) = Self::aligned(self, other)?;
        Some(Self { digits: a.checked_add(b)?, exponent })
    }

    /// The difference; `None` when it has too many digits.
    pub(super) fn subtract(self, other: Self) -> Option<Self> {
        let (a, b, exponent) = Self::aligned(self, other)?;
        Some(Self { digits: a.checked_sub(b)?, exponent })
    }

    /// The product; `None` when it has too many digits.
    pub(super) fn multiply(self, other: Self) -> Option<Self> {
        let digits = self.digits.checked_mul(other.digits)?;
        Some(Self { digits, exponent: self.exponent.checked_add(other.exponent)? })
    }

    /// The quotient, rounded half away from zero to sixteen decimals; `None` when it has too many
    /// digits or the divisor is zero.
    pub(super) fn divide(self, other: Self) -> Option<Self> {
        let shift = self.exponent - other.exponent + QUOTIENT_DECIMALS;
        let (dividend, divisor) = match u32::try_from(shift) {
            Ok(shift) => (self.digits.checked_mul(10i128.checked_pow(shift)?)?, other.digits),
            Err(_) => {
                let scale = 10i128.checked_pow(shift.unsigned_abs())?;
                (self.digits, other.digits.checked_mul(scale)?)
            }
        };
        let quotient = dividend.checked_div(divisor)?;
        let remainder = dividend.checked_rem(divisor)?;
        let rounds = remainder.unsigned_abs() >= divisor.unsigned_abs().div_ceil(2);
        let away = if (dividend < 0) == (divisor < 0) { 1 } else { -1 };
        let digits = quotient + if rounds && remainder != 0 { away } else { 0 };
        Some(Self { digits, exponent: -QUOTIENT_DECIMALS })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact() {
        let of = |value| Decimal::of(value).unwrap();
        assert_eq!(of(0.1).add(of(0.2)).unwrap().to_float(), 0.3);
        assert_eq!(of(1.1).multiply(of(1.1)).unwrap().to_float(), 1.21);
        assert_eq!(of(0.3).subtract(of(0.1)).unwrap().to_float(), 0.2);
        assert_eq!(of(10.0).divide(of(3.0)).unwrap().to_float(), 3.333_333_333_333_333_5);
        assert_eq!(of(2.0).divide(of(3.0)).unwrap().digits, 6_666_666_666_666_667);
        assert_eq!(of(-1.0).divide(of(8.0)).unwrap().to_float(), -0.125);
        assert_eq!(of(1e300).to_float(), 1e300);
        assert_eq!(of(1e308).multiply(of(1e308)).unwrap().to_float(), f64::INFINITY);
        assert!(of(1.0).divide(of(0.0)).is_none());
        assert!(Decimal::of(f64::NAN).is_none());
    }
}
