//! The language of the LogQL scripts in `tests/logql`, which its README specifies.
//!
//! Parsing and comparing live here; what evaluates the queries is a [`Driver`]: the engine over
//! entries in memory, or a server over HTTP. The module knows only the nouns of `model`, so that
//! the engine's own tests can include it as it is.

use std::fmt::Write as _;

use model::answer::{ResultEntry, ResultLabels, ResultStream, Sample, Series, Value, VectorSample};
use model::label::{quote_into, unquote_prefix};
use model::units::{format_go_duration, parse_go_duration};
use model::{Direction, Entry, Labels, Timestamp};

/// Streams with their entries, in the order of the script.
pub type Streams = Vec<(Labels, Vec<Entry>)>;

/// What keeps entries and evaluates queries.
pub trait Driver {
    /// The time that scripts count from; it lies on a whole day.
    fn base(&self) -> Timestamp;

    /// Drops all entries.
    ///
    /// # Errors
    ///
    /// Why that failed.
    fn clear(&mut self) -> Result<(), String>;

    /// Adds entries; their times are absolute.
    ///
    /// # Errors
    ///
    /// Why they were not taken.
    fn load(&mut self, streams: &Streams) -> Result<(), String>;

    /// Evaluates a query.
    ///
    /// # Errors
    ///
    /// The message with which the query was refused.
    fn evaluate(&mut self, question: &Question) -> Result<Value, String>;
}

/// A query and when to evaluate it; times are absolute.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// The query.
    pub query: String,
    /// What kind of answer is asked for.
    pub kind: QuestionKind,
}

/// The kinds of answers.
#[derive(Debug, Clone, PartialEq)]
pub enum QuestionKind {
    /// A metric query at one instant.
    Instant {
        /// When.
        at: Timestamp,
    },
    /// A metric query over steps.
    Range {
        /// First step.
        start: Timestamp,
        /// Last step, inclusive.
        end: Timestamp,
        /// Distance between steps in nanoseconds.
        step_ns: i64,
    },
    /// A log query.
    Log {
        /// First instant.
        start: Timestamp,
        /// First instant after.
        end: Timestamp,
        /// Order of the entries.
        direction: Direction,
        /// Most entries.
        limit: u32,
        /// Least distance between entries in nanoseconds, 0 for none.
        interval_ns: i64,
        /// Whether labels are told apart by where they came from.
        categorize: bool,
    },
}

