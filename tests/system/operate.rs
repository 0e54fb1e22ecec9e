//! What `docs/operate/` ships works: metrics exist, configurations are accepted, files parse.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use system::ledger::{Difference, Ledger};
use system::process::{Sigyn, Start, binary, free_port};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operate")
}

/// Every file below the folder with this extension.
fn files(extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    found
}

fn documents(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The text of every `key` in a document.
fn texts(value: &Value, key: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                match value {
                    Value::String(text) if name == key => found.push(text.clone()),
                    value => texts(value, key, found),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|value| texts(value, key, found)),
        _ => {}
    }
}

/// The metrics that PromQL names.
fn metrics_of(expressions: &[String]) -> BTreeSet<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = expressions.iter().flat_map(|text| text.split(move |c| !is_name(c)));
    let ours = words.filter(|word| word.starts_with("loki_") || word.starts_with("sigyn_"));
    // Names of routes are label values, not metrics.
    ours.filter(|word| !word.starts_with("loki_api_")).map(str::to_owned).collect()
}

/// Whether a metric of which no value exists yet is registered: a counter of failures is not
/// exported before the first one.
fn is_registered(name: &str, sources: &str) -> bool {
    let suffixes = ["_total", "_bucket", "_sum", "_count", ""];
    let mut registered = suffixes.iter().filter_map(|suffix| name.strip_suffix(suffix));
    registered.any(|name| sources.contains(&format!("\"{name}\",")))
}

/// The text of all files of metrics.
fn sources() -> String {
    let crates = folder().join("../../crates");
    let mut text = String::new();
    for entry in fs::read_dir(crates).unwrap() {
        for file in ["src/metrics.rs", "src/http/metrics.rs"] {
            let path = entry.as_ref().unwrap().path().join(file);
            text += &fs::read_to_string(path).unwrap_or_default();
        }
    }
    text
}

/// The series that a process with every role, as part of a ring, exports after it was written to
/// and asked.
async fn exported() -> BTreeSet<String> {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().display();
    let gossip = free_port();
    let config = format!(
        "common: {{path_prefix: {place}/data, replication_factor: 1, instance_addr: 127.0.0.1, \
         storage: {{filesystem: {{chunks_directory: {place}/chunks}}}}, \
         ring: {{kvstore: {{store: memberlist}}}}}}\n\
         memberlist: {{join_members: [\"127.0.0.1:{gossip}\"], bind_addr: [127.0.0.1], \
         bind_port: {gossip}}}\n\
         query_range: {{cache_results: true}}\n"
    );
    let sigyn = Sigyn::start(folder.path(), Start { config, wrapper: Vec::new() }).await;
    let mut ledger = Ledger::default();
    let lines = ledger.next_lines(10);
    assert_eq!(sigyn.client().push(&lines).await.unwrap().status(), 204);
    ledger.acknowledge(&lines);
    assert_eq!(ledger.compare(&sigyn.client()).await, Difference::default());
    let text = sigyn.client().get("/metrics", &[]).await.unwrap().text().await.unwrap();
    let mut names = BTreeSet::new();
    for line in text.lines() {
        let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|l| l.split_once(' '))
        else {
            continue;
        };
        if kind == "histogram" {
            names.extend(["_bucket", "_sum", "_count"].map(|suffix| format!("{name}{suffix}")));
        } else {
            names.insert(name.to_owned());
        }
    }
    names
}

