//! Realistic lines: from built-in templates, or from a folder of real ones.
//!
//! Identifiers, numbers and times vary from line to line as they do in real logs; everything
//! follows from the seed, so two runs write the same bytes.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use model::Timestamp;

use crate::error::Error;

/// A small, fast, seeded generator (xorshift64*, Vigna 2016); quality suffices for test data.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// A generator whose numbers follow from `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number below `end`, which is not zero.
    pub fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 11) % end
    }

    /// A number below `end`, small ones more often.
    pub fn skewed(&mut self, end: u64) -> u64 {
        let limit = self.below(end) + 1;
        self.below(limit)
    }
}

/// An application that writes lines.
#[derive(Debug)]
pub struct App {
    /// The value of its label `app`.
    pub name: String,
    templates: Vec<String>,
    next: usize,
    /// Values used lately; real identifiers come back.
    recent: Vec<String>,
}

/// The built-in applications.
pub fn built_in() -> Vec<App> {
    TEMPLATES
        .iter()
        .map(|(name, templates)| {
            App::new(name, templates.iter().map(|t| (*t).to_owned()).collect())
        })
        .collect()
}

/// One application per file of a folder; its lines are templates in which numbers, identifiers and
/// times vary. JSON requests of a web server are added, as the built-in set has them.
///
/// # Errors
///
/// [`Error::File`] when the folder cannot be read or holds no line.
pub fn from_folder(folder: &Path) -> Result<Vec<App>, Error> {
    let entries = fs::read_dir(folder).map_err(Error::file("read the folder", folder))?;
    let mut paths: Vec<_> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    paths.retain(|path| path.is_file());
    paths.sort();
    let mut apps = Vec::new();
    for path in paths {
        let bytes = fs::read(&path).map_err(Error::file("read", &path))?;
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<String> = text.lines().filter(|line| !line.is_empty()).map(marked).collect();
        if lines.is_empty() {
            continue;
        }
        let name = path.file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
        apps.push(App::new(&name, lines));
    }
    apps.extend(built_in().into_iter().filter(|app| app.name == "web"));
    Ok(apps)
}

impl App {
    fn new(name: &str, templates: Vec<String>) -> Self {
        Self { name: name.to_owned(), templates, next: 0, recent: Vec::new() }
    }

    /// Writes the next line into `out`, which is cleared first.
    pub fn line(&mut self, at: Timestamp, dice: &mut Dice, out: &mut String) {
        out.clear();
        let template = std::mem::take(&mut self.templates[self.next]);
        let mut rest = template.as_str();
        while let Some(open) = rest.find('\u{1}') {
            out.push_str(&rest[..open]);
            let body = &rest[open + 1..];
            let close = body.find('\u{1}').unwrap_or(body.len());
            self.slot(&body[..close], at, dice, out);
            rest = body.get(close + 1..).unwrap_or("");
        }
        out.push_str(rest);
        self.templates[self.next] = template;
        self.next = (self.next + 1) % self.templates.len();
    }

    fn slot(&mut self, kind: &str, at: Timestamp, dice: &mut Dice, out: &mut String) {
        let (kind, argument) = kind.split_once(':').unwrap_or((kind, ""));
        let size: u64 = argument.parse().unwrap_or(10);
        let written = match kind {
            "time" => write!(out, "{}", whole_second(at)),
            "clock" => write!(out, "{}", &whole_second(at)[11..19]),
            "ip" => write!(out, "10.{}.{}.{}", dice.below(4), dice.below(256), dice.below(256)),
            "int" => write!(out, "{}", dice.below(size)),
            "small" => write!(out, "{}", dice.skewed(size)),
            "seconds" => write!(out, "{:.3}", skewed_seconds(dice)),
            "duration" => write!(out, "{:.3}ms", 1000.0 * skewed_seconds(dice)),
            "hex" => return self.identifier(size, b"0123456789abcdef", dice, out),
            "digits" => return self.identifier(size, b"0123456789", dice, out),
            "one" => {
                let choices: Vec<&str> = argument.split('|').collect();
                let pick = dice.skewed(choices.len() as u64);
                write!(out, "{}", choices[usize::try_from(pick).unwrap_or(0)])
            }
            _ => write!(out, "{kind}"),
        };
        debug_assert!(written.is_ok(), "writing to a string does not fail");
    }

