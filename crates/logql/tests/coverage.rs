//! The language reference `docs/logql.md`: made of tables here and of what the scripts use, and
//! proof that the scripts use everything there is.

// In a test a panic is a finding.
#![allow(clippy::unwrap_used)]

#[path = "coverage/features.rs"]
mod features;
#[path = "coverage/rows.rs"]
mod rows;
#[path = "../../../tests/src/script.rs"]
mod script;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use logql::syntax::ast::{RangeOp, VectorOp};
use model::Direction;
use script::QuestionKind;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// How often each script uses a feature, by its key.
type Uses = BTreeMap<String, BTreeMap<String, usize>>;

/// Examples that a row names.
const EXAMPLES_MAX: usize = 3;

fn uses() -> Uses {
    let mut uses = Uses::new();
    for file in fs::read_dir(root().join("tests/logql")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "test") {
            continue;
        }
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        for asked in script::questions(&fs::read_to_string(&path).unwrap()).unwrap() {
            let mut found = kind(&asked.question.kind);
            if asked.error.is_none()
                && let Ok(expr) = logql::parse(&asked.question.query)
            {
                found.extend(features::of(&expr));
            }
            for feature in found {
                *uses.entry(feature).or_default().entry(name.clone()).or_default() += 1;
            }
        }
    }
    uses
}

fn kind(kind: &QuestionKind) -> features::Features {
    let mut found = features::Features::new();
    let mut add = |name: &str| {
        found.insert(format!("answer {name}"));
    };
    match kind {
        QuestionKind::Instant { .. } => add("instant"),
        QuestionKind::Range { .. } => add("range"),
        QuestionKind::Log { direction, limit, interval_ns, categorize, .. } => {
            add(match direction {
                Direction::Backward => "log, backward",
                Direction::Forward => "log, forward",
            });
            if *limit != 100 {
                add("limit");
            }
            if *interval_ns != 0 {
                add("interval");
            }
            if *categorize {
                add("categorize");
            }
        }
    }
    found
}

/// The scripts that use a feature most.
fn examples(uses: Option<&BTreeMap<String, usize>>) -> String {
    let mut scripts: Vec<(&String, &usize)> = uses.into_iter().flatten().collect();
    scripts.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let links = scripts.iter().take(EXAMPLES_MAX);
    let links = links.map(|(name, _)| format!("[{name}](../tests/logql/{name}.test)"));
    links.collect::<Vec<_>>().join(", ")
}

fn page(uses: &Uses) -> String {
    let mut page = String::from(
        "# LogQL\n\nGenerated from the tables of `crates/logql/tests/coverage/` and from the \
         scripts in `tests/logql/`, which hold examples with their answers. What Loki does that \
         one would not expect is in [quirks.md](quirks.md).\n",
    );
    for table in rows::TABLES {
        let _ = write!(page, "\n## {}\n\n", table.title);
        if !table.about.is_empty() {
            let _ = write!(page, "{}\n\n", table.about);
        }
        page.push_str("| | | examples |\n|---|---|---|\n");
        for (name, what) in table.rows {
            let links = examples(uses.get(&format!("{} {name}", table.group)));
            let cell = |text: &str| text.replace('|', "\\|");
            let _ = writeln!(page, "| `{}` | {} | {} |", cell(name), cell(what), links);
        }
    }
    page
}

#[test]
fn scripts_cover_the_language() {
    let uses = uses();
    let keys: BTreeSet<String> = rows::TABLES
        .iter()
        .flat_map(|table| table.rows.iter().map(|(name, _)| format!("{} {name}", table.group)))
        .collect();
    let unknown: Vec<_> = uses.keys().filter(|key| !keys.contains(*key)).collect();
    assert!(unknown.is_empty(), "used by scripts, but no row of the reference: {unknown:?}");
    let unused: Vec<_> = keys.iter().filter(|key| !uses.contains_key(*key)).collect();
    assert!(unused.is_empty(), "used by no script: {unused:?}");
    let operations = RangeOp::ALL.map(|op| format!("range {}", op.as_str())).into_iter();
    let operations = operations.chain(VectorOp::ALL.map(|op| format!("vector {}", op.as_str())));
    let functions = logql::pipeline::template_functions().map(|name| format!("template {name}"));
    for key in operations.chain(functions) {
        assert!(keys.contains(&key), "the reference has no row for {key}");
    }
}

#[test]
#[allow(clippy::disallowed_methods, reason = "the person who runs the tests asks for an update")]
fn the_reference_is_fresh() {
    let path = root().join("docs/logql.md");
    let expected = page(&uses());
    if std::env::var("UPDATE_DOCS").is_ok() {
        fs::write(&path, &expected).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == expected, "docs/logql.md is stale: run the tests once with UPDATE_DOCS=1");
}
