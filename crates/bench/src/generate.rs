//! The test data on disk: lines for the yardsticks, push bodies for the server.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use model::Timestamp;

use crate::error::Error;
use crate::lines::{App, Dice};
use crate::protobuf::StreamBody;

/// Line bytes in one push.
const PUSH_BYTES: usize = 1_000_000;
/// About the mean length of a line: between two of them time varies by what such a line stands for.
const LINE_BYTES: u64 = 135;

/// What to make.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Bytes of lines, newlines included.
    pub bytes: u64,
    /// Streams per application.
    pub pods: u64,
    /// First time.
    pub start: Timestamp,
    /// Span over which the lines are spread, in seconds.
    pub span_seconds: u64,
    /// From what everything follows.
    pub seed: u64,
    /// Whether the words that stand in one line only are in it.
    pub has_needle: bool,
}

/// What was made.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// The lines, one after the other.
    pub lines_path: PathBuf,
    /// Push bodies, each behind its length (u32, little endian).
    pub pushes_path: PathBuf,
    /// How many lines.
    pub lines: u64,
    /// Their bytes, newlines included.
    pub bytes: u64,
    /// A word that stands in exactly one line, in the middle.
    pub needle: &'static str,
}

/// The word that stands in one line only.
const NEEDLE: &str = "needle-3f9a1c77e2b84d60";
/// An identifier that stands in one line of an app that writes such identifiers.
const BLOCK: &str = "blk_7128370237687728475";
/// What such apps are called.
const BLOCK_APPS: [&str; 2] = ["storage-node", "hdfs"];

/// Writes lines and push bodies below `folder`.
///
/// # Errors
///
/// [`Error::File`] when the folder cannot be written.
pub fn generate(
    shape: Shape,
    apps: &mut [App],
    folder: &Path,
    name: &str,
) -> Result<Dataset, Error> {
    let lines_path = folder.join(format!("{name}.lines"));
    let pushes_path = folder.join(format!("{name}.push"));
    let create = |path: &Path| {
        let file = File::create(path).map_err(Error::file("create", path))?;
        Ok::<_, Error>(BufWriter::with_capacity(1 << 20, file))
    };
    let mut writer = Writer {
        lines: create(&lines_path)?,
        pushes: create(&pushes_path)?,
        streams: (0..apps.len() as u64 * shape.pods).map(|_| StreamBody::default()).collect(),
        pods: shape.pods,
        pending: 0,
    };
    let failed = Error::file("write", folder);
    let (lines, bytes) = fill(shape, apps, &mut writer).map_err(failed)?;
    Ok(Dataset { lines_path, pushes_path, lines, bytes, needle: NEEDLE })
}

struct Writer {
    lines: BufWriter<File>,
    pushes: BufWriter<File>,
    streams: Vec<StreamBody>,
    pods: u64,
    pending: usize,
}

fn fill(shape: Shape, apps: &mut [App], writer: &mut Writer) -> std::io::Result<(u64, u64)> {
    let mut dice = Dice::new(shape.seed);
    let span_ns = shape.span_seconds * 1_000_000_000;
    let step = span_ns / (shape.bytes / LINE_BYTES).max(1);
    let last = Timestamp(shape.start.0.saturating_add_unsigned(span_ns - 1));
    let mut at = shape.start;
    let (mut lines, mut bytes, mut line) = (0, 0, String::new());
    let (mut has_needle, mut has_block) = (!shape.has_needle, !shape.has_needle);
    while bytes < shape.bytes {
        let app = dice.below(apps.len() as u64);
        let stream = app * shape.pods + dice.skewed(shape.pods);
        // A process writes in bursts.
        for _ in 0..=dice.below(12) {
            // As far in the span as in the bytes, whatever the lines are: the data fills the span.
            let due = u128::from(span_ns) * u128::from(bytes) / u128::from(shape.bytes.max(1));
            let due = u64::try_from(due).unwrap_or(span_ns) + dice.below(step.max(1));
            at = Timestamp(shape.start.0.saturating_add_unsigned(due)).max(at).min(last);
            apps[index(app)].line(at, &mut dice, &mut line);
            if !has_needle && bytes >= shape.bytes / 2 {
                has_needle = true;
                line.push(' ');
                line.push_str(NEEDLE);
            }
            if !has_block
                && bytes >= shape.bytes / 3
                && BLOCK_APPS.contains(&apps[index(app)].name.as_str())
            {
                has_block = true;
                line.push(' ');
                line.push_str(BLOCK);
            }
            let trace =
                (dice.below(10) == 0).then(|| format!("{:016x}{:016x}", dice.next(), dice.next()));
            writer.line(stream, at, &line, trace.as_deref())?;
            bytes += line.len() as u64 + 1;
            lines += 1;
        }
        if writer.pending >= PUSH_BYTES {
            writer.push(apps)?;
        }
    }
    writer.push(apps)?;
    writer.lines.flush()?;
    writer.pushes.flush()?;
    Ok((lines, bytes))
}

fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

impl Writer {
    fn line(
        &mut self,
        stream: u64,
        at: Timestamp,
        line: &str,
        trace: Option<&str>,
    ) -> std::io::Result<()> {
        self.lines.write_all(line.as_bytes())?;
        self.lines.write_all(b"\n")?;
        self.streams[index(stream)].push(at.0, line.as_bytes(), trace);
        self.pending += line.len();
        Ok(())
    }

    fn push(&mut self, apps: &[App]) -> std::io::Result<()> {
        let mut request = Vec::with_capacity(self.pending + self.pending / 4);
        for (number, stream) in self.streams.iter_mut().enumerate() {
            if stream.is_empty() {
                continue;
            }
            let number = number as u64;
            let app = &apps[index(number / self.pods)].name;
            let labels = format!(
                "{{app=\"{app}\", cluster=\"c{}\", namespace=\"ns-{}\", pod=\"{app}-{number}\"}}",
                number % self.pods % 3,
                app.len() % 5,
            );
            stream.take(&labels, &mut request);
        }
        self.pending = 0;
        if request.is_empty() {
            return Ok(());
        }
        let body =
            snap::raw::Encoder::new().compress_vec(&request).map_err(std::io::Error::other)?;
        let length = u32::try_from(body.len()).map_err(std::io::Error::other)?;
        self.pushes.write_all(&length.to_le_bytes())?;
        self.pushes.write_all(&body)
    }
}

/// The push bodies of a data set.
///
/// # Errors
///
/// [`Error::File`] when the file cannot be read.
pub fn bodies(dataset: &Dataset) -> Result<Vec<Vec<u8>>, Error> {
    let path = &dataset.pushes_path;
    let mut file = File::open(path).map_err(Error::file("open", path))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(Error::file("read", path))?;
    let mut bodies = Vec::new();
    let mut rest = bytes.as_slice();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = index(u64::from(u32::from_le_bytes(*length))).min(after.len());
        bodies.push(after[..length].to_vec());
        rest = &after[length..];
    }
    Ok(bodies)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lines;

    #[test]
    fn lines_fill_the_span_and_hold_what_is_asked_for_once() {
        let folder = tempfile::tempdir().unwrap();
        let start = Timestamp::from_seconds(1_795_046_400);
        let shape = Shape {
            bytes: 2_000_000,
            pods: 3,
            start,
            span_seconds: 86_400,
            seed: 7,
            has_needle: true,
        };
        let dataset = generate(shape, &mut lines::built_in(), folder.path(), "mix").unwrap();
        let text = std::fs::read_to_string(&dataset.lines_path).unwrap();
        assert_eq!(
            (text.len() as u64, text.lines().count() as u64),
            (dataset.bytes, dataset.lines)
        );
        assert_eq!((text.matches(NEEDLE).count(), text.matches(BLOCK).count()), (1, 1));
        let first = text.lines().find(|line| line.contains("\"time\"")).unwrap();
        let last = text.lines().rev().find(|line| line.contains("\"time\"")).unwrap();
        assert!(first.contains("2026-11-19T00:0"), "{first}");
        assert!(last.contains("2026-11-19T23:5"), "{last}");
        assert!(bodies(&dataset).unwrap().len() >= 2);
    }
}
