//! `sigyn check`: every stored byte, verified.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;

use super::Failure;
use super::query::print_line;

/// Verify every checksum, count and order of the segments below a folder
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
        for path in &paths {
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
        print_line(&format!("{} segments, {rows} rows, {bytes} bytes", paths.len()))?;
        if damaged > 0 {
            return Err(Failure(format!("{damaged} segments are damaged")));
        }
        Ok(())
    }
}

fn collect(path: &Path, found: &mut Vec<PathBuf>) -> Result<(), Failure> {
    if path.is_file() {
        if path.extension().is_some_and(|extension| extension == "seg") {
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
