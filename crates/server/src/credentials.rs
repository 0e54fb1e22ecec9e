//! Who may speak for which tenants, where that is configured.
//!
//! Passwords and tokens come from files or stand in the configuration as hashes. Only keyed hashes
//! of them stay in memory, under a key that this process drew when it started; comparing is done in
//! constant time. A password hash is slow to compute on purpose, so what was verified once is
//! remembered by its keyed hash.

use std::collections::HashMap;
use std::fmt;
use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, StatusCode, header};
use model::TenantId;
use parking_lot::Mutex;
use ring::rand::SystemRandom;
use ring::{hmac, pbkdf2};
use serde::{Deserialize, Serialize, Serializer};

use crate::blocking;
use crate::config::Problem;
use crate::http::error::HttpError;

/// The key that the faults of these settings name.
const KEY: &str = "authentication.credentials";
/// In place of tenants: all of them, and the routes of operators.
const EVERYTHING: &str = "*";
/// What a password hash begins with.
const SCHEME: &str = "pbkdf2-sha256";
/// Fewer rounds are no obstacle.
const ROUNDS_MIN: u32 = 10_000;
/// Verified credentials remembered; beyond it all are verified anew.
const REMEMBERED_MAX: usize = 1024;
/// Work of verifying a password hash, as bytes of other work.
const HASH_WORK_BYTES: usize = 1 << 20;

/// One entry of `authentication.credentials`.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs, reason = "documented in docs/authentication.md")]
pub struct Credential {
    pub username: String,
    pub password_file: String,
    #[serde(serialize_with = "hide")]
    pub password_hash: String,
    pub token_file: String,
    pub tenants: Vec<String>,
}

/// Hashes stay out of `/config`.
fn hide<S: Serializer>(hash: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(if hash.is_empty() { "" } else { "********" })
}

/// Hashes stay out of debug output, which may be logged.
impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("username", &self.username)
            .field("tenants", &self.tenants)
            .finish_non_exhaustive()
    }
}

/// Whom a credential may speak for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Tenants {
    All,
    Some(Vec<TenantId>),
}

/// How a credential is checked.
enum Secret {
    /// The keyed hash of the whole `authorization` header.
    Known(hmac::Tag),
    /// The hash of a password, for a user name.
    Password { username: String, rounds: std::num::NonZeroU32, salt: Vec<u8>, hash: Vec<u8> },
}

/// The credentials that are accepted.
pub struct Credentials {
    key: hmac::Key,
    entries: Vec<(Secret, Tenants)>,
    /// Keyed hashes of headers that were verified, and whose they are.
    verified: Mutex<HashMap<Vec<u8>, usize>>,
}

impl Credentials {
    /// Reads the files that the settings name.
    ///
    /// # Errors
    ///
    /// A [`Problem`] when an entry is incomplete or a file cannot be read: do not start, because
    /// whoever is meant would be locked out.
    pub fn load(settings: &[Credential]) -> Result<Self, Problem> {
        let fail = |fault: String| Problem { key: KEY.to_owned(), fault };
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .map_err(|_| fail("the system has no random numbers".to_owned()))?;
        let mut entries = Vec::with_capacity(settings.len());
        for (at, setting) in settings.iter().enumerate() {
            let entry = load(setting, &key);
            entries.push(entry.map_err(|fault| fail(format!("entry {}: {fault}", at + 1)))?);
        }
        Ok(Self { key, entries, verified: Mutex::default() })
    }

    /// Whom the credential in a request's headers may speak for.
    ///
    /// # Errors
    ///
    /// 401 when there is none or it is wrong.
    fn recognise(&self, headers: &HeaderMap) -> Result<&Tenants, HttpError> {
        let refused = |text: &str| HttpError::line(StatusCode::UNAUTHORIZED, text);
        let Some(header) = headers.get(header::AUTHORIZATION) else {
            return Err(refused("credentials are needed"));
        };
        let header = canonical(header.as_bytes());
        let found = self.find(&header).ok_or_else(|| refused("credentials are wrong"))?;
        Ok(&self.entries[found].1)
    }

    fn find(&self, header: &[u8]) -> Option<usize> {
        let tag = hmac::sign(&self.key, header);
        if let Some(found) = self.verified.lock().get(tag.as_ref()) {
            return Some(*found);
        }
        let (username, password) = basic(header).unwrap_or_default();
        let matches = |(secret, _): &(Secret, Tenants)| match secret {
            Secret::Known(known) => hmac::verify(&self.key, header, known.as_ref()).is_ok(),
            Secret::Password { username: name, rounds, salt, hash } => {
                *name == username
                    && blocking::inline(HASH_WORK_BYTES, || {
                        let algorithm = pbkdf2::PBKDF2_HMAC_SHA256;
                        pbkdf2::verify(algorithm, *rounds, salt, password.as_bytes(), hash).is_ok()
                    })
            }
        };
        let found = self.entries.iter().position(matches)?;
        let mut verified = self.verified.lock();
        if verified.len() >= REMEMBERED_MAX {
            verified.clear();
        }
        verified.insert(tag.as_ref().to_vec(), found);
        Some(found)
    }

