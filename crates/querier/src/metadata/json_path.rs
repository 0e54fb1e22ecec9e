//! Which keys of a JSON line lead to a label.

use hashbrown::HashMap;
use serde_json::Value;

/// Objects inside objects that are followed.
const DEPTH_MAX: usize = 64;

/// The labels that a JSON line gives, each with the keys that lead to it.
///
/// Names are made as the `json` stage makes them: keys joined by underscores, other characters than
/// letters, digits and underscores replaced, a leading digit preceded by an underscore.
pub(crate) fn json_paths(line: &[u8]) -> HashMap<String, Vec<String>> {
    let mut paths = HashMap::new();
    // What follows the first value of the line is not looked at.
    let first = serde_json::Deserializer::from_slice(line).into_iter::<Value>().next();
    if let Some(Ok(value)) = first {
        walk(&value, "", &mut Vec::new(), &mut paths);
    }
    paths
}

fn walk(
    value: &Value,
    name: &str,
    keys: &mut Vec<String>,
    paths: &mut HashMap<String, Vec<String>>,
) {
    match value {
        Value::Object(object) if keys.len() < DEPTH_MAX => {
            for (key, value) in object {
                let own = label_name(name, key);
                keys.push(key.clone());
                walk(value, &own, keys, paths);
                keys.pop();
            }
        }
        Value::Object(_) | Value::Array(_) | Value::Null => {}
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            if !keys.is_empty() {
                paths.entry(name.to_owned()).or_insert_with(|| keys.clone());
            }
        }
    }
}

fn label_name(prefix: &str, key: &str) -> String {
    let mut name = String::with_capacity(prefix.len() + key.len() + 1);
    name.push_str(prefix);
    if !prefix.is_empty() || key.starts_with(|c: char| c.is_ascii_digit()) {
        name.push('_');
    }
    let trimmed = key.trim();
    name.extend(trimmed.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }));
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_keys_lead_to_joined_names() {
        let line = br#"{"a":{"user-agent":"x","n":1},"1st":true,"l":[1],"z":null,"s":"t"} rest"#;
        let paths = json_paths(line);
        let path = |name: &str| paths.get(name).map(|keys| keys.join("/"));
        assert_eq!(path("a_user_agent").as_deref(), Some("a/user-agent"));
        assert_eq!(path("a_n").as_deref(), Some("a/n"));
        assert_eq!(path("_1st").as_deref(), Some("1st"));
        assert_eq!(path("s").as_deref(), Some("s"));
        assert_eq!(paths.len(), 4);
        assert!(json_paths(b"not json").is_empty());
        assert!(json_paths(b"\"text\"").is_empty());
    }
}
