//! Text from outside, made safe to pass on: [`redact`] takes secrets out, [`bound`] limits length and takes the power
//! out of control characters. Owns the patterns. Pure, and linear in the length of the text: the patterns go through
//! an automaton that never backtracks, and each consumes what it has read.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::bytes::{Captures, Regex, RegexBuilder};

/// What stands where a secret was.
pub const REDACTED: &str = "[redacted]";

/// One kind of secret, and whether what was found is one.
struct Pattern {
    regex: Regex,
    only_if: fn(&str) -> bool,
}

/// A pattern, and whether what it found is a secret.
type Source = (&'static str, fn(&str) -> bool);

/// Patterns, in the order in which they apply. Group `keep` stays in front of the mark, group `secret` is what the
/// check reads, group `tail` stays behind the mark.
const SOURCES: [Source; 19] = [
    // PEM blocks, also ones cut off at their end or their start.
    (
        r"(?s)-----BEGIN [A-Z0-9 ]{3,40}-----(?P<secret>.*?)(?:-----END [A-Z0-9 ]{3,40}-----|\z)",
        always,
    ),
    (
        r"\A(?P<secret>[A-Za-z0-9+/=\s]{20,})-----END [A-Z0-9 ]{3,40}-----",
        always,
    ),
    // Headers whose whole value is a credential.
    (
        r#"(?i)(?P<keep>\b(?:proxy-)?authorization\\*["']?\s*[:=]\s*\\*["']?|\b(?:set-)?cookie:\s*)(?P<secret>[^\r\n"'\\]+)"#,
        always,
    ),
    (
        r"(?i)(?P<keep>\b(?:bearer|basic)\s+)(?P<secret>[A-Za-z0-9._~+/=-]{6,})",
        looks_random,
    ),
    // "cookie": "…", also with escaped quotes.
    (
        r#"(?i)(?P<keep>\b(?:set-)?cookies?\\*["']\s*:\s*\\*["'])(?P<secret>[^\r\n"'\\]+)"#,
        always,
    ),
    // Our own: tokens, and the cookie of a session, with what follows its name.
    (r"\b(?P<secret>aegis_[0-9a-f]{32,})", always),
    (r"(?P<keep>\baegis_session=)(?P<secret>[^\s;,\x22']+)", always),
    // Command lines: --token X, --db-password X, --requirepass X; and curl's -u user:password.
    (
        concat!(
            r"(?i)(?P<keep>(?:^|[\s\x22'\[,(\x80-\xFF])--?(?:[a-z0-9]+[_-])*(?:token|pass(?:word|wd|phrase)?|requirepass|masterauth|secret|(?:api|access|secret|private)[_-]?key|oauth2-bearer)",
            r"(?:\s+|\x22\s*,\s*\x22|'\s*,\s*'))",
            r"(?P<secret>[^\s\x22'\-][^\s\x22',\]]*)",
        ),
        is_value,
    ),
    (
        r"(?P<keep>\bcurl\b[^\r\n|;]*?\s(?:-u|--user|--proxy-user)(?:\s+|=)[\x22']?[^\s:\x22'/]+:)(?P<secret>[^\s\x22'/]+)",
        is_value,
    ),
    // MySQL's -pX.
    (
        r"(?P<keep>\b(?:mysql|mariadb)[a-z-]*\b[^\r\n|;]*?\s-p)(?P<secret>[^\s\x22']+)",
        is_value,
    ),
    // Short flags of programs whose next word is a password.
    (
        concat!(
            r"(?P<keep>(?:\b(?:redis|valkey|keydb)-cli\b[^\r\n|;&]*?[\s\x22']-a",
            r"|\bsshpass(?:\s+|\x22\s*,\s*\x22|'\s*,\s*')-p",
            r"|\b(?:mongo(?:sh|dump|restore|export|import|stat|top)|cqlsh|(?:docker|podman|nerdctl|buildah|skopeo|oras|crane|az|helm[\s\x22',]+registry)[\s\x22',]+login)\b[^\r\n|;&]*?[\s\x22']-p",
            r"|\b(?:sqlcmd|ipmitool|zip|unzip)\b[^\r\n|;&]*?[\s\x22']-P",
            r"|\bldap(?:search|modify|add|delete|passwd|whoami)\b[^\r\n|;&]*?[\s\x22']-w)",
            r"(?:\s+|\x22\s*,\s*\x22|'\s*,\s*')?\\*[\x22']?)(?P<secret>[^\s\x22',\]\-\\][^\s\x22',\]\\]*)",
        ),
        is_value,
    ),
    // The old shell of MongoDB, where it is the command: containers are called so, too, and have ports.
    (
        concat!(
            r"(?m)(?P<keep>(?:^(?:\d{1,10}\s+)?(?:[^\s\x22']*/)?|\bsh\s+-c\s+[\x22']?|\[[\x22'])mongo[\x22']?[\s,][^\r\n|;&]*?[\s\x22']-p",
            r"(?:\s+|\x22\s*,\s*\x22|'\s*,\s*')?[\x22']?)(?P<secret>[^\s\x22',\]\-\\][^\s\x22',\]\\]*)",
        ),
        is_value,
    ),
    // smbclient's -U user%X.
    (
        r"(?P<keep>\bsmbclient\b[^\r\n|;&]*?\s-U\s*[\x22']?[^\s%\x22']+%)(?P<secret>[^\s\x22']+)",
        is_value,
    ),
    // Signed addresses, and those that let in.
    (
        r"(?i)(?P<keep>[?&](?:x-amz-|x-goog-)?(?:sig|signature|code|session|security-token)=)(?P<secret>[^\s&#\x22'<>\\]+)",
        is_value,
    ),
    // A JSON Web Token.
    (
        r"\b(?P<secret>eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{5,}(?:\.[A-Za-z0-9_-]*)?)",
        always,
    ),
    // The password in scheme://user:password@host.
    (
        r"(?i)(?P<keep>\b[a-z][a-z0-9+.-]{1,30}://[^\s:/@]*:)(?P<secret>[^\s/]+)(?P<tail>@)",
        always,
    ),
    // Keys that say whose they are: AWS, Google, GitHub, GitLab, Slack, Stripe, OpenAI and Anthropic, npm.
    (
        concat!(
            r"\b(?P<secret>(?:AKIA|ASIA|AGPA|AIDA|AROA|ANPA|ANVA|AIPA)[A-Z0-9]{16}",
            r"|AIza[0-9A-Za-z_-]{35}|ya29\.[0-9A-Za-z_-]{10,}|GOCSPX-[0-9A-Za-z_-]{10,}",
            r"|gh[pousr]_[A-Za-z0-9]{16,}|github_pat_[A-Za-z0-9_]{16,}|glpat-[A-Za-z0-9_-]{15,}",
            r"|xox[abeoprs]-[A-Za-z0-9-]{10,}|[srp]k_(?:live|test)_[A-Za-z0-9]{10,}",
            r"|sk-[A-Za-z0-9_-]{16,}|npm_[A-Za-z0-9]{30,})",
        ),
        always,
    ),
    (
        r"(?P<keep>https://hooks\.slack\.com/(?:services|workflows)/)(?P<secret>[A-Za-z0-9/_-]+)",
        always,
    ),
    // password=…, "token": "…", API_KEY: '…'; also with escaped quotes, as in JSON inside JSON.
    (
        concat!(
            r"(?i)(?P<keep>(?:pass(?:word|wd|phrase)?|pwd|secret|token|credentials?|(?:api|access|account|private|encryption|signing|secret)[_-]?key)",
            r#"\\*["']?\s*(?:=>|:=|[:=])\s*)"#,
            r#"(?P<secret>\[redacted\]|\\+"[^"\r\n]*"?|"(?:[^"\\\r\n]|\\.)*"?|'[^'\r\n]*'?|[^\s,;&"'\\(){}<>]+)"#,
        ),
        always,
    ),
];

/// How large a pattern may become when it is compiled, bytes. Each thread that searches has a cache that grows with it: one
/// that repeats a class up to a number has so many copies of that.
const COMPILED: usize = 128 << 10;
/// How large such a cache may become; where it is full, the search starts it again.
const SEARCHED: usize = 256 << 10;

static PATTERNS: LazyLock<Vec<Pattern>> = LazyLock::new(|| {
    let compiled = SOURCES.iter().filter_map(|(source, only_if)| {
        // Bytes: what Unicode calls a letter or a space makes an automaton ten times as large, and secrets are ASCII. What is
        // found begins and ends at ASCII characters, or where the text does.
        let mut regex = RegexBuilder::new(&with_all_spaces(source));
        let regex = regex.unicode(false).size_limit(COMPILED).dfa_size_limit(SEARCHED);
        let regex = regex.build().ok()?;
        Some(Pattern {
            regex,
            only_if: *only_if,
        })
    });
    compiled.collect()
});

/// The spaces of Unicode beside those of ASCII, as bytes: people and layouts put them where others put a blank.
const SPACE: &str =
    r"(?:\s|\xC2[\x85\xA0]|\xE1\x9A\x80|\xE2(?:\x80[\x80-\x8A\xA8\xA9\xAF]|\x81\x9F)|\xE3\x80\x80)";

/// A pattern in which each `\s` outside of a class stands for any space.
fn with_all_spaces(source: &str) -> String {
    let (mut pattern, mut in_class) = (String::new(), false);
    let mut characters = source.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some('s') if !in_class => pattern.push_str(SPACE),
                escaped => {
                    pattern.push('\\');
                    pattern.extend(escaped);
                }
            },
            _ => {
                in_class = (in_class || character == '[') && character != ']';
                pattern.push(character);
            }
        }
    }
    pattern
}

