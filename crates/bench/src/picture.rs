//! A picture of cost against data size, as SVG.
//!
//! Both axes are logarithmic: what grows as fast as the data rises by as much as it goes right.

use std::fmt::Write as _;

/// A line of the picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// What it stands for.
    pub name: &'static str,
    /// Megabytes and milliseconds, by size.
    pub points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 440.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 150.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 60.0;
/// Told apart by people who see few colours, too.
const COLOURS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];

/// An axis: the powers of ten between which everything lies.
#[derive(Clone, Copy)]
struct Axis {
    first: i32,
    last: i32,
}

impl Axis {
    fn over(values: impl Iterator<Item = f64> + Clone) -> Self {
        let positive = values.filter(|value| *value > 0.0);
        let least = positive.clone().fold(f64::INFINITY, f64::min);
        let most = positive.fold(0.0, f64::max);
        if most == 0.0 {
            return Self { first: 0, last: 1 };
        }
        let first = least.log10().floor() as i32;
        Self { first, last: (most.log10().ceil() as i32).max(first + 1) }
    }

    /// Where a value lies, from 0 to 1.
    fn place(self, value: f64) -> f64 {
        let log = value.max(f64::MIN_POSITIVE).log10();
        ((log - f64::from(self.first)) / f64::from(self.last - self.first)).clamp(0.0, 1.0)
    }

    fn powers(self) -> impl Iterator<Item = f64> {
        (self.first..=self.last).map(|power| 10f64.powi(power))
    }
}

/// Draws curves.
#[expect(clippy::too_many_lines, reason = "one statement for each part of the picture")]
pub fn draw(curves: &[Curve]) -> String {
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let sizes = Axis::over(points().map(|point| point.0));
    let costs = Axis::over(points().map(|point| point.1));
    let x = |size: f64| LEFT + sizes.place(size) * (WIDTH - LEFT - RIGHT);
    let y = |cost: f64| HEIGHT - BOTTOM - costs.place(cost) * (HEIGHT - TOP - BOTTOM);
    let mut out = String::new();
    let mut add = |text: std::fmt::Arguments<'_>| {
        let _ = writeln!(out, "{text}");
    };
    add(format_args!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"22\" font-size=\"15\">Cost of a query against data size</text>"
    ));
    let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    for size in sizes.powers() {
        let (at, label) = (x(size), of_megabytes(size));
        add(format_args!(
            "<path d=\"M{at:.1} {TOP}V{bottom}\" stroke=\"#ddd\"/>\n\
             <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>",
            bottom + 18.0
        ));
    }
    for cost in costs.powers() {
        let at = y(cost);
        add(format_args!(
            "<path d=\"M{LEFT} {at:.1}H{right}\" stroke=\"#ddd\"/>\n\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{cost} ms</text>",
            LEFT - 6.0,
            at + 4.0
        ));
    }
    add(format_args!(
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">lines stored</text>",
        (LEFT + right) / 2.0,
        HEIGHT - 16.0
    ));
    let mut ends: Vec<(f64, &Curve, &str)> = Vec::new();
    for (curve, colour) in curves.iter().zip(COLOURS.iter().cycle()) {
        let Some(last) = curve.points.last() else { continue };
        let path: Vec<String> = curve
            .points
            .iter()
            .map(|(size, cost)| format!("{:.1},{:.1}", x(*size), y(*cost)))
            .collect();
        add(format_args!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            path.join(" ")
        ));
        for (size, cost) in &curve.points {
            add(format_args!(
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{colour}\"/>",
                x(*size),
                y(*cost)
            ));
        }
        ends.push((y(last.1), curve, colour));
    }
    // Names stand at the ends of their curves, and not upon each other.
    ends.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut free = 0.0;
    for (at, curve, colour) in ends {
        let at = at.max(free);
        free = at + 15.0;
        add(format_args!(
            "<text x=\"{:.1}\" y=\"{:.1}\" fill=\"{colour}\">{}</text>",
            right + 8.0,
            at + 4.0,
            curve.name
        ));
    }
    add(format_args!("</svg>"));
    out
}

fn of_megabytes(size: f64) -> String {
    if size >= 1000.0 { format!("{} GB", size / 1000.0) } else { format!("{size} MB") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_lie_inside_the_picture_and_have_names() {
        let curves = [
            Curve { name: "a", points: vec![(100.0, 1.0), (1000.0, 2.0), (10_000.0, 4.0)] },
            Curve { name: "b", points: vec![(100.0, 1.0), (10_000.0, 4.1)] },
            Curve { name: "none", points: Vec::new() },
        ];
        let picture = draw(&curves);
        assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n"));
        assert_eq!(picture.matches("<polyline").count(), 2);
        assert_eq!(picture.matches("<circle").count(), 5);
        assert!(picture.contains(">a</text>") && picture.contains("10 GB"));
        let circles = picture.split("<circle cx=\"").skip(1);
        for circle in circles {
            let cx: f64 = circle.split('"').next().unwrap().parse().unwrap();
            assert!((LEFT..=WIDTH - RIGHT).contains(&cx));
        }
        assert!(draw(&[]).contains("</svg>"));
    }
}
