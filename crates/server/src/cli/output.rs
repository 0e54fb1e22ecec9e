//! How lines are shown.

use std::io::{self, BufWriter, IsTerminal, Write};

use clap::ValueEnum;
use model::Timestamp;
use serde_json::{Map, Value, json};

use super::Failure;

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// Time, labels and line; colours on a terminal
    Default,
    /// Lines only
    Raw,
    /// One JSON object per line
    Jsonl,
}

/// One line of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    /// When.
    pub timestamp: Timestamp,
    /// The labels of its stream.
    pub labels: Map<String, Value>,
    /// The text.
    pub line: String,
}

/// Writes lines to stdout in a form.
pub struct Printer {
    form: Form,
    shows_labels: bool,
    has_colours: bool,
}

impl Printer {
    /// A printer to stdout.
    pub fn new(form: Form, shows_labels: bool) -> Self {
        Self { form, shows_labels, has_colours: io::stdout().is_terminal() }
    }

    /// Writes lines.
    ///
    /// # Errors
    ///
    /// [`Failure`] when stdout cannot be written, or is read no more.
    pub fn print<'l>(&self, lines: impl IntoIterator<Item = &'l Shown>) -> Result<(), Failure> {
        let mut out = BufWriter::new(io::stdout().lock());
        let mut lines = lines.into_iter();
        let written = lines.try_for_each(|shown| self.write(shown, &mut out));
        written.and_then(|()| out.flush()).map_err(Failure::printing)
    }

    fn write(&self, shown: &Shown, out: &mut impl Write) -> io::Result<()> {
        match self.form {
            Form::Raw => writeln!(out, "{}", shown.line),
            Form::Jsonl => {
                let timestamp = shown.timestamp.to_string();
                let object =
                    json!({"labels": shown.labels, "line": shown.line, "timestamp": timestamp});
                writeln!(out, "{object}")
            }
            Form::Default => {
                let labels = if self.shows_labels {
                    format!(" {}", self.coloured(&label_text(&shown.labels)))
                } else {
                    String::new()
                };
                writeln!(out, "{}{labels} {}", shown.timestamp, shown.line)
            }
        }
    }

    /// One of six colours, chosen by the text, so that streams can be told apart.
    fn coloured(&self, text: &str) -> String {
        if !self.has_colours {
            return text.to_owned();
        }
        let sum = text.bytes().fold(0u32, |sum, byte| sum.wrapping_mul(31) + u32::from(byte));
        format!("\u{1b}[{}m{text}\u{1b}[0m", 31 + sum % 6)
    }
}

/// Labels as `{a="b", c="d"}`.
pub fn label_text(labels: &Map<String, Value>) -> String {
    let mut text = String::from("{");
    for (index, (name, value)) in labels.iter().enumerate() {
        if index > 0 {
            text.push_str(", ");
        }
        text.push_str(name);
        text.push('=');
        model::label::quote_into(value.as_str().unwrap_or(""), &mut text);
    }
    text.push('}');
    text
}

/// The lines of a `streams` answer, ordered by time.
pub fn lines_of(body: &Value, is_forward: bool) -> Vec<Shown> {
    let mut lines = Vec::new();
    for stream in body["data"]["result"].as_array().into_iter().flatten() {
        let labels = stream["stream"].as_object().cloned().unwrap_or_default();
        for value in stream["values"].as_array().into_iter().flatten() {
            let nanos = value[0].as_str().and_then(|text| text.parse().ok()).unwrap_or(0);
            let line = value[1].as_str().unwrap_or("").to_owned();
            lines.push(Shown { timestamp: Timestamp(nanos), labels: labels.clone(), line });
        }
    }
    lines.sort_by_key(|shown| shown.timestamp);
    if !is_forward {
        lines.reverse();
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(form: Form, has_colours: bool) -> String {
        let printer = Printer { form, shows_labels: true, has_colours };
        let labels = json!({"app": "web"}).as_object().unwrap().clone();
        let shown = Shown { timestamp: Timestamp(1_500_000_000), labels, line: "a \"b\"".into() };
        let mut out = Vec::new();
        printer.write(&shown, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_have_three_forms() {
        assert_eq!(written(Form::Default, false), "1970-01-01T00:00:01.5Z {app=\"web\"} a \"b\"\n");
        assert_eq!(written(Form::Raw, true), "a \"b\"\n");
        let json =
            r#"{"labels":{"app":"web"},"line":"a \"b\"","timestamp":"1970-01-01T00:00:01.5Z"}"#;
        assert_eq!(written(Form::Jsonl, true), format!("{json}\n"));
        let coloured = written(Form::Default, true);
        assert!(coloured.contains("m{app=\"web\"}\u{1b}[0m a"), "{coloured:?}");
    }

    #[test]
    fn lines_are_ordered_by_time() {
        let body = json!({"data": {"result": [
            {"stream": {"a": "1"}, "values": [["3", "z"], ["1", "x"]]},
            {"stream": {"a": "2"}, "values": [["2", "y"]]}]}});
        let texts = |forward| {
            let lines = lines_of(&body, forward);
            lines.into_iter().map(|l| l.line).collect::<Vec<_>>()
        };
        assert_eq!(texts(true), ["x", "y", "z"]);
        assert_eq!(texts(false), ["z", "y", "x"]);
        assert_eq!(
            label_text(body["data"]["result"][0]["stream"].as_object().unwrap()),
            "{a=\"1\"}"
        );
    }
}