/// How often a text is gone through: taking one secret out may show another, such as what followed a torn quote.
const PASSES: usize = 8;

/// The text without its secrets; borrowed where there are none.
pub fn redact(text: &str) -> Cow<'_, str> {
    let mut clean = Cow::Borrowed(text);
    for _ in 0..PASSES {
        let cleaner = match pass(&clean) {
            Cow::Owned(cleaner) => cleaner,
            Cow::Borrowed(_) => break,
        };
        clean = Cow::Owned(cleaner);
    }
    clean
}

/// Redacts a text that comes line by line, such as a log that is followed: of a PEM block that is spread over lines, all go,
/// also where the text begins in the middle of one.
#[derive(Debug, Default, Clone)]
pub struct LineRedactor {
    /// Lines of a block that may still come.
    left: u16,
    /// A line was seen that is none of a block which began before the first.
    begun: bool,
    /// Whole lines of such a block were seen.
    within: bool,
}

/// Most lines of a PEM block. What begins one and never ends it hides no more of a log than that.
const PEM_LINES: u16 = 200;
/// Around a key in several lines.
const PEM_BEGIN: &str = "-----BEGIN ";
const PEM_END: &str = "-----END ";

impl LineRedactor {
    /// The line without its secrets.
    pub fn line<'a>(&mut self, line: &'a str) -> Cow<'a, str> {
        if !self.begun {
            match of_block(line) {
                Some(Rest::Whole) => {
                    self.within = true;
                    return Cow::Borrowed(REDACTED);
                }
                Some(Rest::Last) if self.within => {
                    self.begun = true;
                    return Cow::Borrowed(REDACTED);
                }
                _ => self.begun = true,
            }
        }
        if self.left > 0 {
            self.left = match line.contains(PEM_END) {
                true => 0,
                false => self.left.saturating_sub(1),
            };
            return Cow::Borrowed(REDACTED);
        }
        let begun = line.rfind(PEM_BEGIN);
        let open = begun
            .and_then(|at| line.get(at..))
            .is_some_and(|rest| !rest.contains(PEM_END));
        if open {
            self.left = PEM_LINES;
        }
        redact(line)
    }
}