    /// Checks that a request may speak for tenants; an operator's request names none.
    ///
    /// # Errors
    ///
    /// 401 without a valid credential, 403 when it is bound to other tenants.
    pub fn check(&self, headers: &HeaderMap, wanted: &[TenantId]) -> Result<(), HttpError> {
        let refused = |text: String| Err(HttpError::line(StatusCode::FORBIDDEN, text));
        match self.recognise(headers)? {
            Tenants::All => Ok(()),
            Tenants::Some(_) if wanted.is_empty() => {
                refused("these credentials are not an operator's".to_owned())
            }
            Tenants::Some(own) => match wanted.iter().find(|tenant| !own.contains(tenant)) {
                Some(other) => refused(format!("these credentials are not for tenant {other}")),
                None => Ok(()),
            },
        }
    }

    /// The one tenant that a credential is bound to, for requests that name none.
    #[must_use]
    pub fn only_tenant(&self, headers: &HeaderMap) -> Option<TenantId> {
        match self.recognise(headers) {
            Ok(Tenants::Some(own)) if own.len() == 1 => own.first().cloned(),
            _ => None,
        }
    }
}

fn load(setting: &Credential, key: &hmac::Key) -> Result<(Secret, Tenants), String> {
    let Credential { username, password_file, password_hash, token_file, tenants } = setting;
    let tenants = match &tenants[..] {
        [] => return Err(format!("tenants is empty; name some, or {EVERYTHING:?} for all")),
        [all] if all == EVERYTHING => Tenants::All,
        some => {
            let named = some.iter().map(|name| TenantId::new(name));
            Tenants::Some(named.collect::<Result<_, _>>().map_err(|error| error.to_string())?)
        }
    };
    let given = [password_file, password_hash, token_file].map(|text| !text.is_empty());
    let secret = match (given, username.is_empty()) {
        ([true, false, false], false) => {
            let pair = format!("{username}:{}", secret(password_file)?);
            let header = format!("basic {}", STANDARD.encode(pair));
            Secret::Known(hmac::sign(key, header.as_bytes()))
        }
        ([false, true, false], false) => hashed(username, password_hash)?,
        ([false, false, true], true) => {
            let header = format!("bearer {}", secret(token_file)?);
            Secret::Known(hmac::sign(key, header.as_bytes()))
        }
        _ => {
            let fault = "give username with password_file or password_hash, or token_file alone";
            return Err(fault.to_owned());
        }
    };
    Ok((secret, tenants))
}

/// The first line of a file.
pub(crate) fn secret(file: &str) -> Result<String, String> {
    let text = fs::read_to_string(file).map_err(|error| format!("read {file}: {error}"))?;
    match text.lines().next().map(str::trim) {
        Some(line) if !line.is_empty() => Ok(line.to_owned()),
        _ => Err(format!("the first line of {file} is empty")),
    }
}

/// Reads `pbkdf2-sha256$rounds$salt$hash`, the latter two in base 64.
fn hashed(username: &str, text: &str) -> Result<Secret, String> {
    let wrong = || format!("password_hash: write it like {SCHEME}$600000$salt$hash, in base64");
    let parts: Vec<&str> = text.split('$').collect();
    let [SCHEME, rounds, salt, hash] = parts[..] else { return Err(wrong()) };
    let rounds: std::num::NonZeroU32 = rounds.parse().map_err(|_| wrong())?;
    if rounds.get() < ROUNDS_MIN {
        return Err(format!("password_hash: fewer than {ROUNDS_MIN} rounds protect nothing"));
    }
    let decode = |text: &str| STANDARD.decode(text).map_err(|_| wrong());
    let (salt, hash) = (decode(salt)?, decode(hash)?);
    if hash.len() < 16 {
        return Err(wrong());
    }
    Ok(Secret::Password { username: username.to_owned(), rounds, salt, hash })
}

/// The header with its scheme in lower case, which clients write as they like.
fn canonical(header: &[u8]) -> Vec<u8> {
    let mut header = header.to_vec();
    let scheme = header.iter().position(|byte| *byte == b' ').unwrap_or(header.len());
    header[..scheme].make_ascii_lowercase();
    header
}

