//! `%x` of a float.

/// A hexadecimal mantissa with one bit before the point, and the exponent of two in decimal.
pub(super) fn format(magnitude: f64, precision: Option<usize>) -> String {
    const FRACTION_BITS: u32 = f64::MANTISSA_DIGITS - 1;
    const FRACTION_DIGITS: usize = FRACTION_BITS as usize / 4;
    if magnitude == 0.0 {
        let zeros = "0".repeat(precision.unwrap_or(0));
        let point = if zeros.is_empty() { "" } else { "." };
        return format!("0x0{point}{zeros}p+00");
    }
    let bits = magnitude.to_bits();
    let fraction = bits & ((1 << FRACTION_BITS) - 1);
    let (mut mantissa, mut exponent) = match (bits >> FRACTION_BITS) as i32 {
        // The first bit of a subnormal number is brought before the point.
        0 => {
            let shift = fraction.leading_zeros() - (u64::BITS - f64::MANTISSA_DIGITS);
            (fraction << shift, f64::MIN_EXP - 1 - shift as i32)
        }
        biased => (fraction | 1 << FRACTION_BITS, biased - (f64::MAX_EXP - 1)),
    };
    if let Some(dropped) = precision.and_then(|kept| FRACTION_DIGITS.checked_sub(kept)) {
        // Half way rounds to even.
        let unit = 1_u64 << (4 * dropped);
        let (rest, half) = (mantissa % unit, unit / 2);
        mantissa -= rest;
        if rest > half || rest == half && half > 0 && mantissa / unit % 2 == 1 {
            mantissa += unit;
        }
        if mantissa >> f64::MANTISSA_DIGITS != 0 {
            mantissa >>= 1;
            exponent += 1;
        }
    }
    let digits = format!("{:013x}", mantissa & ((1 << FRACTION_BITS) - 1));
    let digits = match precision {
        None => digits.trim_end_matches('0').to_owned(),
        Some(kept) if kept <= FRACTION_DIGITS => digits[..kept].to_owned(),
        Some(kept) => format!("{digits:0<kept$}"),
    };
    let point = if digits.is_empty() { "" } else { "." };
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("0x1{point}{digits}p{sign}{:02}", exponent.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::format;

    #[test]
    fn digits_are_those_of_the_bits() {
        assert_eq!(format(3.5, None), "0x1.cp+01");
        assert_eq!(format(0.1, None), "0x1.999999999999ap-04");
        assert_eq!(format(0.0, None), "0x0p+00");
        assert_eq!(format(5e-324, None), "0x1p-1074");
    }

    #[test]
    fn a_precision_rounds_to_even_and_carries() {
        assert_eq!(format(1.97, Some(1)), "0x1.0p+01");
        assert_eq!(format(1.97, Some(0)), "0x1p+01");
        assert_eq!(format(1.5, Some(15)), "0x1.800000000000000p+00");
        assert_eq!(format(0.0, Some(2)), "0x0.00p+00");
    }
}