/// Runs a script.
///
/// # Errors
///
/// Every evaluation whose answer was not the expected one, with its line; or why the script could
/// not be read or its entries not be loaded.
pub fn run(script: &str, driver: &mut impl Driver) -> Result<(), String> {
    let base = driver.base();
    driver.clear()?;
    let mut faults = String::new();
    for (line, command) in parse(script, base)? {
        let at = |reason: String| format!("line {line}: {reason}");
        match command {
            Command::Clear => driver.clear().map_err(at)?,
            Command::Load(streams) => driver.load(&streams).map_err(at)?,
            Command::Evaluate(question, expected) => {
                let answer = driver.evaluate(&question);
                if let Some(fault) = expected.compare(&answer, base) {
                    let _ = writeln!(faults, "line {line}: {}\n{fault}", question.query);
                }
            }
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

/// A question of a script, without asking it.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// The line of the script it stands on.
    pub line: usize,
    /// The question.
    pub question: Question,
    /// A part of the message, when an error is expected.
    pub error: Option<String>,
}

/// The questions of a script in its order; times count from the epoch.
///
/// # Errors
///
/// Why the script could not be read.
#[allow(dead_code, reason = "not every user of this file looks at scripts without running them")]
pub fn questions(script: &str) -> Result<Vec<Asked>, String> {
    let commands = parse(script, Timestamp(0))?.into_iter();
    let asked = commands.filter_map(|(line, command)| match command {
        Command::Evaluate(question, Expected::Error(part)) => {
            Some(Asked { line, question, error: Some(part) })
        }
        Command::Evaluate(question, _) => Some(Asked { line, question, error: None }),
        Command::Clear | Command::Load(_) => None,
    });
    Ok(asked.collect())
}

/// One command of a script.
#[derive(Debug, Clone, PartialEq)]
enum Command {
    Clear,
    Load(Streams),
    Evaluate(Question, Expected),
}

/// What an evaluation must answer.
#[derive(Debug, Clone, PartialEq)]
enum Expected {
    Error(String),
    Empty,
    Answer { value: Value, in_order: bool },
}

impl Expected {
    /// Answers what is wrong with an answer, if anything is.
    fn compare(&self, answer: &Result<Value, String>, base: Timestamp) -> Option<String> {
        match (self, answer) {
            (Self::Error(part), Err(message)) if message.contains(part.as_str()) => None,
            (Self::Error(part), Err(message)) => {
                Some(format!("  expected an error with {part:?}\n  got error {message:?}\n"))
            }
            (Self::Error(part), Ok(value)) => {
                Some(format!("  expected an error with {part:?}\n  got\n{}", print(value, base)))
            }
            (_, Err(message)) => Some(format!("  got error {message:?}\n")),
            (Self::Empty, Ok(value)) => (!is_empty(value))
                .then(|| format!("  expected nothing\n  got\n{}", print(value, base))),
            (Self::Answer { value: expected, in_order }, Ok(value)) => {
                let same = if *in_order {
                    equal(expected, value)
                } else {
                    equal(&sorted(expected), &sorted(value))
                };
                (!same).then(|| {
                    let (expected, value) = (print(expected, base), print(value, base));
                    format!("  expected\n{expected}  got\n{value}")
                })
            }
        }
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Streams(streams) => streams.is_empty(),
        Value::Vector(samples) => samples.is_empty(),
        Value::Matrix(series) => series.is_empty(),
        Value::Scalar(_) => false,
    }
}

fn sorted(value: &Value) -> Value {
    let mut value = value.clone();
    match &mut value {
        Value::Streams(streams) => streams.sort_by(|a, b| a.labels.cmp(&b.labels)),
        Value::Vector(samples) => samples.sort_by(|a, b| a.labels.cmp(&b.labels)),
        Value::Matrix(series) => series.sort_by(|a, b| a.labels.cmp(&b.labels)),
        Value::Scalar(_) => {}
    }
    value
}

fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Streams(a), Value::Streams(b)) => a == b,
        (Value::Vector(a), Value::Vector(b)) => {
            all(a, b, |a, b| a.labels == b.labels && equal_samples(&a.sample, &b.sample))
        }
        (Value::Matrix(a), Value::Matrix(b)) => {
            all(a, b, |a, b| a.labels == b.labels && all(&a.samples, &b.samples, equal_samples))
        }
        (Value::Scalar(a), Value::Scalar(b)) => equal_samples(a, b),
        _ => false,
    }
}

fn all<T>(a: &[T], b: &[T], mut equal: impl FnMut(&T, &T) -> bool) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b))
}

fn equal_samples(a: &Sample, b: &Sample) -> bool {
    let (x, y) = (a.value, b.value);
    let near = (x - y).abs() <= 1e-9 * x.abs().max(y.abs());
    a.timestamp == b.timestamp && (x == y || (x.is_nan() && y.is_nan()) || near)
}

// Reading.

/// The commands of a script with the lines they start at.
fn parse(script: &str, base: Timestamp) -> Result<Vec<(usize, Command)>, String> {
    let lines = script.lines().enumerate().map(|(index, line)| (index + 1, line.trim_end()));
    let mut lines = lines
        .filter(|(_, line)| !line.is_empty() && !line.trim_start().starts_with('#'))
        .peekable();
    let mut commands = Vec::new();
    while let Some((number, head)) = lines.next() {
        let mut body = Vec::new();
        while let Some(line) = lines.next_if(|(_, line)| line.starts_with(' ')) {
            body.push((line.0, line.1.trim()));
        }
        let reader = Reader { base };
        let command = match head.split_once(' ').map_or((head, ""), |(word, rest)| (word, rest)) {
            ("clear", "") => Ok(Command::Clear),
            ("load", "") => reader.streams(&body).map(Command::Load),
            ("eval", rest) => reader.evaluation(rest, &body),
            _ => Err(format!("unknown command {head:?}")),
        };
        commands.push((number, command.map_err(|reason| format!("line {number}: {reason}"))?));
    }
    Ok(commands)
}

#[derive(Clone, Copy)]
struct Reader {
    base: Timestamp,
}

/// The first word of a text and what follows it.
fn word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    text.split_once(' ').map_or((text, ""), |(word, rest)| (word, rest.trim_start()))
}

/// The rest of a text after a word that must be there.
fn after<'t>(text: &'t str, expected: &str) -> Result<&'t str, String> {
    match word(text) {
        (found, rest) if found == expected => Ok(rest),
        (found, _) => Err(format!("expected {expected:?}, found {found:?}")),
    }
}

fn duration(text: &str) -> Result<i64, String> {
    parse_go_duration(text).map_err(|error| error.to_string())
}

