//! The tables of house rules and what compares them with the tree.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// Which workspace crates a crate may use. A new edge is a change of the architecture.
pub const IMPORTS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("api", &["model"]),
    ("runtime", &["model"]),
    ("hash-ring", &["model", "runtime"]),
    ("segment", &["model"]),
    ("logql", &["model"]),
    ("distributor", &["model", "api", "runtime", "hash-ring"]),
    ("store", &["model", "runtime", "segment"]),
    ("ingester", &["model", "api", "runtime", "segment", "store", "logql"]),
    ("querier", &["model", "runtime", "segment", "store", "logql"]),
    ("compactor", &["model", "runtime", "segment", "store", "logql"]),
    ("frontend", &["model", "runtime", "logql"]),
    ("rpc", &["model", "api", "runtime", "logql"]),
    ("bench", &["model", "runtime"]),
    (
        "server",
        &[
            "model",
            "api",
            "runtime",
            "hash-ring",
            "distributor",
            "segment",
            "ingester",
            "store",
            "logql",
            "querier",
            "frontend",
            "compactor",
            "rpc",
            "bench",
        ],
    ),
    ("system", &["model", "api", "runtime", "store", "logql"]),
    (
        "simulation",
        &[
            "model",
            "api",
            "runtime",
            "hash-ring",
            "distributor",
            "segment",
            "ingester",
            "store",
            "logql",
        ],
    ),
    ("xtask", &[]),
];

/// Crates that must compile without tokio: bytes, language and messages.
pub const PURE: &[&str] = &["model", "api", "segment", "logql"];

/// Lines a source file may have before it is becoming the place where everything happens.
pub const FILE_LINES_MAX: usize = 1000;

/// Files above [`FILE_LINES_MAX`] with the reason; the list may only shrink.
pub const LONG_FILES: &[(&str, &str)] = &[];

/// Names that say nothing about what a thing is.
pub const BANNED_NAMES: &[&str] = &["util", "utils", "helper", "helpers", "common", "misc", "mod"];

/// The folder of the workspace: where cargo runs this, because what was built may have moved with its
/// sources.
#[must_use]
pub fn root() -> PathBuf {
    let own =
        env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&own).parent().map(Path::to_path_buf).unwrap_or_default()
}

/// Every source file below `folder`, with its path relative to the workspace.
#[must_use]
pub fn sources(folder: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    collect(&root(), &root().join(folder), &mut found);
    found
}