/// A line that may be one of a PEM block whose first was not seen.
enum Rest {
    /// As long as such lines are.
    Whole,
    /// As the last one may be.
    Last,
}

/// The least characters of a whole line of a PEM block. RFC 7468 says 64, others write 48 or 76.
const PEM_LINE: usize = 40;

/// Whether a line, behind the time that an engine puts there, is nothing but base64. Sums and ids have no capitals, or
/// nothing else.
fn of_block(line: &str) -> Option<Rest> {
    let stamped = line.split_once(' ');
    let text = match stamped {
        Some((at, text)) if at.parse::<crate::Time>().is_ok() => text,
        _ => line,
    };
    let text = text.trim_end();
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    if text.is_empty() || !text.bytes().all(is_base64) {
        return None;
    }
    let is_mixed = text.bytes().any(|byte| byte.is_ascii_uppercase())
        && text.bytes().any(|byte| byte.is_ascii_lowercase());
    match text.len() >= PEM_LINE {
        true if is_mixed => Some(Rest::Whole),
        true => None,
        false => Some(Rest::Last),
    }
}

/// Each pattern once; owned if any of them found something.
fn pass(text: &str) -> Cow<'_, str> {
    let mut clean = Cow::Borrowed(text);
    for pattern in PATTERNS.iter() {
        let replaced = pattern
            .regex
            .replace_all(clean.as_bytes(), |found: &Captures<'_>| pattern.replace(found));
        if let Cow::Owned(replaced) = replaced
            && replaced != clean.as_bytes()
        {
            let replaced = String::from_utf8(replaced);
            clean = Cow::Owned(
                replaced.unwrap_or_else(|torn| String::from_utf8_lossy(torn.as_bytes()).into_owned()),
            );
        }
    }
    clean
}

impl Pattern {
    fn replace(&self, found: &Captures<'_>) -> Vec<u8> {
        let group = |name| found.name(name).map_or(&b""[..], |found| found.as_bytes());
        if (self.only_if)(&String::from_utf8_lossy(group("secret"))) {
            [group("keep"), REDACTED.as_bytes(), group("tail")].concat()
        } else {
            found.get(0).map_or(&b""[..], |found| found.as_bytes()).to_owned()
        }
    }
}

