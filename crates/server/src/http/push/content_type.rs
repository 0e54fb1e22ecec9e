//! The `Content-Type` of a push, as Go's `mime.ParseMediaType` reads it.

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Protobuf,
}

/// The media type without its parameters, in lower case.
///
/// # Errors
///
/// Go's text, which clients may show.
pub(super) fn media_type(header: &str) -> Result<String, String> {
    let (media, rest) = header.split_at(header.find(';').unwrap_or(header.len()));
    let media = media.trim().to_ascii_lowercase();
    check_media(&media)?;
    check_params(rest)?;
    Ok(media)
}

fn check_media(media: &str) -> Result<(), String> {
    let refuse = |why: &str| Err(format!("mime: {why}"));
    let kind = token_len(media);
    if kind == 0 {
        return refuse("no media type");
    }
    let Some(rest) = media[kind..].strip_prefix('/') else {
        return if kind == media.len() {
            Ok(())
        } else {
            refuse("expected slash after first token")
        };
    };
    match token_len(rest) {
        0 => refuse("expected token after slash"),
        subtype if subtype < rest.len() => refuse("unexpected content after media subtype"),
        _ => Ok(()),
    }
}

/// Checks `; name=value; name="quoted value"`. Equal names need equal values.
fn check_params(mut rest: &str) -> Result<(), String> {
    let mut known: Vec<(String, &str)> = Vec::new();
    while !rest.trim_start().is_empty() {
        let Some((name, value, after)) = param(rest) else {
            // A semicolon at the end is no mistake.
            let is_end = rest.trim() == ";";
            return if is_end { Ok(()) } else { Err("mime: invalid media parameter".to_owned()) };
        };
        if known.iter().any(|(other, text)| *other == name && *text != value) {
            return Err("mime: duplicate parameter name".to_owned());
        }
        known.push((name, value));
        rest = after;
    }
    Ok(())
}

/// One parameter and what follows it.
fn param(text: &str) -> Option<(String, &str, &str)> {
    let text = text.trim_start().strip_prefix(';')?.trim_start();
    let (name, text) = text.split_at(token_len(text));
    let text = text.trim_start().strip_prefix('=')?.trim_start();
    let length = match text.strip_prefix('"') {
        Some(quoted) => quoted_len(quoted)? + 2,
        None => token_len(text),
    };
    let (value, after) = text.split_at(length);
    (!name.is_empty() && !value.is_empty()).then(|| (name.to_ascii_lowercase(), value, after))
}

/// How many bytes stand before the closing quote.
fn quoted_len(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'\r' | b'\n' => return None,
            b'"' if !escaped => return Some(at),
            _ => escaped = byte == b'\\' && !escaped,
        }
    }
    None
}

/// How many leading bytes are characters of an RFC 2045 token.
fn token_len(text: &str) -> usize {
    text.bytes().take_while(|b| b.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(b)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(header: &str, expected: Result<&str, &str>) {
        let found = media_type(header);
        assert_eq!(found.as_deref().map_err(String::as_str), expected, "{header}");
    }

    #[test]
    fn media_types_are_read_as_go_does() {
        check("application/json", Ok("application/json"));
        check("Application/JSON; charset=utf-8", Ok("application/json"));
        check("application/x-protobuf", Ok("application/x-protobuf"));
        check("text", Ok("text"));
        check("", Err("mime: no media type"));
        check("; x", Err("mime: no media type"));
        check("a b", Err("mime: expected slash after first token"));
        check("a/", Err("mime: expected token after slash"));
        check("a/b; c=\"d;\\\"e\" ; f=g;", Ok("a/b"));
        check("a/b; c=d; C=d", Ok("a/b"));
        check("a/b; c=d; c=e", Err("mime: duplicate parameter name"));
        check("a/b; =", Err("mime: invalid media parameter"));
        check("a/b; c=\"d", Err("mime: invalid media parameter"));
        check("a/b c", Err("mime: unexpected content after media subtype"));
    }
}
