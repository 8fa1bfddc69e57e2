use proptest::prelude::*;

use super::*;

#[test]
fn letters_of_other_alphabets_stay_whole_around_a_secret_and_go_whole_with_it() {
    for (text, expected) in [
        (
            "пароль: password=тайна-ключ, дальше",
            "пароль: password=[redacted], дальше",
        ),
        (
            "{\"token\":\"żółć\u{1f511}\",\"имя\":\"ok\"}",
            "{\"token\":[redacted],\"имя\":\"ok\"}",
        ),
        (
            "{\"token\":\"a\\\u{1f511}b\",\"n\":1}",
            "{\"token\":[redacted],\"n\":1}",
        ),
        (
            "日本 https://人:秘密@例え/道",
            "日本 https://人:[redacted]@例え/道",
        ),
        ("Cookie: ключ=значение\u{a0}конец", "Cookie: [redacted]"),
        ("curl -u имя:тайна https://x", "curl -u имя:[redacted] https://x"),
        ("--token\u{2003}тайна", "--token\u{2003}[redacted]"),
        ("\u{3000}--password тайна", "\u{3000}--password [redacted]"),
        ("password\u{a0}: hunter2", "password\u{a0}: [redacted]"),
        ("token\u{202f}=\u{205f}x1", "token\u{202f}=\u{205f}[redacted]"),
        ("Bearer\u{a0}abc123def", "Bearer\u{a0}[redacted]"),
    ] {
        assert_eq!(redact(text), expected, "{text}");
    }
}