fn always(_: &str) -> bool {
    true
}

/// Whether what follows a flag is its value: not a mark of ours, nor a word of a sentence about the flag.
fn is_value(word: &str) -> bool {
    const WORDS: [&str; 12] = [
        "is", "was", "are", "must", "or", "and", "to", "for", "not", "flag", "option", "required",
    ];
    !word.starts_with('[') && !WORDS.contains(&word)
}

/// Whether a word is no plain word: `Basic authentication` is none of our business, `Basic dXNlcjpwYXNz` is.
fn looks_random(word: &str) -> bool {
    let inner_capital =
        word.chars().skip(1).any(|c| c.is_ascii_uppercase()) && word.chars().any(|c| c.is_ascii_lowercase());
    inner_capital || word.contains('=') || word.chars().any(|c| c.is_ascii_digit())
}

/// The last `chars` characters of the text, with an ellipsis in front where something was cut. Line breaks and tabs
/// stay; terminal colours and cursor movements are dropped; any other control character, and what turns the direction
/// of writing, becomes U+FFFD.
pub fn bound(text: &str, chars: usize) -> String {
    let harmless = neutralise(text);
    let length = harmless.chars().count();
    if length <= chars {
        return harmless;
    }
    let Some(kept) = chars.checked_sub(1) else {
        return String::new();
    };
    std::iter::once('…')
        .chain(harmless.chars().skip(length - kept))
        .collect()
}

/// How many times the wanted length is looked through for secrets.
const TIMES: usize = 4;
/// Less is never cut: a key in several lines is longer than most of what is wanted.
const LEAST: usize = 16 * 1024;

/// The last `chars` characters of a text without its secrets, as [`bound`] shows them. However long the text is, only a
/// few times that much of its end is looked through: hostile text must not cost more than what is shown of it.
pub fn redact_tail(text: &str, chars: usize) -> String {
    bound(&redact(tail(text, chars)), chars)
}

/// The end of a text that is worth looking through. It begins with a whole line, or at least with a whole word: of a
/// secret that was cut in two, the end would not be known as one.
pub fn tail(text: &str, chars: usize) -> &str {
    let bytes = chars.saturating_mul(TIMES).max(chars.saturating_add(LEAST));
    let Some(from) = text.len().checked_sub(bytes).filter(|from| *from > 0) else {
        return text;
    };
    let from = (from..text.len())
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(text.len());
    let rest = text.get(from..).unwrap_or_default();
    // Where there is neither in the first half of it, nothing is lost by that half.
    let most = rest.len() / 2;
    let most = (most..rest.len())
        .find(|at| rest.is_char_boundary(*at))
        .unwrap_or(rest.len());
    let head = rest.get(..most).unwrap_or_default();
    let begins = head
        .find('\n')
        .map(|at| at + 1)
        .or_else(|| {
            let space = |(_, character): &(usize, char)| character.is_whitespace();
            let (at, character) = head.char_indices().find(space)?;
            Some(at + character.len_utf8())
        })
        .unwrap_or(most);
    let rest = rest.get(begins..).unwrap_or_default();
    // The end of a key whose beginning was cut off: that, too, would not be known as one.
    let end = rest
        .find(PEM_END)
        .filter(|end| rest.find(PEM_BEGIN).is_none_or(|begin| *end < begin));
    let after = end.and_then(|end| rest.get(end..)?.split_once('\n'));
    match (end, after) {
        (Some(_), Some((_, after))) => after,
        (Some(_), None) => "",
        (None, _) => rest,
    }
}

fn neutralise(text: &str) -> String {
    let mut harmless = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '\u{1b}' => match control_sequence(rest.as_str()) {
                Some(after) => rest = after.chars(),
                None => harmless.push('\u{fffd}'),
            },
            '\r' if rest.as_str().starts_with('\n') => {}
            '\r' => harmless.push('\n'),
            '\n' | '\t' => harmless.push(c),
            '\u{2028}'
            | '\u{2029}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' => {
                harmless.push('\u{fffd}');
            }
            _ if c.is_control() => harmless.push('\u{fffd}'),
            _ => harmless.push(c),
        }
    }
    harmless
}

/// What follows a control sequence (ECMA-48: `[`, parameters, one final byte), given the text after its escape. Only
/// short ones count, so that no text can be hidden in one.
fn control_sequence(text: &str) -> Option<&str> {
    let parameters = text.strip_prefix('[')?;
    let length = parameters
        .bytes()
        .take(32)
        .take_while(|byte| (0x20..=0x3f).contains(byte))
        .count();
    let (_, rest) = parameters.split_at_checked(length)?;
    rest.strip_prefix(|last: char| ('@'..='~').contains(&last))
}

#[cfg(test)]
mod tests;
