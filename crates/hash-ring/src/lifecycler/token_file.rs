//! The file that keeps an instance's tokens over a restart: `{"tokens":[1,2,3]}`.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use runtime::task;
use serde::{Deserialize, Serialize};

use crate::Error;

#[derive(Serialize, Deserialize)]
struct Tokens {
    tokens: Vec<u32>,
}

/// The tokens of a file, ascending, each once; `None` when there is no file.
pub(super) async fn read(path: PathBuf) -> Result<Option<Vec<u32>>, Error> {
    let shown = path.clone();
    let bytes = match task::run_blocking(move || fs::read(path)).await {
        Ok(Err(error)) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Ok(read) => read.map_err(|error| failed(&shown, &error))?,
        Err(panicked) => return Err(failed(&shown, &panicked)),
    };
    let Tokens { mut tokens } =
        serde_json::from_slice(&bytes).map_err(|error| failed(&shown, &error))?;
    tokens.sort_unstable();
    tokens.dedup();
    Ok(Some(tokens))
}

/// Replaces the file as a whole: after a crash it holds the old tokens or the new ones.
pub(super) async fn write(path: PathBuf, tokens: Vec<u32>) -> Result<(), Error> {
    let shown = path.clone();
    let replaced = task::run_blocking(move || replace(&path, &Tokens { tokens })).await;
    match replaced {
        Ok(replaced) => replaced.map_err(|error| failed(&shown, &error)),
        Err(panicked) => Err(failed(&shown, &panicked)),
    }
}

/// Removes the file, if there is one.
pub(super) async fn remove(path: PathBuf) -> Result<(), Error> {
    let shown = path.clone();
    match task::run_blocking(move || fs::remove_file(path)).await {
        Ok(Err(error)) if error.kind() != ErrorKind::NotFound => Err(failed(&shown, &error)),
        Ok(_) => Ok(()),
        Err(panicked) => Err(failed(&shown, &panicked)),
    }
}

fn replace(path: &Path, tokens: &Tokens) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    let mut file = File::create(&new)?;
    file.write_all(&serde_json::to_vec(tokens)?)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    File::open(folder)?.sync_all()
}

fn failed(path: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::TokenFile { path: path.display().to_string(), message: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tokens_survive_and_damage_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/tokens.json");
        assert_eq!(read(path.clone()).await.unwrap(), None);
        write(path.clone(), vec![3, 1]).await.unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), r#"{"tokens":[3,1]}"#);
        assert_eq!(read(path.clone()).await.unwrap(), Some(vec![1, 3]));
        write(path.clone(), vec![7]).await.unwrap();
        assert_eq!(read(path.clone()).await.unwrap(), Some(vec![7]));
        remove(path.clone()).await.unwrap();
        remove(path.clone()).await.unwrap();
        assert_eq!(read(path.clone()).await.unwrap(), None);
        fs::write(&path, "{").unwrap();
        assert!(matches!(read(path).await, Err(Error::TokenFile { .. })));
    }
}