    /// An identifier: half of them were seen before.
    fn identifier(&mut self, length: u64, alphabet: &[u8], dice: &mut Dice, out: &mut String) {
        let length = usize::try_from(length).unwrap_or(0);
        if !self.recent.is_empty() && dice.below(2) == 0 {
            let pick = usize::try_from(dice.below(self.recent.len() as u64)).unwrap_or(0);
            if self.recent[pick].len() == length {
                out.push_str(&self.recent[pick]);
                return;
            }
        }
        let fresh: String = (0..length)
            .map(|_| {
                let pick = usize::try_from(dice.below(alphabet.len() as u64)).unwrap_or(0);
                char::from(alphabet[pick])
            })
            .collect();
        out.push_str(&fresh);
        if self.recent.len() < 512 {
            self.recent.push(fresh);
        } else {
            let pick = usize::try_from(dice.below(512)).unwrap_or(0);
            self.recent[pick] = fresh;
        }
    }
}

fn whole_second(at: Timestamp) -> String {
    Timestamp::from_seconds(at.0.div_euclid(model::time::SECOND_NS)).to_string()
}

/// Up to a second, short ones more often.
fn skewed_seconds(dice: &mut Dice) -> f64 {
    let product = dice.below(1000) * dice.below(1000);
    // Both factors are below 1000, so the product is exact.
    product as f64 / 1e6 + 0.001
}

/// Marks what varies in a real line: long identifiers, numbers, and times of day.
fn marked(line: &str) -> String {
    let mut out = String::with_capacity(line.len() + 16);
    let bytes = line.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if is_clock(&bytes[at..]) {
            out.push_str("\u{1}clock\u{1}");
            at += 8;
            continue;
        }
        let end = at + bytes[at..].iter().take_while(|b| b.is_ascii_alphanumeric()).count();
        if end == at {
            let width = line[at..].chars().next().map_or(1, char::len_utf8);
            out.push_str(line[at..at + width].trim_matches('\u{1}'));
            at += width;
            continue;
        }
        mark_word(&line[at..end], &mut out);
        at = end;
    }
    out
}

fn mark_word(word: &str, out: &mut String) {
    let is_number = word.bytes().all(|b| b.is_ascii_digit());
    let is_hex = word.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase());
    let has_digit = word.bytes().any(|b| b.is_ascii_digit());
    let written = if is_number && word.len() >= 8 {
        write!(out, "\u{1}digits:{}\u{1}", word.len())
    } else if is_hex && has_digit && word.len() >= 8 {
        write!(out, "\u{1}hex:{}\u{1}", word.len())
    } else if is_number && word.len() >= 3 && word.len() <= 7 && !word.starts_with('0') {
        write!(out, "{}\u{1}digits:{}\u{1}", &word[..1], word.len() - 1)
    } else {
        write!(out, "{word}")
    };
    debug_assert!(written.is_ok(), "writing to a string does not fail");
}

fn is_clock(bytes: &[u8]) -> bool {
    let digit = |index: usize| bytes.get(index).is_some_and(u8::is_ascii_digit);
    let colon = |index: usize| bytes.get(index) == Some(&b':');
    [0, 1, 3, 4, 6, 7].into_iter().all(digit) && colon(2) && colon(5) && !digit(8)
}

