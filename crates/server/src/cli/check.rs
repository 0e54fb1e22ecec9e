//! `sigyn check`: every stored byte, verified.

mod pruning;

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;

use super::Failure;
use super::query::print_line;
use pruning::Pruning;

/// Questions that `--pruning` asks of each segment.
const QUESTIONS: usize = 50;
/// Blocks that `--pruning` scans for each question.
const BLOCKS: usize = 4;

/// The extension of segments.
const SEGMENT: &str = "seg";
/// The extension of delete requests.
const REQUEST: &str = "del";

/// Verify every checksum, count and order of the segments below a folder, and its delete requests
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  sigyn check ./data/chunks
  sigyn check --pruning --questions 200 ./data/chunks")]
pub struct Check {
    /// Folder that holds segments, or one segment's file
    path: PathBuf,
    /// Name every segment, not only the damaged ones
    #[arg(long, short)]
    verbose: bool,
    /// Instead ask each segment's index for parts of its own rows, and scan blocks that it rules
    /// out
    #[arg(long)]
    pruning: bool,
    /// Questions for each segment with --pruning
    #[arg(long, default_value_t = QUESTIONS)]
    questions: usize,
    /// Blocks to scan for each question with --pruning
    #[arg(long, default_value_t = BLOCKS)]
    blocks: usize,
    /// Other numbers ask other questions with --pruning
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

impl Check {
    /// Verifies and prints a line per damaged segment and a summary.
    ///
    /// # Errors
    ///
    /// [`Failure`] when a segment is damaged or cannot be read.
    pub fn run(self) -> Result<(), Failure> {
        let mut paths = Vec::new();
        collect(&self.path, &mut paths)?;
        paths.sort();
        if paths.is_empty() && self.path.is_file() {
            let path = self.path.display();
            return Err(Failure::Told(format!(
                "{path} is neither a segment (.{SEGMENT}) nor a delete request (.{REQUEST})"
            )));
        }
        let (requests, segments): (Vec<PathBuf>, Vec<PathBuf>) =
            paths.into_iter().partition(|path| has_extension(path, REQUEST));
        if self.pruning {
            return self.check_pruning(&segments);
        }
        let (mut damaged, mut rows, mut bytes) = (0usize, 0u64, 0u64);
        for path in &requests {
            damaged += usize::from(!is_request(path)?);
        }
        for path in &segments {
            let content = read(path)?;
            bytes += content.len() as u64;
            match segment::verify(&content) {
                Ok(report) => {
                    rows += report.rows;
                    if self.verbose {
                        print_line(&format!("ok {} rows {}", path.display(), report.rows))?;
                    }
                }
                Err(error) => {
                    damaged += 1;
                    print_line(&format!("DAMAGED {}: {error}", path.display()))?;
                }
            }
        }
        print_line(&format!("{} segments, {rows} rows, {bytes} bytes", segments.len()))?;
        if !requests.is_empty() {
            print_line(&format!("{} delete requests", requests.len()))?;
        }
        if damaged > 0 {
            return Err(Failure::Told(format!("{damaged} objects are damaged")));
        }
        Ok(())
    }

    fn check_pruning(&self, paths: &[PathBuf]) -> Result<(), Failure> {
        let mut pruning = Pruning::new(self.questions, self.blocks, self.seed);
        let mut unread = 0usize;
        for path in paths {
            let content = read(path)?;
            let mut misses = Vec::new();
            if let Err(error) = pruning.ask(&content, |miss| misses.push(miss)) {
                unread += 1;
                print_line(&format!("DAMAGED {}: {error}", path.display()))?;
            }
            for miss in misses {
                print_line(&format!("MISSED {} {miss}", path.display()))?;
            }
            if self.verbose {
                print_line(&format!("asked {}", path.display()))?;
            }
        }
        let found = &pruning.found;
        print_line(&format!(
            "{} segments, {} questions, {} of {} blocks ruled out, {} of them scanned, {} missed",
            paths.len(),
            found.questions,
            found.excluded,
            found.blocks,
            found.scanned,
            found.missed
        ))?;
        match (found.missed, unread) {
            (0, 0) => Ok(()),
            (0, unread) => Err(Failure::Told(format!("{unread} segments are damaged"))),
            (missed, _) => Err(Failure::Told(format!("{missed} blocks hold what was ruled out"))),
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|error| Failure::new(&format!("read {}", path.display()), error))
}

/// Whether a delete request reads and its query is understood; tells if not.
fn is_request(path: &Path) -> Result<bool, Failure> {
    let content = read(path)?;
    let fault = match store::decode_delete_request(&content) {
        None => "not a delete request of a known version".to_owned(),
        Some(request) => match logql::Removal::parse(&request.query, request.range()) {
            Ok(_) => return Ok(true),
            Err(error) => error.to_string(),
        },
    };
    print_line(&format!("DAMAGED {}: {fault}", path.display()))?;
    Ok(false)
}

fn has_extension(path: &Path, wanted: &str) -> bool {
    path.extension().is_some_and(|extension| extension == wanted)
}

fn collect(path: &Path, found: &mut Vec<PathBuf>) -> Result<(), Failure> {
    if path.is_file() {
        if has_extension(path, SEGMENT) || has_extension(path, REQUEST) {
            found.push(path.to_path_buf());
        }
        return Ok(());
    }
    let entries = fs::read_dir(path)
        .map_err(|error| Failure::new(&format!("read {}", path.display()), error))?;
    for entry in entries {
        let entry = entry.map_err(|error| Failure::new("read a folder", error))?;
        collect(&entry.path(), found)?;
    }
    Ok(())
}