#[test]
fn secrets_go_and_what_stands_around_them_stays() {
    for (text, expected) in [
        ("Authorization: Bearer abc.def-123", "Authorization: [redacted]"),
        (
            "> authorization: Digest username=\"x\"",
            "> authorization: [redacted]\"x\"",
        ),
        (
            "curl -H 'Authorization: Basic dXNlcjpwYXNz' http://x",
            "curl -H 'Authorization: [redacted]' http://x",
        ),
        ("got bearer eyA1b2c3d4, refused", "got bearer [redacted], refused"),
        ("Cookie: session=abc; theme=dark", "Cookie: [redacted]"),
        (
            "postgres://app:s3cr3t@db:5432/app failed",
            "postgres://app:[redacted]@db:5432/app failed",
        ),
        ("redis://:p@ss@cache:6379", "redis://:[redacted]@cache:6379"),
        ("password=hunter2 user=bob", "password=[redacted] user=bob"),
        (
            "DB_PASSWORD: 'hunter 2', retries: 3",
            "DB_PASSWORD: [redacted], retries: 3",
        ),
        (r#"{"token":"abc \" def","n":1}"#, r#"{"token":[redacted],"n":1}"#),
        (
            r#""{\"api_key\":\"abc\",\"n\":1}""#,
            r#""{\"api_key\":[redacted],\"n\":1}""#,
        ),
        ("client_secret => abc)", "client_secret => [redacted])"),
        (
            "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG",
            "aws_secret_access_key = [redacted]",
        ),
        ("id AKIAIOSFODNN7EXAMPLE used", "id [redacted] used"),
        ("key AIzaSyA1234567890abcdefghijklmnopqrstuv.", "key [redacted]."),
        ("jwt eyJhbGciOi.eyJzdWIiOiIx.SflKxwRJ end", "jwt [redacted] end"),
        (
            "clone https://ghp_0123456789abcdefghij@github.com/x",
            "clone https://[redacted]@github.com/x",
        ),
        ("OPENAI sk-proj-0123456789abcdefABCDEF", "OPENAI [redacted]"),
        (
            "post https://hooks.slack.com/services/T0/B0/xyz now",
            "post https://hooks.slack.com/services/[redacted] now",
        ),
        (
            "a\n-----BEGIN RSA PRIVATE KEY-----\nMII\nabc\n-----END RSA PRIVATE KEY-----\nb",
            "a\n[redacted]\nb",
        ),
        ("a\n-----BEGIN PRIVATE KEY-----\nMII cut off", "a\n[redacted]"),
        (
            "cloudflared tunnel run --token eyJhbGciOi",
            "cloudflared tunnel run --token [redacted]",
        ),
        (
            "redis-server --requirepass hunter2 --port 1",
            "redis-server --requirepass [redacted] --port 1",
        ),
        ("mysqld --password hunter2", "mysqld --password [redacted]"),
        ("app --db-password hunter2 -v", "app --db-password [redacted] -v"),
        (
            r#"["app","--token","hunter2","-v"]"#,
            r#"["app","--token","[redacted]","-v"]"#,
        ),
        (
            "mysqladmin -u root -phunter2 ping",
            "mysqladmin -u root -p[redacted] ping",
        ),
        (
            "curl -s -u admin:hunter2 http://x",
            "curl -s -u admin:[redacted] http://x",
        ),
        (r#"{"cookie":"session=abc"}"#, r#"{"cookie":"[redacted]"}"#),
        (
            "GET /blob?se=1&sig=aB%2Fc&x=1",
            "GET /blob?se=1&sig=[redacted]&x=1",
        ),
        (
            "GET /api/auth/once?code=c0de1234",
            "GET /api/auth/once?code=[redacted]",
        ),
        ("t aegis_0123456789abcdef0123456789abcdef.", "t [redacted]."),
        (
            "docker login -u ada -p hunter2 registry:5000",
            "docker login -u ada -p [redacted] registry:5000",
        ),
        (
            "smbclient //nas/x -U ada%hunter2 -c ls",
            "smbclient //nas/x -U ada%[redacted] -c ls",
        ),
        (
            "4711 /usr/bin/mongo -u root -p hunter2 db",
            "4711 /usr/bin/mongo -u root -p [redacted] db",
        ),
        (
            "aegis_session=abc123; theme=dark",
            "aegis_session=[redacted]; theme=dark",
        ),
    ] {
        assert_eq!(redact(text), expected, "{text}");
    }
}

#[test]
fn the_end_of_a_key_whose_start_was_cut_off_goes_too() {
    let text = format!(
        "{}\n{}\n-----END PRIVATE KEY-----\nlistening",
        "MIIEvQIBADANBgkq".repeat(4),
        "hkiG9w0BAQEFAASC"
    );
    assert_eq!(redact(&text), "[redacted]\nlistening");
}

#[test]
fn ordinary_lines_stay_and_are_not_even_copied() {
    for text in [
        "Basic authentication required, bearer missing",
        "token expected at line 3",
        "GET http://10.0.0.1:8080/health 200 in 3 ms",
        "docker run --user 1000:1000 -p 8080:80 -u app:app web:1",
        "nginx -p /etc/nginx -c /etc/nginx/nginx.conf",
        "the flag --token is required, --password must be given",
        "ssh -p 22 host; psql -p5432 -U app",
        "recreate shop-mongo-1, e.g. docker compose -p shop up -d",
        "docker run --name mongo -p 27017:27017 mongo:7",
        "docker compose -p shop up mongo, then docker login registry:5000",
        "tar -p x && zip -r a.zip /data -x P; unzip a.zip -d /data",
        "sshpass -e ssh -p 2222 host",
        "redis-cli ping && mkdir -p /data -a",
        "GET /search?q=code&page=2",
        "aegis_lb_server_requests_total 12",
        "max_tokens: 4096, passwords are hashed",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "Out of memory: Killed process 4711 (python) total-vm:262144kB",
        "",
    ] {
        assert!(
            matches!(redact(text), Cow::Borrowed(same) if same == text),
            "{text} became {}",
            redact(text)
        );
    }
}

#[test]
fn of_a_key_that_comes_line_by_line_nothing_comes_through_and_what_follows_does() {
    let mut lines = LineRedactor::default();
    let log = "up\n-----BEGIN RSA PRIVATE KEY-----\nMIIEvQ==\nabc\n-----END RSA PRIVATE KEY-----\nlistening";
    let clean: Vec<_> = log.lines().map(|line| lines.line(line).into_owned()).collect();
    assert_eq!(clean, ["up", REDACTED, REDACTED, REDACTED, REDACTED, "listening"]);
    lines.line("-----BEGIN PRIVATE KEY-----");
    let hidden = (0..1000).take_while(|_| lines.line("a line") == REDACTED).count();
    assert_eq!(
        hidden,
        usize::from(PEM_LINES),
        "one that never ends does not hide a log for ever"
    );
    assert_eq!(
        lines.line("-----BEGIN KEY-----MII-----END KEY----- done"),
        "[redacted] done"
    );
    assert_eq!(lines.line("listening"), "listening");
}

/// As of a log whose last lines alone are requested.
#[test]
fn of_a_key_whose_first_lines_were_left_out_nothing_comes_through_line_by_line_either() {
    let body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj";
    for stamp in ["", "2026-11-30T12:00:00.123456789Z "] {
        let mut lines = LineRedactor::default();
        let log = format!(
            "{stamp}{body}\n{stamp}{body}\n{stamp}q0==\n{stamp}-----END PRIVATE KEY-----\n{stamp}listening"
        );
        let clean: Vec<_> = log.lines().map(|line| lines.line(line).into_owned()).collect();
        assert_eq!(clean[..3], [REDACTED; 3]);
        assert!(clean[4].ends_with("listening"), "{clean:?}");
        assert_eq!(
            lines.line(body),
            body,
            "what comes later begins with its first line"
        );
    }
    for first in [
        "listening",
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "GET / 200",
        "",
    ] {
        let mut lines = LineRedactor::default();
        assert_eq!(lines.line(first), first);
        assert_eq!(lines.line("ready"), "ready");
    }
}

#[test]
fn every_pattern_compiles() {
    assert_eq!(PATTERNS.len(), SOURCES.len());
}

#[test]
fn bounding_keeps_the_end_and_says_that_something_is_missing() {
    assert_eq!(bound("abcdef", 6), "abcdef");
    assert_eq!(bound("abcdef", 4), "…def");
    assert_eq!(bound("äöüß", 3), "…üß");
    assert_eq!(bound("abc", 1), "…");
    assert_eq!(bound("abc", 0), "");
    assert_eq!(bound("", 0), "");
}

#[test]
fn i11_nothing_that_moves_a_terminal_survives() {
    assert_eq!(
        bound("\u{1b}[31mred\u{1b}[0m and \u{1b}[1;5Hhere", 99),
        "red and here"
    );
    assert_eq!(bound("\u{1b}]0;title\u{7}x", 99), "\u{fffd}]0;title\u{fffd}x");
    assert_eq!(bound("\u{1b}[", 99), "\u{fffd}[");
    assert_eq!(
        bound("a\r\nb\rc\td\0\u{8}\u{9b}31m", 99),
        "a\nb\nc\td\u{fffd}\u{fffd}\u{fffd}31m"
    );
    assert_eq!(
        bound("safe\u{202e}txt.exe\u{2066}", 99),
        "safe\u{fffd}txt.exe\u{fffd}"
    );
}

#[test]
fn text_cannot_be_hidden_in_an_endless_sequence() {
    let hidden = format!("\u{1b}[{}visible", "1".repeat(100));
    assert!(bound(&hidden, 999).ends_with("visible") && bound(&hidden, 999).contains("111"));
}

#[test]
fn long_bait_takes_no_more_than_a_moment() {
    for bait in [
        "password=\"",
        "-----BEGIN A KEY-----",
        "a://b:",
        "token:",
        "eyJaaaaa.",
        "bearer ",
        "\u{1b}[",
        "AKIA",
        "\\\"",
        "curl x ",
        "curl -u ",
        "mysql -",
        "docker login ",
        "sh -c mongo ",
        "smbclient -U",
    ] {
        let text = bait.repeat((1 << 18) / bait.len());
        let started = std::time::Instant::now();
        let _ = (redact(&text).len(), bound(&text, 2000).len());
        // Quadratic work takes minutes on this; linear work, in a slow test build, well under a second.
        assert!(
            started.elapsed().as_secs() < 60,
            "{bait}: {:?}",
            started.elapsed()
        );
    }
}

/// Command lines, headers, addresses and documents around a secret.
const SHAPES: &[&str] = &[
    "app --token %",
    "app --token=%",
    "app --api-token % -v",
    "app -token %",
    "app --password %",
    "app --password=%",
    "app --db-password % --port 1",
    "app --passwd %",
    "app --passphrase %",
    "redis-server --requirepass %",
    "redis-server --masterauth %",
    "app --secret %",
    "app --client-secret %",
    "app --api-key %",
    "app --access_key %",
    "mysql -u root -p% db",
    "mysqladmin -p% ping",
    "redis-cli -h db -a % ping",
    "[\"valkey-cli\",\"-a\",\"%\",\"ping\"]",
    "redis-cli -a \"%\" ping",
    "redis-cli -a '%' ping",
    "mongosh -p \"%\" db",
    "{\"cmd\":\"redis-cli -a \\\"%\\\" ping\"}",
    "sshpass -p % ssh host",
    "sshpass -p% ssh host",
    "mongosh -u root -p % db",
    "\nmongo -u root -p % db",
    "\n17 /usr/bin/mongo db -p% x",
    "[\"mongo\",\"-u\",\"root\",\"-p\",\"%\"]",
    "sh -c \"mongo -u root -p % db\"",
    "docker login -u ada -p % registry:5000",
    "docker login -p% registry:5000",
    "[\"docker\",\"login\",\"-p\",\"%\"]",
    "podman login --username ada --password % quay.io",
    "helm registry login -u ada -p '%' r",
    "az login -u ada -p %",
    "cqlsh db -u root -p %",
    "sqlcmd -S db -U sa -P % -Q x",
    "ipmitool -H bmc -U root -P % power status",
    "unzip -P % a.zip",
    "curl --oauth2-bearer % http://x",
    "openssl rsa -in key -passin pass:% -out x",
    "ldapsearch -x -D cn=a -w % -b dc=b",
    "curl -u admin:% http://x",
    "curl -sf --user admin:% http://x",
    "[\"app\",\"--token\",\"%\"]",
    "['app', '--password', '%']",
    "Authorization: Bearer %",
    "authorization: Basic %",
    "Cookie: session=%",
    "Set-Cookie: sid=%; Path=/",
    "{\"cookie\":\"a=%\"}",
    "{\"token\": \"%\"}",
    "{\"password\":\"%\"}",
    "{\\\"api_key\\\":\\\"%\\\"}",
    "DB_PASSWORD=%",
    "SECRET: '%'",
    "client_secret => %",
    "postgres://app:%@db/app",
    "https://user:%@host/path",
    "GET /x?sig=%",
    "GET /x?a=1&signature=%&b=2",
    "GET /auth/once?code=%",
    "GET /?session=%",
    "https://x/?X-Amz-Signature=%&z",
    "aegis_session=%",
    "https://hooks.slack.com/services/%",
    "-----BEGIN KEY-----\n%\n",
];

fn log_text() -> impl Strategy<Value = String> {
    let pieces = vec![
        "password",
        "=",
        ":",
        " ",
        "\"",
        "'",
        "\\",
        "\n",
        "bearer ",
        "Basic ",
        "dXNlcjpw",
        "hunter2",
        "://",
        "u:p@h",
        "token",
        "-----BEGIN X KEY-----",
        "-----END X KEY-----",
        "[redacted]",
        " eyJhbGci.eyJzdWI ",
        " AKIAIOSFODNN7EXAMPLE ",
        "\u{1b}[31m",
        "\u{1b}",
        "\r",
        "ß",
        "{",
        "}",
        ",",
        "Authorization",
        "cookie:",
    ];
    prop::collection::vec(prop::sample::select(pieces), 0..30).prop_map(|pieces| pieces.concat())
}

#[test]
fn what_one_pass_brings_to_light_is_taken_out_too() {
    let once = redact("dXNlcjpw://cookie:\"u:p@h").into_owned();
    assert_eq!(redact(&once), once);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_secret_comes_through_in_no_shape(
        secret in "[A-Za-z0-9]{4}[0-9][A-Za-z0-9_]{6,40}",
        before in "[a-z ]{0,20}",
        shape in prop::sample::select(SHAPES.to_vec()),
    ) {
        let text = format!("{before} {}", shape.replace('%', &secret));
        let clean = redact(&text).into_owned();
        prop_assert!(!clean.contains(&secret), "{} from {}", clean, text);
    }

    #[test]
    fn redacting_again_changes_nothing(text in log_text()) {
        let once = redact(&text).into_owned();
        prop_assert_eq!(&redact(&once), &once, "from {:?}", text);
    }

    #[test]
    fn a_bounded_text_is_short_and_harmless(text in prop_oneof![log_text(), any::<String>()], chars in 0_usize..60) {
        let bounded = bound(&text, chars);
        prop_assert!(bounded.chars().count() <= chars);
        prop_assert!(bounded.chars().all(|c| c == '\n' || c == '\t' || !c.is_control()));
    }
}

#[test]
fn a_long_text_is_cut_to_a_few_times_what_is_wanted_before_it_is_looked_through() {
    let hostile = "token=a ".repeat(500_000);
    let looked = tail(&hostile, 2000);
    assert!(looked.len() <= 19_000 && looked.len() >= 8000, "{}", looked.len());
    assert!(looked.starts_with("token=a "), "at a word");
    assert_eq!(redact_tail(&hostile, 2000).chars().count(), 2000);
    let lines = format!("{}password=hunter2hunter2\nthe end", "a line\n".repeat(100_000));
    let shown = redact_tail(&lines, 100);
    assert!(
        shown.ends_with("the end") && !shown.contains("hunter2"),
        "{shown}"
    );
    let one_word = format!("token={}", "x".repeat(100_000));
    assert!(tail(&one_word, 100).len() < 20_000);
    assert_eq!(tail("short", 2), "short");
    // Of a key in several lines, whose first was cut off, nothing is left.
    let key = format!(
        "{}{}\n-----END RSA PRIVATE KEY-----\nafter",
        "x".repeat(20_000),
        "\nMIIEow".repeat(200)
    );
    let shown = redact_tail(&key, 2000);
    assert_eq!(shown, "after", "{shown}");
    let wide = "ü".repeat(100_000);
    assert!(tail(&wide, 10).chars().all(|c| c == 'ü'));
}