/// Application names and their line templates; slots stand between U+0001.
const TEMPLATES: &[(&str, &[&str])] = &[
    (
        "web",
        &[concat!(
            "{\"time\":\"\u{1}time\u{1}\",\"level\":\"\u{1}one:info|info|warn|error\u{1}\",\"request\":",
            "{\"method\":\"\u{1}one:GET|GET|POST|PUT|DELETE\u{1}\",\"path\":\"\u{1}one:/|/api/v1/orders|",
            "/api/v1/users|/login|/static/app.js|/search|/healthz|/logout|/api/v1/pay\u{1}\",\"id\":\"",
            "\u{1}hex:16\u{1}\"},\"remote_addr\":\"\u{1}ip\u{1}\",\"status\":\u{1}one:200|200|200|201|",
            "204|301|304|400|401|404|429|500|502|503\u{1},\"bytes\":\u{1}int:100000\u{1},\"latency_s\":",
            "\u{1}seconds\u{1},\"user\":{\"id\":\u{1}int:50000\u{1},\"plan\":\"\u{1}one:free|pro|team",
            "\u{1}\"}}",
        )],
    ),
    (
        "gateway-logfmt",
        &[
            "level=\u{1}one:info|info|debug|warn|error\u{1} ts=\u{1}time\u{1} caller=gateway.go:\u{1}int:900\u{1} component=\u{1}one:router|auth|limiter\u{1} traceID=\u{1}hex:16\u{1} method=\u{1}one:GET|POST\u{1} route=\u{1}one:push|query|tail\u{1} duration=\u{1}duration\u{1} status=\u{1}one:200|204|429|500\u{1} msg=\"request served\"",
            "level=info ts=\u{1}time\u{1} caller=pool.go:\u{1}int:300\u{1} component=pool msg=\"connections\" open=\u{1}small:400\u{1} idle=\u{1}small:60\u{1} waited=\u{1}duration\u{1}",
        ],
    ),
    (
        "ingest-logfmt",
        &[
            "ts=\u{1}time\u{1} level=\u{1}one:info|debug|error\u{1} component=writer org_id=\u{1}int:40\u{1} blocks=\u{1}small:90\u{1} bytes=\u{1}int:900000\u{1} duration=\u{1}duration\u{1} path=/data/\u{1}hex:12\u{1}/block",
        ],
    ),
    (
        "sshd",
        &[
            "Nov 19 \u{1}clock\u{1} host-\u{1}int:12\u{1} sshd[\u{1}int:32000\u{1}]: Failed password for invalid user \u{1}one:admin|oracle|test|guest|ubuntu\u{1} from 1\u{1}int:90\u{1}.\u{1}int:256\u{1}.\u{1}int:256\u{1}.\u{1}int:256\u{1} port \u{1}int:65000\u{1} ssh2",
            "Nov 19 \u{1}clock\u{1} host-\u{1}int:12\u{1} sshd[\u{1}int:32000\u{1}]: Connection closed by \u{1}ip\u{1} [preauth]",
            "Nov 19 \u{1}clock\u{1} host-\u{1}int:12\u{1} sshd[\u{1}int:32000\u{1}]: pam_unix(sshd:session): session opened for user root by (uid=0)",
        ],
    ),
    (
        "storage-node",
        &[
            "2026-11-19 \u{1}clock\u{1} INFO dfs.DataNode$PacketResponder: Received block blk_\u{1}digits:19\u{1} of size \u{1}int:67108864\u{1} from /\u{1}ip\u{1}",
            "2026-11-19 \u{1}clock\u{1} INFO dfs.FSNamesystem: BLOCK* NameSystem.addStoredBlock: blockMap updated: \u{1}ip\u{1}:50010 is added to blk_\u{1}digits:19\u{1} size \u{1}int:67108864\u{1}",
            "2026-11-19 \u{1}clock\u{1} WARN dfs.DataNode$DataXceiver: Got exception while serving blk_\u{1}digits:19\u{1} to /\u{1}ip\u{1}: timeout",
        ],
    ),
    (
        "nginx",
        &[
            "\u{1}ip\u{1} - - [19/Nov/2026:\u{1}clock\u{1} +0000] \"\u{1}one:GET|GET|POST\u{1} \u{1}one:/|/index.html|/products/\u{1}\u{1}int:900\u{1} HTTP/1.1\" \u{1}one:200|200|304|404|500\u{1} \u{1}int:40000\u{1} \"-\" \"\u{1}one:Mozilla/5.0 (X11; Linux x86_64)|curl/8.5.0|Go-http-client/2.0\u{1}\"",
        ],
    ),
    (
        "scheduler",
        &[
            "I1119 \u{1}clock\u{1}.\u{1}digits:6\u{1} 1 schedule_one.go:\u{1}int:900\u{1}] \"Successfully bound pod to node\" pod=\"ns-\u{1}int:9\u{1}/job-\u{1}hex:10\u{1}\" node=\"node-\u{1}int:40\u{1}\" evaluatedNodes=\u{1}int:40\u{1}",
            "E1119 \u{1}clock\u{1}.\u{1}digits:6\u{1} 1 reflector.go:\u{1}int:200\u{1}] Failed to watch *v1.Pod: the server has asked for the client to provide credentials, error code \u{1}int:600\u{1}",
        ],
    ),
    (
        "executor",
        &[
            "26/11/19 \u{1}clock\u{1} INFO executor.Executor: Finished task \u{1}int:900\u{1}.0 in stage \u{1}int:90\u{1}.0 (TID \u{1}int:90000\u{1}). \u{1}int:9000\u{1} bytes result sent to driver",
            "26/11/19 \u{1}clock\u{1} INFO storage.BlockManager: Found block rdd_\u{1}int:90\u{1}_\u{1}int:900\u{1} locally",
        ],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_write_equal_lines() {
        let write = || {
            let (mut apps, mut dice, mut out) = (built_in(), Dice::new(7), String::new());
            let mut lines = Vec::new();
            for _ in 0..50 {
                for app in &mut apps {
                    app.line(Timestamp::from_seconds(1_795_046_400), &mut dice, &mut out);
                    lines.push(out.clone());
                }
            }
            lines
        };
        assert_eq!(write(), write());
        assert!(write().iter().all(|line| !line.contains('\u{1}')));
    }

    #[test]
    fn real_lines_vary_where_they_should() {
        assert_eq!(
            marked("12:34:56 id=deadbeef01 n=1234 v2"),
            "\u{1}clock\u{1} id=\u{1}hex:10\u{1} n=1\u{1}digits:3\u{1} v2"
        );
    }
}
