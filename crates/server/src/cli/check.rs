//! `sigyn check`: every stored byte, verified.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;

use super::Failure;
use super::query::print_line;

/// The extension of segments.
const SEGMENT: &str = "seg";
/// The extension of delete requests.
const REQUEST: &str = "del";

/// Verify every checksum, count and order of the segments below a folder, and its delete requests
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  sigyn check ./data/chunks")]
pub struct Check {
    /// Folder that holds segments, or one segment's file
    path: PathBuf,
    /// Name every segment, not only the damaged ones
    #[arg(long, short)]
    verbose: bool,
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
        let (mut damaged, mut rows, mut bytes) = (0usize, 0u64, 0u64);
        let (requests, segments): (Vec<PathBuf>, Vec<PathBuf>) =
            paths.into_iter().partition(|path| has_extension(path, REQUEST));
        for path in &requests {
            damaged += usize::from(!is_request(path)?);
        }
        for path in &segments {
            let content = fs::read(path)
                .map_err(|error| Failure::new(&format!("read {}", path.display()), error))?;
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
            return Err(Failure(format!("{damaged} objects are damaged")));
        }
        Ok(())
    }
}

/// Whether a delete request reads and its query is understood; tells if not.
fn is_request(path: &Path) -> Result<bool, Failure> {
    let content =
        fs::read(path).map_err(|error| Failure::new(&format!("read {}", path.display()), error))?;
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