#[tokio::test]
async fn alerts_and_dashboard_name_metrics_that_exist() {
    let exported = exported().await;
    let mut expressions = Vec::new();
    for document in documents(&folder().join("alerts.yaml")) {
        texts(&document, "expr", &mut expressions);
    }
    let alerts = expressions.len();
    let dashboard = fs::read_to_string(folder().join("dashboard.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    texts(&dashboard, "expr", &mut expressions);
    assert!(alerts > 10 && expressions.len() > alerts + 20, "nothing was looked at");
    let named = metrics_of(&expressions);
    let sources = sources();
    let invented: Vec<&String> =
        named.difference(&exported).filter(|name| !is_registered(name, &sources)).collect();
    assert!(invented.is_empty(), "not exported: {invented:?}; exported: {exported:#?}");
}

#[test]
fn every_alert_is_explained() {
    let page = fs::read_to_string(folder().join("alerts.md")).unwrap();
    let mut alerts = Vec::new();
    for document in documents(&folder().join("alerts.yaml")) {
        texts(&document, "alert", &mut alerts);
    }
    for alert in &alerts {
        assert!(page.contains(&format!("\n## {alert}\n")), "{alert} is not explained");
    }
    assert_eq!(page.matches("\n## ").count(), alerts.len(), "an explanation has no alert");
}

#[test]
fn every_yaml_file_parses() {
    let files = files("yaml");
    assert!(files.len() > 4, "{files:?}");
    for file in &files {
        assert!(!documents(file).is_empty(), "{}", file.display());
    }
}

#[test]
fn every_example_configuration_is_accepted() {
    // Configurations are the files that begin with a command line.
    let is_configuration =
        |path: &PathBuf| fs::read_to_string(path).unwrap().contains("#   sigyn -config.file=");
    let configurations: Vec<PathBuf> = files("yaml").into_iter().filter(is_configuration).collect();
    assert!(!configurations.is_empty());
    for path in configurations {
        let output = Command::new(binary())
            .arg(format!("-config.file={}", path.display()))
            .args(["-config.expand-env", "-verify-config"])
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(output.status.success(), "{}: {said}", path.display());
        assert!(said.contains("config is valid"), "{}: {said}", path.display());
        assert!(!said.contains("without effect"), "{}: {said}", path.display());
    }
}

/// The configuration that a manifest mounts as `/etc/sigyn/sigyn.yaml`, and its command lines: each
/// with its environment.
fn command_lines() -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    let compose = documents(&folder().join("docker-compose.yaml")).remove(0);
    for (name, service) in compose["services"].as_object().unwrap() {
        if service.get("build").is_some() {
            let mounts = service["volumes"].as_array().unwrap().iter();
            let mounted =
                mounts.filter_map(|mount| mount.as_str()?.split_once(":/etc/sigyn/sigyn.yaml"));
            let config = mounted.map(|(config, _)| config.to_owned()).next();
            let config = config.unwrap_or_else(|| panic!("{name} has no configuration"));
            // The image's own command line.
            let image = fs::read_to_string(folder().join("Dockerfile")).unwrap();
            let line = image.lines().find_map(|line| line.strip_prefix("CMD ")).unwrap();
            let arguments: Vec<String> = serde_json::from_str(line).unwrap();
            found.push((config, arguments));
        }
    }
    for name in ["single", "cluster"] {
        let path = folder().join("kubernetes").join(format!("{name}.yaml"));
        let text = fs::read_to_string(&path).unwrap();
        let config = format!("{name}.yaml");
        assert!(text.contains(&format!("--from-file=sigyn.yaml=docs/operate/{config}")), "{name}");
        for document in documents(&path) {
            for container in containers(&document) {
                let arguments = container["args"].as_array().unwrap().iter();
                let arguments = arguments.map(|word| word.as_str().unwrap().to_owned());
                found.push((config.clone(), arguments.collect()));
            }
        }
    }
    let unit = fs::read_to_string(folder().join("sigyn.service")).unwrap();
    for line in unit.lines().filter(|line| line.starts_with("ExecStart")) {
        let words = line.split(' ').skip(1).map(str::to_owned);
        found.push(("single.yaml".to_owned(), words.collect()));
    }
    found
}

/// The containers of a Kubernetes workload.
fn containers(document: &Value) -> Vec<Value> {
    let containers = document["spec"]["template"]["spec"]["containers"].as_array();
    containers.cloned().unwrap_or_default()
}

#[test]
fn every_command_line_of_the_manifests_is_accepted() {
    let lines = command_lines();
    assert!(lines.len() >= 7, "{lines:?}");
    for (config, arguments) in lines {
        let config = folder().join(config).display().to_string();
        let output = Command::new(binary())
            .args(arguments.iter().map(|word| word.replace("/etc/sigyn/sigyn.yaml", &config)))
            .arg("-verify-config")
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(output.status.success(), "{arguments:?}: {said}");
        assert!(said.contains("config is valid"), "{arguments:?}: {said}");
    }
}

/// What a cluster's server would refuse, or start in vain: selectors that select nothing, mounts
/// without volumes, probes of ports that do not exist, names that nobody has.
#[test]
fn kubernetes_manifests_fit_together() {
    for name in ["single", "cluster"] {
        let all = documents(&folder().join("kubernetes").join(format!("{name}.yaml")));
        let pods: Vec<&Value> =
            all.iter().map(|one| &one["spec"]["template"]).filter(|pod| !pod.is_null()).collect();
        assert!(!pods.is_empty(), "{name}");
        for document in &all {
            let title = format!("{name}: {} {}", document["kind"], document["metadata"]["name"]);
            assert!(document["apiVersion"].is_string() && document["metadata"]["name"].is_string());
            let selector = &document["spec"]["selector"];
            let selector = selector.get("matchLabels").unwrap_or(selector);
            let selects = |pod: &Value| {
                let labels = &pod["metadata"]["labels"];
                selector.as_object().into_iter().flatten().all(|(key, value)| labels[key] == *value)
            };
            if !selector.is_null() {
                assert!(pods.iter().any(|pod| selects(pod)), "{title} selects nothing");
            }
            let template = &document["spec"]["template"];
            if template.is_null() {
                continue;
            }
            assert!(selects(template), "{title} does not select its own pods");
            let claims = document["spec"]["volumeClaimTemplates"].as_array();
            let claims = claims.into_iter().flatten().map(|claim| &claim["metadata"]["name"]);
            let volumes = template["spec"]["volumes"].as_array();
            let volumes = volumes.into_iter().flatten().map(|volume| &volume["name"]);
            let volumes: Vec<&Value> = volumes.chain(claims).collect();
            for container in containers(document) {
                for mount in container["volumeMounts"].as_array().unwrap() {
                    assert!(volumes.contains(&&mount["name"]), "{title}: {mount} has no volume");
                }
                let ports: Vec<&Value> = container["ports"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|port| &port["name"])
                    .collect();
                let probed = &container["readinessProbe"]["httpGet"]["port"];
                assert!(ports.contains(&probed), "{title}: no port {probed}");
            }
        }
    }
}

/// Whether a tool of this machine accepts a file; `None` where the tool is not installed.
fn accepted(tool: &str, arguments: &[&str], file: &Path) -> Option<Result<(), String>> {
    let output = match Command::new(tool).args(arguments).arg(file).output() {
        Ok(output) => output,
        Err(error) => {
            eprintln!("{} is not looked at by {tool}: {error}", file.display());
            return None;
        }
    };
    let said = [output.stdout, output.stderr].concat();
    Some(output.status.success().then_some(()).ok_or(String::from_utf8_lossy(&said).into_owned()))
}

#[test]
fn prometheus_and_systemd_accept_their_files_where_they_are_installed() {
    let rules = accepted("promtool", &["check", "rules"], &folder().join("alerts.yaml"));
    assert_eq!(rules.unwrap_or(Ok(())), Ok(()));
    // The unit names a program that is not installed here; this one is.
    let unit = fs::read_to_string(folder().join("sigyn.service")).unwrap();
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("sigyn.service");
    let program = std::env::current_exe().unwrap();
    fs::write(&file, unit.replace("/usr/local/bin/sigyn", &program.to_string_lossy())).unwrap();
    if let Some(checked) = accepted("systemd-analyze", &["verify", "--man=no"], &file) {
        let said = checked.err().unwrap_or_default();
        let own = said.lines().filter(|line| line.contains("sigyn.service"));
        let own: Vec<&str> = own.collect();
        assert!(own.is_empty(), "{own:?}");
    }
}
