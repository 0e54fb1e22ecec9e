//! Flags in Go's notation: `-name=value`, `--name value`, and bare names for booleans.

use serde_json::Value;

use super::key::{self, Key};
use super::limits::{self, TenantLimits};
use super::{Config, Problem, file};

/// Flags that steer the program instead of setting a key.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Actions {
    /// `-config.file`: comma-separated candidates, the first that exists is read.
    pub config_file: Option<String>,
    /// `-config.expand-env`
    pub expand_env: bool,
    /// `-verify-config`
    pub verify_config: bool,
    /// `-print-config-stderr`
    pub print_config_stderr: bool,
    /// `-log-config-reverse-order`
    pub log_config: bool,
    /// `-list-targets`
    pub list_targets: bool,
    /// `-version`
    pub version: bool,
    /// `-help`
    pub help: bool,
    /// `-health`
    pub health: bool,
    /// `-health.url`
    pub health_url: Option<String>,
}

/// The steering flags with their meaning, for `-help`.
pub const ACTIONS: &[(&str, &str)] = &[
    ("config.file", "Configuration file; of a comma-separated list the first that exists is read."),
    (
        "config.expand-env",
        "Replace ${NAME} and ${NAME:-default} in the file by environment variables.",
    ),
    ("verify-config", "Check the configuration and exit."),
    ("print-config-stderr", "Print the configuration in force to stderr at start."),
    ("log-config-reverse-order", "Log the configuration in force at start, last line first."),
    ("list-targets", "List the values of -target and exit."),
    ("version", "Print the version and exit."),
    ("help", "Print this text and exit."),
    ("health", "Ask a running process whether it is ready; exit 0 if so, else 1."),
    ("health.url", "Where -health asks; http://localhost:3100/ready by default."),
];

/// Flags of Loki's that are accepted without effect.
const IGNORED: &[&str] = &["config.ballast-bytes", "metrics-namespace"];

/// A flag that sets a key, with its text.
#[derive(Debug, Clone, PartialEq)]
pub struct Assignment {
    /// The flag's name without dashes.
    pub flag: String,
    /// Its value.
    pub value: String,
}

/// Reads a command line into steering flags and assignments.
///
/// # Errors
///
/// A [`Problem`] naming the argument that is no flag, is unknown, or lacks its value.
pub fn parse(arguments: &[String]) -> Result<(Actions, Vec<Assignment>), Problem> {
    let mut actions = Actions::default();
    let mut assignments = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let name = argument
            .strip_prefix("--")
            .or_else(|| argument.strip_prefix('-'))
            .filter(|name| !name.is_empty())
            .ok_or_else(|| {
                Problem::new(argument, "expected a flag such as -config.file=sigyn.yaml")
            })?;
        let (name, value) = match name.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (name, None),
        };
        if let Some(switch) = actions.switch(name) {
            *switch = value.as_deref().is_none_or(|value| matches!(value, "true" | "1" | "t"));
            continue;
        }
        let is_boolean = shape(name).is_some_and(|shape| shape == "boolean");
        let mut text = || {
            value
                .clone()
                .or_else(|| if is_boolean { Some("true".to_owned()) } else { rest.next().cloned() })
        };
        let missing = || Problem::new(format!("-{name}"), "needs a value: -name=value");
        match name {
            "config.file" => actions.config_file = Some(text().ok_or_else(missing)?),
            "health.url" => actions.health_url = Some(text().ok_or_else(missing)?),
            _ if IGNORED.contains(&name) => {
                text();
            }
            _ if shape(name).is_some() => {
                let value = text().ok_or_else(missing)?;
                assignments.push(Assignment { flag: name.to_owned(), value });
            }
            _ => return Err(unknown(name)),
        }
    }
    Ok((actions, assignments))
}

impl Actions {
    fn switch(&mut self, name: &str) -> Option<&mut bool> {
        Some(match name {
            "config.expand-env" => &mut self.expand_env,
            "verify-config" => &mut self.verify_config,
            "print-config-stderr" => &mut self.print_config_stderr,
            "log-config-reverse-order" => &mut self.log_config,
            "list-targets" => &mut self.list_targets,
            "version" => &mut self.version,
            "help" | "h" => &mut self.help,
            "health" => &mut self.health,
            _ => return None,
        })
    }
}

/// Puts the values of flags into a configuration, in order.
pub fn apply(assignments: &[Assignment], config: &mut Config) -> Vec<Problem> {
    let mut problems = Vec::new();
    for Assignment { flag, value } in assignments {
        let value = Value::String(value.clone());
        let outcome = match (row(flag), limit_row(flag)) {
            (Some(row), _) => (row.set)(config, &value),
            (None, Some(row)) => (row.set)(&mut config.limits, &value),
            (None, None) => Err("no such flag".to_owned()),
        };
        problems.extend(outcome.err().map(|fault| Problem::new(format!("-{flag}"), fault)));
    }
    problems
}

fn row(flag: &str) -> Option<&'static Key<Config>> {
    key::all().find(|row| row.flag == flag)
}

fn limit_row(flag: &str) -> Option<&'static Key<TenantLimits>> {
    limits::KEYS.iter().find(|row| row.flag == flag)
}

fn shape(flag: &str) -> Option<&'static str> {
    if flag.is_empty() {
        return None;
    }
    row(flag).map(|row| row.shape).or_else(|| limit_row(flag).map(|row| row.shape))
}

fn unknown(name: &str) -> Problem {
    let flags = key::all()
        .map(|row| row.flag)
        .chain(limits::KEYS.iter().map(|row| row.flag))
        .chain(ACTIONS.iter().map(|(flag, _)| *flag));
    let near = flags
        .filter(|flag| !flag.is_empty())
        .map(|flag| (file::distance(flag, name), flag))
        .filter(|(distance, _)| *distance <= 3)
        .min();
    let fault = match near {
        Some((_, flag)) => format!("no such flag; did you mean -{flag}?"),
        None => "no such flag; `sigyn -help` lists them all".to_owned(),
    };
    Problem::new(format!("-{name}"), fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn one_dash_or_two_and_both_ways_to_give_a_value() {
        let line = "-config.file=x.yaml --target all -auth.enabled=false --log.level=debug";
        let (actions, assignments) = parse(&words(line)).unwrap();
        assert_eq!(actions.config_file.as_deref(), Some("x.yaml"));
        let mut config = Config::default();
        assert_eq!(apply(&assignments, &mut config), []);
        assert!(!config.auth_enabled);
        assert_eq!(config.server.log_level, "debug");
        assert_eq!(config.target, ["all"]);
    }

    #[test]
    fn booleans_need_no_value() {
        let (actions, assignments) =
            parse(&words("-auth.enabled -config.expand-env -help")).unwrap();
        assert!(actions.expand_env && actions.help);
        assert_eq!(assignments.len(), 1);
    }

    #[test]
    fn mistakes_name_the_flag_and_the_fix() {
        let error = |line: &str| parse(&words(line)).unwrap_err().to_string();
        assert_eq!(error("-targt=all"), "-targt: no such flag; did you mean -target?");
        assert_eq!(error("serve"), "serve: expected a flag such as -config.file=sigyn.yaml");
        assert_eq!(error("-target"), "-target: needs a value: -name=value");
    }
}