impl Reader {
    fn time(&self, text: &str) -> Result<Timestamp, String> {
        Ok(Timestamp(self.base.0 + duration(text)?))
    }

    fn streams(&self, body: &[(usize, &str)]) -> Result<Streams, String> {
        let mut streams: Streams = Vec::new();
        for (number, line) in body {
            if line.starts_with('{') {
                let labels = Labels::parse(line).map_err(|error| error.to_string())?;
                streams.push((labels, Vec::new()));
                continue;
            }
            let stream = streams.last_mut().ok_or("entries before any stream")?;
            let entries = self.entries(line).map_err(|e| format!("{e} (line {number})"))?;
            stream.1.extend(entries);
        }
        Ok(streams)
    }

    /// One entry, or many when the time is a row of times.
    fn entries(&self, line: &str) -> Result<Vec<Entry>, String> {
        let (times, rest) = word(line);
        let (text, used) = unquote_prefix(rest)?;
        let metadata = match rest[used..].trim() {
            "" => Vec::new(),
            pairs => labels(pairs)?,
        };
        let structured_metadata: Vec<_> =
            metadata.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        let mut entries = Vec::new();
        for (number, timestamp) in self.times(times)?.into_iter().enumerate() {
            let line = text.replace("{{i}}", &number.to_string()).into_bytes().into();
            let structured_metadata = structured_metadata.clone();
            entries.push(Entry { timestamp, line, structured_metadata });
        }
        Ok(entries)
    }

    fn times(&self, text: &str) -> Result<Vec<Timestamp>, String> {
        let Some((first, rest)) = text.split_once("..") else {
            return Ok(vec![self.time(text)?]);
        };
        let (last, step) = rest.split_once('/').ok_or("a row of times needs a step")?;
        let (first, last, step) = (self.time(first)?, self.time(last)?, duration(step)?);
        if step <= 0 {
            return Err("the step of a row of times must be positive".to_owned());
        }
        Ok((0..)
            .map(|index| Timestamp(first.0 + index * step))
            .take_while(|at| *at <= last)
            .collect())
    }

    fn evaluation(&self, text: &str, body: &[(usize, &str)]) -> Result<Command, String> {
        let (kind, rest) = word(text);
        let (kind, query) = match kind {
            "instant" => {
                let (at, query) = word(after(rest, "at")?);
                (QuestionKind::Instant { at: self.time(at)? }, query)
            }
            "range" => {
                let (start, end, rest) = self.bounds(rest)?;
                let (step, query) = word(after(rest, "step")?);
                (QuestionKind::Range { start, end, step_ns: duration(step)? }, query)
            }
            "log" => self.log_question(rest)?,
            other => return Err(format!("unknown kind of evaluation {other:?}")),
        };
        let question = Question { query: query.to_owned(), kind };
        let expected = self.expected(&question, body)?;
        Ok(Command::Evaluate(question, expected))
    }

