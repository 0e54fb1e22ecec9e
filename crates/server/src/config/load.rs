//! From a command line to a configuration that is checked and ready to serve.

use std::fs;
use std::path::Path;

use super::flags::{self, Actions};
use super::{Config, Problem, file};

/// What a command line asks for.
#[derive(Debug)]
pub enum Loaded {
    /// Serve with this configuration.
    Serve {
        /// Checked and complete.
        config: Box<Config>,
        /// Where it came from, for the log.
        source: String,
        /// Keys of Loki's that have no effect here.
        ignored: Vec<String>,
        /// Flags that steer the start.
        actions: Actions,
    },
    /// Ask a running process whether it is ready.
    Health {
        /// Where to ask.
        url: String,
    },
    /// Print to stdout and end successfully.
    Print(String),
    /// Print to stderr and end with this code.
    Fail {
        /// The text.
        text: String,
        /// The exit code.
        code: u8,
    },
}

/// Files that are looked for when no flag names one.
const DEFAULT_FILES: &str = "config.yaml,config/config.yaml";

/// Reads flags, file and environment. `lookup` answers environment variables; `version` is what
/// `-version` prints.
pub fn load(
    arguments: &[String],
    lookup: &dyn Fn(&str) -> Option<String>,
    version: &str,
) -> Loaded {
    let (actions, assignments) = match flags::parse(arguments) {
        Ok(parsed) => parsed,
        Err(problem) => return failure(&[problem], 2),
    };
    if actions.help {
        return Loaded::Fail { text: super::print::help(), code: 2 };
    }
    if actions.version {
        return Loaded::Print(version.to_owned());
    }
    if actions.list_targets {
        return Loaded::Print(crate::target::names().join("\n"));
    }
    if actions.health {
        let url = actions.health_url.unwrap_or_else(|| "http://localhost:3100/ready".to_owned());
        return Loaded::Health { url };
    }
    let (mut config, source, mut problems, ignored) = match read_file(&actions, lookup) {
        Ok(read) => read,
        Err(problem) => return failure(&[problem], 1),
    };
    problems.extend(flags::apply(&assignments, &mut config));
    if problems.is_empty() {
        problems.extend(config.validate());
    }
    if !problems.is_empty() {
        return failure(&problems, 1);
    }
    if actions.verify_config {
        let without_effect = match &ignored[..] {
            [] => String::new(),
            keys => format!("; without effect in sigyn: {}", keys.join(", ")),
        };
        return Loaded::Print(format!("config is valid ({source}){without_effect}"));
    }
    Loaded::Serve { config: Box::new(config), source, ignored, actions }
}

type Read = (Config, String, Vec<Problem>, Vec<String>);

fn read_file(actions: &Actions, lookup: &dyn Fn(&str) -> Option<String>) -> Result<Read, Problem> {
    let candidates = actions.config_file.as_deref().unwrap_or(DEFAULT_FILES);
    let found = candidates.split(',').map(str::trim).find(|path| Path::new(path).is_file());
    let Some(path) = found else {
        if actions.config_file.is_none() {
            let source = "built-in defaults".to_owned();
            return Ok((Config::embedded(), source, Vec::new(), Vec::new()));
        }
        let fault = format!("failed parsing config: {candidates} does not exist");
        return Err(Problem { key: "-config.file".to_owned(), fault });
    };
    let mut text = fs::read_to_string(path).map_err(|error| Problem {
        key: "-config.file".to_owned(),
        fault: format!("failed parsing config: read {path}: {error}"),
    })?;
    if actions.expand_env {
        text = file::expand(&text, lookup)?;
    }
    let mut config = Config::default();
    let findings = file::read(&text, &mut config);
    let problems = findings
        .problems
        .into_iter()
        .map(|problem| Problem { key: format!("{path}: {}", problem.key), ..problem })
        .collect();
    Ok((config, path.to_owned(), problems, findings.ignored))
}

fn failure(problems: &[Problem], code: u8) -> Loaded {
    let text = match problems {
        [problem] => format!("CONFIG ERROR: {problem}"),
        problems => {
            let lines: Vec<String> =
                problems.iter().map(|problem| format!("CONFIG ERROR: {problem}")).collect();
            format!("MULTIPLE CONFIG ERRORS FOUND, PLEASE READ CAREFULLY\n{}", lines.join("\n"))
        }
    };
    Loaded::Fail { text, code }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn run(line: &str) -> Loaded {
        load(&words(line), &|name| (name == "PORT").then(|| "4000".to_owned()), "sigyn 1")
    }

    fn with_file(text: &str, flags: &str) -> Loaded {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        run(&format!("-config.file={} {flags}", file.path().display()))
    }

    #[test]
    fn flags_win_over_the_file_and_variables_expand() {
        let text = "server: {http_listen_port: \"${PORT}\", log_level: warn}\n";
        let Loaded::Serve { config, .. } =
            with_file(text, "-config.expand-env -log.level=error -auth.enabled=false")
        else {
            panic!("a valid configuration serves");
        };
        assert_eq!(config.server.http_listen_port, 4000);
        assert_eq!(config.server.log_level, "error");
    }

    #[test]
    fn several_problems_are_listed_together() {
        let Loaded::Fail { text, code } = with_file("server: {x: 1}\nlimits_config: {y: 2}", "")
        else {
            panic!("unknown keys must not serve");
        };
        assert_eq!(code, 1);
        assert!(text.starts_with("MULTIPLE CONFIG ERRORS FOUND"), "{text}");
        assert!(text.contains("server.x") && text.contains("limits_config.y"), "{text}");
    }

    #[test]
    fn nothing_serves_without_a_file_that_was_named() {
        let Loaded::Fail { text, .. } = run("-config.file=/nowhere/x.yaml") else {
            panic!("a missing file must not serve");
        };
        assert!(text.contains("failed parsing config"), "{text}");
    }

    #[test]
    fn a_configuration_can_be_checked_only() {
        let loaded = with_file("auth_enabled: false", "-verify-config");
        assert!(matches!(loaded, Loaded::Print(text) if text.starts_with("config is valid")));
    }
}