/// User name and password of a canonical header.
fn basic(header: &[u8]) -> Option<(String, String)> {
    let pair = STANDARD.decode(header.strip_prefix(b"basic ")?).ok()?;
    let pair = String::from_utf8(pair).ok()?;
    let (username, password) = pair.split_once(':')?;
    Some((username.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    /// A file with a secret, as long as the folder lives.
    fn file(folder: &tempfile::TempDir, name: &str, text: &str) -> String {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    fn tenants(names: &[&str]) -> Vec<TenantId> {
        names.iter().map(|name| TenantId::new(name).unwrap()).collect()
    }

    fn check(credentials: &Credentials, header: Option<&str>, wanted: &[&str], expected: u16) {
        let mut headers = HeaderMap::new();
        if let Some(header) = header {
            headers.insert(header::AUTHORIZATION, HeaderValue::from_str(header).unwrap());
        }
        // The second time from memory.
        for _ in 0..2 {
            let found = credentials.check(&headers, &tenants(wanted));
            let status = found.err().map_or(200, |error| error.status.as_u16());
            assert_eq!(status, expected, "{header:?} for {wanted:?}");
        }
    }

    fn password(pair: &str) -> String {
        format!("Basic {}", STANDARD.encode(pair))
    }

    fn hash_of(password: &str) -> String {
        let rounds = std::num::NonZeroU32::new(ROUNDS_MIN).unwrap();
        let mut hash = [0; 32];
        let algorithm = pbkdf2::PBKDF2_HMAC_SHA256;
        pbkdf2::derive(algorithm, rounds, b"salt", password.as_bytes(), &mut hash);
        format!("{SCHEME}${rounds}${}${}", STANDARD.encode("salt"), STANDARD.encode(hash))
    }

    #[test]
    fn credentials_speak_for_their_tenants() {
        let folder = tempfile::tempdir().unwrap();
        let own = |tenants: &[&str]| tenants.iter().map(|name| (*name).to_owned()).collect();
        let credentials = Credentials::load(&[
            Credential {
                username: "ann".to_owned(),
                password_file: file(&folder, "ann", "pass word\nnot this\n"),
                tenants: own(&["a"]),
                ..Credential::default()
            },
            Credential {
                username: "bob".to_owned(),
                password_hash: hash_of("b:b"),
                tenants: own(&["a", "b"]),
                ..Credential::default()
            },
            Credential {
                token_file: file(&folder, "token", "s3cret"),
                tenants: own(&["*"]),
                ..Credential::default()
            },
        ]);
        let credentials = credentials.unwrap();
        check(&credentials, Some(&password("ann:pass word")), &["a"], 200);
        check(&credentials, Some(&password("ann:pass word")), &["b"], 403);
        check(&credentials, Some(&password("ann:pass word")), &["a", "b"], 403);
        check(&credentials, Some(&password("ann:pass word")), &[], 403);
        check(&credentials, Some(&password("ann:pass")), &["a"], 401);
        check(&credentials, Some(&password("bob:b:b")), &["a", "b"], 200);
        check(&credentials, Some(&password("bob:b")), &["a"], 401);
        check(&credentials, Some(&password("ann:b:b")), &["a"], 401);
        check(&credentials, Some("bearer s3cret"), &["x"], 200);
        check(&credentials, Some("Bearer s3cret"), &[], 200);
        check(&credentials, Some("Bearer s3cre"), &["x"], 401);
        check(&credentials, Some("s3cret"), &["x"], 401);
        check(&credentials, None, &["a"], 401);
        let mut headers = HeaderMap::new();
        let ann = HeaderValue::from_str(&password("ann:pass word")).unwrap();
        headers.insert(header::AUTHORIZATION, ann);
        assert_eq!(credentials.only_tenant(&headers), tenants(&["a"]).pop());
    }

    #[test]
    fn incomplete_entries_stop_the_start() {
        let check = |credential: Credential, expected: &str| {
            let error = Credentials::load(&[credential]).err().unwrap().to_string();
            assert!(error.contains(expected), "{error}");
        };
        let tenants = vec!["a".to_owned()];
        check(Credential::default(), "tenants is empty");
        check(Credential { tenants: tenants.clone(), ..Credential::default() }, "give username");
        let username = "ann".to_owned();
        let weak = Credential {
            username: username.clone(),
            password_hash: format!("{SCHEME}$1$c2FsdA==$aGFzaA=="),
            tenants: tenants.clone(),
            ..Credential::default()
        };
        check(weak, "rounds");
        let password_file = "no such file".to_owned();
        let absent = Credential { username, password_file, tenants, ..Credential::default() };
        check(absent, "read no such file");
    }
}