fn collect(root: &Path, folder: &Path, found: &mut BTreeMap<String, String>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
        if path.is_dir() {
            collect(root, &path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            found.insert(name, fs::read_to_string(&path).unwrap_or_default());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::process::Command;

    use serde_json::Value;

    use super::*;

    fn metadata() -> Value {
        // Crates of other platforms need not have been downloaded.
        let host = Command::new("rustc").arg("-vV").output().unwrap();
        let host = String::from_utf8_lossy(&host.stdout).into_owned();
        let host = host.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
        let output = Command::new(env!("CARGO"))
            .args(["metadata", "--format-version=1", "--offline", "--filter-platform", host])
            .current_dir(root())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn workspace_packages(metadata: &Value) -> Vec<&Value> {
        let packages = metadata["packages"].as_array().unwrap();
        packages.iter().filter(|package| package["source"].is_null()).collect()
    }

    #[test]
    fn imports_point_down() {
        let metadata = metadata();
        let packages = workspace_packages(&metadata);
        let names: BTreeSet<&str> =
            packages.iter().map(|package| package["name"].as_str().unwrap()).collect();
        for package in &packages {
            let name = package["name"].as_str().unwrap();
            let allowed = IMPORTS.iter().find(|(crate_name, _)| *crate_name == name);
            let allowed = allowed.unwrap_or_else(|| panic!("{name} is missing from IMPORTS")).1;
            for dependency in package["dependencies"].as_array().unwrap() {
                let used = dependency["name"].as_str().unwrap();
                let is_normal = dependency["kind"].is_null();
                assert!(
                    !is_normal || !names.contains(used) || allowed.contains(&used),
                    "{name} must not use {used}"
                );
                assert!(
                    !is_normal || used != "tokio" || !PURE.contains(&name),
                    "{name} is pure and must not use tokio"
                );
            }
        }
    }

    #[test]
    fn licences_are_permissive() {
        let allowed = [
            "Apache-2.0",
            "MIT",
            "BSD-2-Clause",
            "BSD-3-Clause",
            "ISC",
            "Zlib",
            "Unicode-3.0",
            "CC0-1.0",
            "MIT-0",
            "BSL-1.0",
            "0BSD",
            "Unlicense",
            "CDLA-Permissive-2.0",
            "Apache-2.0 WITH LLVM-exception",
        ];
        let metadata = metadata();
        for package in metadata["packages"].as_array().unwrap() {
            let licence = package["license"].as_str().unwrap_or("");
            // "MIT/Apache-2.0" is the old way to write OR.
            let text = licence.replace('/', " OR ").replace(['(', ')'], "");
            let is_permitted = text
                .split(" OR ")
                .any(|choice| choice.split(" AND ").all(|part| allowed.contains(&part.trim())))
                || text
                    .split(" AND ")
                    .all(|part| part.split(" OR ").any(|choice| allowed.contains(&choice.trim())));
            assert!(is_permitted, "{} has licence {licence:?}", package["name"]);
        }
    }

    #[test]
    fn no_file_does_everything() {
        for (name, text) in sources("crates").into_iter().chain(sources("tests")) {
            let lines = text.lines().count();
            let is_listed = LONG_FILES.iter().any(|(listed, _)| *listed == name);
            assert!(lines <= FILE_LINES_MAX || is_listed, "{name} has {lines} lines");
        }
        for (name, _) in LONG_FILES {
            let lines = sources("crates").get(*name).map_or(0, |text| text.lines().count());
            assert!(lines > FILE_LINES_MAX, "{name} no longer needs its exception");
        }
    }

    #[test]
    fn names_say_what_things_are() {
        for name in sources("crates").keys() {
            let stem = Path::new(name).file_stem().unwrap().to_string_lossy().into_owned();
            assert!(!BANNED_NAMES.contains(&stem.as_str()), "{name}: name the concept");
        }
    }

    #[test]
    fn every_module_says_what_it_is_for() {
        for (name, text) in sources("crates") {
            let is_source = name.contains("/src/") && !name.ends_with("tests.rs");
            assert!(!is_source || text.starts_with("//!"), "{name} begins without a purpose");
        }
    }

    #[test]
    fn no_leftovers() {
        let marks = ["todo!(", "unimplemented!(", "#[ignore", "FIXME", "XXX", "dbg!("];
        let files = sources("crates").into_iter().chain(sources("tests"));
        for (name, text) in files {
            for mark in marks {
                assert!(!text.contains(mark), "{name} holds {mark}");
            }
        }
    }

    #[test]
    fn the_tree_names_no_machine() {
        let output = Command::new("git").args(["ls-files"]).current_dir(root()).output().unwrap();
        let listed = String::from_utf8_lossy(&output.stdout).into_owned();
        // Spelled in two parts, so that this file does not name them itself.
        let marks = [["/wo", "rk/"].concat(), ["/ro", "ot/"].concat(), ["/far", "m/"].concat()];
        for name in listed.lines() {
            let Ok(text) = fs::read_to_string(root().join(name)) else { continue };
            for mark in &marks {
                assert!(!text.contains(mark.as_str()), "{name} names a path of a machine: {mark}");
            }
        }
    }

    #[test]
    fn every_crate_stands_in_the_map() {
        let map = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
        for (name, _) in IMPORTS {
            let name = if *name == "system" { "tests" } else { name };
            assert!(map.contains(&format!("`{name}`")), "{name} is missing from ARCHITECTURE.md");
        }
    }
}