    fn bounds<'t>(&self, text: &'t str) -> Result<(Timestamp, Timestamp, &'t str), String> {
        let (start, rest) = word(after(text, "from")?);
        let (end, rest) = word(after(rest, "to")?);
        Ok((self.time(start)?, self.time(end)?, rest))
    }

    fn log_question<'t>(&self, text: &'t str) -> Result<(QuestionKind, &'t str), String> {
        let (start, end, mut rest) = self.bounds(text)?;
        let mut direction = Direction::Backward;
        let (mut limit, mut interval_ns, mut categorize) = (100, 0, false);
        loop {
            let (option, tail) = word(rest);
            rest = match option {
                "forward" => {
                    direction = Direction::Forward;
                    tail
                }
                "backward" => tail,
                "limit" => {
                    let (count, tail) = word(tail);
                    limit = count.parse().map_err(|_| format!("bad limit {count:?}"))?;
                    tail
                }
                "interval" => {
                    let (interval, tail) = word(tail);
                    interval_ns = duration(interval)?;
                    tail
                }
                "categorize" => {
                    categorize = true;
                    tail
                }
                _ => break,
            };
        }
        let kind = QuestionKind::Log { start, end, direction, limit, interval_ns, categorize };
        Ok((kind, rest))
    }

    fn expected(&self, question: &Question, body: &[(usize, &str)]) -> Result<Expected, String> {
        let in_order = body.first().is_none_or(|(_, line)| *line != "unordered");
        let body = if in_order { body } else { &body[1..] };
        match body {
            [] => return Err("an evaluation needs an expected answer".to_owned()),
            [(_, "empty")] => return Ok(Expected::Empty),
            [(_, line)] if line.starts_with("error") => {
                return Ok(Expected::Error(line["error".len()..].trim().to_owned()));
            }
            _ => {}
        }
        let value = match &question.kind {
            QuestionKind::Instant { at } => self.vector(*at, body)?,
            QuestionKind::Range { .. } => Value::Matrix(
                body.iter().map(|line| self.series(line.1)).collect::<Result<_, _>>()?,
            ),
            QuestionKind::Log { .. } => self.log(body)?,
        };
        Ok(Expected::Answer { value, in_order })
    }

    fn vector(&self, at: Timestamp, body: &[(usize, &str)]) -> Result<Value, String> {
        let timestamp = Timestamp::from_millis(at.as_millis());
        if let [(_, line)] = body
            && let Some(value) = line.strip_prefix("scalar ")
        {
            return Ok(Value::Scalar(Sample { timestamp, value: number(value)? }));
        }
        let sample = |(_, line): &(usize, &str)| {
            let (labels, rest) = split_labels(line)?;
            let sample = Sample { timestamp, value: number(rest)? };
            Ok(VectorSample { labels, sample })
        };
        Ok(Value::Vector(body.iter().map(sample).collect::<Result<_, String>>()?))
    }

    fn series(&self, line: &str) -> Result<Series, String> {
        let (labels, rest) = split_labels(line)?;
        let sample = |text: &str| {
            let (value, at) = text.split_once('@').ok_or_else(|| format!("no time in {text:?}"))?;
            Ok(Sample { timestamp: self.time(at)?, value: number(value)? })
        };
        let samples = rest.split_whitespace().map(sample).collect::<Result<_, String>>()?;
        Ok(Series { labels, samples })
    }

    fn log(&self, body: &[(usize, &str)]) -> Result<Value, String> {
        let mut streams: Vec<ResultStream> = Vec::new();
        for (number, line) in body {
            if line.starts_with('{') {
                streams.push(ResultStream { labels: labels(line)?, entries: Vec::new() });
                continue;
            }
            let stream = streams.last_mut().ok_or("entries before any stream")?;
            let entry = self.entry(line).map_err(|e| format!("{e} (line {number})"))?;
            stream.entries.push(entry);
        }
        Ok(Value::Streams(streams))
    }

    fn entry(&self, line: &str) -> Result<ResultEntry, String> {
        let (at, rest) = word(line);
        let (text, used) = unquote_prefix(rest)?;
        let mut entry = ResultEntry {
            timestamp: self.time(at)?,
            line: text.into_bytes(),
            structured_metadata: ResultLabels::new(),
            parsed: ResultLabels::new(),
        };
        let mut rest = rest[used..].trim();
        while !rest.is_empty() {
            let (category, tail) = word(rest);
            let (pairs, tail) = split_labels(tail)?;
            match category {
                "metadata" => entry.structured_metadata = pairs,
                "parsed" => entry.parsed = pairs,
                other => return Err(format!("unknown category {other:?}")),
            }
            rest = tail;
        }
        Ok(entry)
    }
}

fn number(text: &str) -> Result<f64, String> {
    text.trim().parse().map_err(|_| format!("bad number {text:?}"))
}

/// Labels that make up a whole text, in the order of their names.
fn labels(text: &str) -> Result<ResultLabels, String> {
    match split_labels(text)? {
        (labels, "") => Ok(labels),
        (_, rest) => Err(format!("unexpected {rest:?} after labels")),
    }
}

/// Labels at the start of a text, and what follows them. Values may be empty.
fn split_labels(text: &str) -> Result<(ResultLabels, &str), String> {
    let mut rest =
        text.strip_prefix('{').ok_or_else(|| format!("expected labels at {text:?}"))?.trim_start();
    let mut pairs = ResultLabels::new();
    loop {
        if let Some(tail) = rest.strip_prefix('}') {
            pairs.sort();
            return Ok((pairs, tail.trim_start()));
        }
        let (name, tail) = rest.split_once('=').ok_or_else(|| format!("no value at {rest:?}"))?;
        let (value, used) = unquote_prefix(tail)?;
        pairs.push((name.trim().to_owned(), value));
        rest = tail[used..].trim_start();
        rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
    }
}

// Printing.

