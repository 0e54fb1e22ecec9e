//! Which keys of a JSON line lead to a label.

use super::json_scan::{Fault, Kind, Members, unescape};

/// The labels that `| json` makes of a line, each with the keys that lead to it; the first of equal
/// labels counts. A fault keeps those before it.
#[must_use]
pub fn json_keys(line: &[u8]) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    // What was found before a fault stands.
    let _ = walk(line, &mut found);
    found
}

fn walk(line: &[u8], found: &mut Vec<(String, Vec<String>)>) -> Result<(), Fault> {
    let mut members = Members::open(line)?;
    let mut outer: Vec<String> = Vec::new();
    let mut keys: Vec<String> = Vec::new();
    let mut prefix = String::new();
    loop {
        let Some((start, end, is_escaped)) = members.next_key()? else {
            let Some(before) = outer.pop() else { return Ok(()) };
            prefix = before;
            keys.pop();
            members.separator()?;
            continue;
        };
        let mut key = Vec::new();
        if is_escaped {
            unescape(&line[start..end], &mut key)?;
        } else {
            key.extend_from_slice(&line[start..end]);
        }
        let key = String::from_utf8_lossy(&key).into_owned();
        let name = joined(&prefix, &key);
        let value = members.value()?;
        match value.kind {
            Kind::Object => {
                outer.push(std::mem::replace(&mut prefix, name));
                keys.push(key);
                members.enter(value)?;
                continue;
            }
            Kind::Null | Kind::Array => {}
            _ if name.is_empty() || found.iter().any(|(known, _)| *known == name) => {}
            _ => {
                let path = keys.iter().cloned().chain([key]).collect();
                found.push((name, path));
            }
        }
        members.separator()?;
    }
}

/// The name of a key inside an object of that name.
fn joined(prefix: &str, key: &str) -> String {
    let key = key.trim();
    let mut name = String::with_capacity(prefix.len() + key.len() + 1);
    name.push_str(prefix);
    if !key.is_empty() && (!prefix.is_empty() || key.starts_with(|c: char| c.is_ascii_digit())) {
        name.push('_');
    }
    name.extend(key.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }));
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(line: &[u8], name: &str) -> Option<String> {
        let found = json_keys(line);
        found.iter().find(|(label, _)| label == name).map(|(_, keys)| keys.join("/"))
    }

    #[test]
    fn nested_keys_lead_to_joined_names() {
        let line = br#"{"a":{"user-agent":"x","n":1},"1st":true,"l":[1],"z":null,"s":"t"} rest"#;
        assert_eq!(path(line, "a_user_agent").as_deref(), Some("a/user-agent"));
        assert_eq!(path(line, "a_n").as_deref(), Some("a/n"));
        assert_eq!(path(line, "_1st").as_deref(), Some("1st"));
        assert_eq!(path(line, "s").as_deref(), Some("s"));
        assert_eq!(json_keys(line).len(), 4);
        assert!(json_keys(b"not json").is_empty());
        assert!(json_keys(b"\"text\"").is_empty());
    }

    #[test]
    fn lines_are_read_as_leniently_as_by_the_stage() {
        assert_eq!(path(br#"{"u":"\ud83d!","\u0062":x"#, "u").as_deref(), Some("u"));
        assert_eq!(path(br#"{" ":{"k":3},"k":4}"#, "k").as_deref(), Some(" /k"));
        assert_eq!(path(br#"{"a":1,"a":{"b":2}"#, "a_b").as_deref(), Some("a/b"));
    }
}
