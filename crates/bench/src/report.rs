//! The table that a run prints.

use std::fmt::Write as _;

/// One row: a name, a figure, and what to compare it with.
#[derive(Debug, Clone, Default)]
pub struct Row {
    /// What was measured.
    pub name: String,
    /// The figure with its unit.
    pub figure: String,
    /// The same as a multiple of a yardstick, where that makes sense.
    pub ratio: String,
    /// What Sigyn aims for on this machine, and whether it got there.
    pub goal: String,
    /// What Loki and VictoriaLogs would need on this machine.
    pub others: String,
}

/// A whole report: titled groups of rows.
#[derive(Debug, Default)]
pub struct Report {
    groups: Vec<(String, Vec<Row>)>,
}

impl Report {
    /// Begins a group.
    pub fn group(&mut self, title: impl Into<String>) {
        self.groups.push((title.into(), Vec::new()));
    }

    /// Adds a row to the last group.
    pub fn row(&mut self, row: Row) {
        if let Some((_, rows)) = self.groups.last_mut() {
            rows.push(row);
        }
    }

    /// The report as Markdown tables.
    pub fn print(&self) -> String {
        let mut out = String::new();
        for (title, rows) in &self.groups {
            let _ = writeln!(out, "\n## {title}\n");
            out.push_str(
                "| what | figure | beside the yardstick | goal here | Loki / VictoriaLogs here |\n",
            );
            out.push_str("|---|---|---|---|---|\n");
            for row in rows {
                let Row { name, figure, ratio, goal, others } = row;
                let _ = writeln!(out, "| {name} | {figure} | {ratio} | {goal} | {others} |");
            }
        }
        out
    }
}

/// A goal with its verdict.
pub fn goal(measured: f64, limit: f64, unit: &str) -> String {
    let verdict = if measured <= limit { "reached" } else { "missed" };
    format!("≤ {} {unit}: {verdict}", short(limit))
}

/// A number with as many digits as matter.
pub fn short(number: f64) -> String {
    match number {
        n if n >= 100.0 => format!("{n:.0}"),
        n if n >= 10.0 => format!("{n:.1}"),
        n => format!("{n:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_digits_that_matter() {
        assert_eq!([short(1234.5), short(12.34), short(0.126)], ["1234", "12.3", "0.13"]);
        assert_eq!(goal(3.0, 2.0, "s"), "≤ 2.00 s: missed");
    }
}