/// An answer in the notation of the scripts.
fn print(value: &Value, base: Timestamp) -> String {
    let mut text = String::new();
    let time = |at: Timestamp| format_go_duration(at.0 - base.0);
    match value {
        Value::Scalar(sample) => {
            let _ = writeln!(text, "    scalar {}", sample.value);
        }
        Value::Vector(samples) => {
            for VectorSample { labels, sample } in samples {
                let _ = writeln!(text, "    {} {}", print_labels(labels), sample.value);
            }
        }
        Value::Matrix(series) => {
            for Series { labels, samples } in series {
                let _ = write!(text, "    {}", print_labels(labels));
                for sample in samples {
                    let _ = write!(text, " {}@{}", sample.value, time(sample.timestamp));
                }
                text.push('\n');
            }
        }
        Value::Streams(streams) => {
            for stream in streams {
                let _ = writeln!(text, "    {}", print_labels(&stream.labels));
                for entry in &stream.entries {
                    let _ = writeln!(text, "      {}", print_entry(entry, &time(entry.timestamp)));
                }
            }
        }
    }
    if text.is_empty() { "    nothing\n".to_owned() } else { text }
}

fn print_entry(entry: &ResultEntry, time: &str) -> String {
    let mut text = format!("{time} ");
    quote_into(&String::from_utf8_lossy(&entry.line), &mut text);
    for (category, pairs) in [("metadata", &entry.structured_metadata), ("parsed", &entry.parsed)] {
        if !pairs.is_empty() {
            let _ = write!(text, " {category} {}", print_labels(pairs));
        }
    }
    text
}

fn print_labels(labels: &ResultLabels) -> String {
    let pair = |(name, value): &(String, String)| {
        let mut text = format!("{name}=");
        quote_into(value, &mut text);
        text
    };
    format!("{{{}}}", labels.iter().map(pair).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers every query with a fixed value.
    struct Fixed {
        answer: Result<Value, String>,
        loaded: Streams,
    }

    impl Driver for Fixed {
        fn base(&self) -> Timestamp {
            Timestamp::from_seconds(86_400)
        }

        fn clear(&mut self) -> Result<(), String> {
            self.loaded.clear();
            Ok(())
        }

        fn load(&mut self, streams: &Streams) -> Result<(), String> {
            self.loaded.extend(streams.iter().cloned());
            Ok(())
        }

        fn evaluate(&mut self, _question: &Question) -> Result<Value, String> {
            self.answer.clone()
        }
    }

    fn fixed(answer: Result<Value, String>) -> Fixed {
        Fixed { answer, loaded: Streams::new() }
    }

    #[test]
    fn entries_are_loaded() {
        let script = "load\n  {a=\"b\"}\n    1s..3s/1s `n={{i}}` {k=\"v\"}\n    9s \"x\\n\"\n";
        let mut driver = fixed(Ok(Value::Vector(Vec::new())));
        run(script, &mut driver).unwrap();
        let entries = &driver.loaded[0].1;
        assert_eq!(entries.len(), 4);
        assert_eq!(&*entries[2].line, b"n=2");
        assert_eq!(entries[2].structured_metadata, [("k".into(), "v".into())]);
        assert_eq!(entries[3].timestamp, Timestamp::from_seconds(86_409));
    }

    #[test]
    fn answers_are_compared() {
        let timestamp = Timestamp::from_seconds(86_460);
        let sample = VectorSample {
            labels: vec![("a".into(), "b".into())],
            sample: Sample { timestamp, value: 2.0 },
        };
        let mut driver = fixed(Ok(Value::Vector(vec![sample])));
        run("eval instant at 60s q\n  {a=\"b\"} 2\n", &mut driver).unwrap();
        let fault = run("eval instant at 60s q\n  {a=\"b\"} 3\n", &mut driver).unwrap_err();
        assert!(fault.contains("line 1: q") && fault.contains("{a=\"b\"} 2"), "{fault}");
        assert!(run("eval instant at 60s q\n  empty\n", &mut driver).is_err());
        assert!(run("eval instant at 60s q\n  error x\n", &mut driver).is_err());
        let mut driver = fixed(Err("out of luck".into()));
        run("eval log from 0s to 1s forward limit 3 {a=\"b\"}\n  error of luck\n", &mut driver)
            .unwrap();
    }

    #[test]
    fn mistakes_in_scripts_are_told() {
        let mut driver = fixed(Err(String::new()));
        for script in [
            "frobnicate",
            "eval instant at 60 q\n  empty",
            "eval instant at 60s q",
            "eval range from 0s to 60s q\n  empty",
            "load\n  1s `x`",
            "eval instant at 60s q\n  {a=b} 1",
        ] {
            assert!(run(script, &mut driver).is_err(), "{script}");
        }
    }
}
