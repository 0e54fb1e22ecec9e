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
    let media = header.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    let refuse = |why: &str| Err(format!("mime: {why}"));
    let kind = token_len(&media);
    if kind == 0 {
        return refuse("no media type");
    }
    let Some(rest) = media[kind..].strip_prefix('/') else {
        return if kind == media.len() {
            Ok(media)
        } else {
            refuse("expected slash after first token")
        };
    };
    match token_len(rest) {
        0 => refuse("expected token after slash"),
        subtype if subtype < rest.len() => refuse("unexpected content after media subtype"),
        _ => Ok(media),
    }
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
        check("a/b c", Err("mime: unexpected content after media subtype"));
    }
}
