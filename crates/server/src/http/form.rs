//! Parameters of a request: those of a form body first, then those of the URL.

use form_urlencoded::parse;

/// Names and values in order; names may repeat.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Form(Vec<(String, String)>);

impl Form {
    /// Reads a form body and a URL's query.
    #[must_use]
    pub fn new(body: &[u8], query: &str) -> Self {
        let pairs = parse(body).chain(parse(query.as_bytes()));
        Self(pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    /// All names and values, as they stand in a URL.
    #[must_use]
    pub fn encoded(&self) -> String {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.0).finish()
    }

    /// The first value of a name; empty when there is none, as clients mean the same by both.
    #[must_use]
    pub fn get(&self, name: &str) -> &str {
        self.all(name).next().unwrap_or("")
    }

    /// The first value of a name, if the name is there.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// Every value of a name, in order.
    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_comes_before_the_url() {
        let form = Form::new(b"query=%7Ba%3D%22b%22%7D&limit=5", "limit=7&match[]=x&match[]=y+z");
        assert_eq!(form.get("query"), "{a=\"b\"}");
        assert_eq!(form.get("limit"), "5");
        assert_eq!(form.all("match[]").collect::<Vec<_>>(), ["x", "y z"]);
        assert_eq!((form.get("step"), form.find("step")), ("", None));
    }
}
