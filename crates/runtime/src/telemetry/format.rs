//! How a log line is written.
//!
//! One event is one line, whatever its fields hold: logfmt values with spaces, quotes, `=` or
//! control characters are quoted, and JSON is JSON.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::LogFormat;
use crate::clock::Clock;

/// Writes events as log lines.
pub(super) struct LineFormat {
    format: LogFormat,
    clock: Arc<dyn Clock>,
}

impl LineFormat {
    pub(super) fn new(format: LogFormat, clock: Arc<dyn Clock>) -> Self {
        Self { format, clock }
    }
}

impl<S, N> FormatEvent<S, N> for LineFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _ctx: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let meta = event.metadata();
        let mut line = Line::new(self.format);
        line.pair("ts", &self.clock.now().to_string());
        line.pair("level", level_name(*meta.level()));
        if let (Some(file), Some(number)) = (meta.file(), meta.line()) {
            line.pair("caller", &format!("{}:{number}", short_path(file)));
        }
        line.pair("msg", &fields.message);
        for (name, value) in &fields.others {
            line.pair(name, value);
        }
        writer.write_str(&line.finish())
    }
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG | Level::TRACE => "debug",
    }
}

/// The crate's folder and the file within `src`: `ingester/wal/replay.rs`.
fn short_path(file: &str) -> String {
    match file.rsplit_once("/src/") {
        Some((before, inside)) => {
            format!("{}/{inside}", before.rsplit('/').next().unwrap_or(before))
        }
        None => file.rsplit('/').next().unwrap_or(file).to_owned(),
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, String)>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: String) {
        match field.name() {
            "message" => self.message = value,
            name => self.others.push((name, value)),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.to_owned());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut source = value.source();
        while let Some(cause) = source {
            let _ = write!(text, ": {cause}");
            source = cause.source();
        }
        self.put(field, text);
    }
}

/// A line under construction.
struct Line {
    format: LogFormat,
    text: String,
}

impl Line {
    fn new(format: LogFormat) -> Self {
        let text = if format == LogFormat::Json { "{" } else { "" };
        Self { format, text: text.to_owned() }
    }

    fn pair(&mut self, name: &str, value: &str) {
        match self.format {
            LogFormat::Logfmt => {
                if !self.text.is_empty() {
                    self.text.push(' ');
                }
                self.text.push_str(name);
                self.text.push('=');
                if needs_quotes(value) {
                    quote(value, &mut self.text);
                } else {
                    self.text.push_str(value);
                }
            }
            LogFormat::Json => {
                if self.text.len() > 1 {
                    self.text.push(',');
                }
                quote(name, &mut self.text);
                self.text.push(':');
                quote(value, &mut self.text);
            }
        }
    }

    fn finish(mut self) -> String {
        if self.format == LogFormat::Json {
            self.text.push('}');
        }
        self.text.push('\n');
        self.text
    }
}

fn needs_quotes(value: &str) -> bool {
    value.is_empty() || value.chars().any(|c| c <= ' ' || matches!(c, '"' | '=' | '\\' | '\u{7f}'))
}

/// Quotes as JSON does, which logfmt readers also accept.
fn quote(value: &str, out: &mut String) {
    out.push('"');
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Mutex;

    use model::Timestamp;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;
    use crate::clock::ManualClock;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(buf);
            Ok(buf.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat) -> String {
        let sink = Sink::default();
        let writer = sink.clone();
        let clock = Arc::new(ManualClock::new(Timestamp(1_755_900_000_250_000_000)));
        let layer = tracing_subscriber::fmt::layer()
            .with_writer(move || writer.clone())
            .event_format(LineFormat::new(format, clock));
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(tenant = "team a", lines = 3, "said \"hi\"\nthere");
        });
        let bytes = sink.0.lock().unwrap().clone();
        let text = String::from_utf8(bytes).unwrap();
        // The line number changes with this file.
        let start = text.find("format.rs:").unwrap() + "format.rs:".len();
        let digits = text[start..].chars().take_while(char::is_ascii_digit).count();
        format!("{}N{}", &text[..start], &text[start + digits..])
    }

    #[test]
    fn logfmt_lines_are_one_line() {
        assert_eq!(
            logged(LogFormat::Logfmt),
            "ts=2025-08-22T22:00:00.25Z level=info caller=runtime/telemetry/format.rs:N \
             msg=\"said \\\"hi\\\"\\nthere\" tenant=\"team a\" lines=3\n"
        );
    }

    #[test]
    fn json_lines_are_json() {
        assert_eq!(
            logged(LogFormat::Json),
            "{\"ts\":\"2025-08-22T22:00:00.25Z\",\"level\":\"info\",\
             \"caller\":\"runtime/telemetry/format.rs:N\",\"msg\":\"said \\\"hi\\\"\\nthere\",\
             \"tenant\":\"team a\",\"lines\":\"3\"}\n"
        );
    }
}
