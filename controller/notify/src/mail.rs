//! Mails over SMTP with TLS by rustls: plain text and escaped HTML of the same story. Does I/O.

use std::time::Duration;

use aegis_api::error::root_cause;
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};

use crate::client::{self, ConfigError};
use crate::posted::Posted;
use crate::story::Story;

const TIMEOUT: Duration = Duration::from_secs(20);
/// Most addresses that a mail goes to.
const RECIPIENTS: usize = 20;
const URL: &str = "NOTIFY_SMTP_URL";

/// A mail without its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Letter {
    subject: String,
    text: String,
    html: String,
    /// What it belongs to, so that mail programs show an incident's mails together.
    thread: String,
}

impl Letter {
    pub(crate) fn of(story: &Story) -> Self {
        let mut text = String::new();
        let mut html = format!("<h2>{}</h2>\n<table>\n", escaped(&story.title));
        for (label, value) in story.rows() {
            text.push_str(&format!("{label}: {value}\n"));
            html.push_str(&format!(
                "<tr><th align=\"left\" valign=\"top\">{label}</th><td>{}</td></tr>\n",
                escaped(value).replace('\n', "<br>\n")
            ));
        }
        html.push_str("</table>\n");
        text.push_str(&format!("\naegisctl describe incident/{}\n", story.incident));
        if let Some(url) = &story.url {
            text.push_str(&format!("{url}\n"));
            html.push_str(&format!(
                "<p><a href=\"{}\">Open in the cockpit</a></p>\n",
                escaped(url)
            ));
        }
        Self {
            subject: format!("[AegisOps] {}", story.title),
            text,
            html,
            thread: format!("<{}@incidents.aegisops.io>", story.uid),
        }
    }

    /// A line that is about no incident.
    pub(crate) fn notice(text: &str) -> Self {
        Self {
            subject: format!("[AegisOps] {}", crate::story::line(text)),
            text: format!("{text}\n"),
            html: format!("<p>{}</p>\n", escaped(text)),
            thread: String::new(),
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.subject.len() + self.text.len() + self.html.len() + self.thread.len()
    }
}

/// Text that means nothing in HTML, neither as content nor in a quoted attribute.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// Sends mails.
pub struct Mail {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    to: Vec<Mailbox>,
}

impl std::fmt::Debug for Mail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mail")
            .field("to", &self.to)
            .finish_non_exhaustive()
    }
}

impl Mail {
    /// `url` is `smtps://user:password@host` (TLS from the first byte, port 465), `smtp://…?tls=required` (STARTTLS, port
    /// 587) or, for a relay that takes no password, `smtp://host:25`. Does not connect yet.
    ///
    /// # Errors
    ///
    /// Which setting is wrong, and what is allowed.
    pub fn new(url: &SecretString, from: &str, to: &[String]) -> Result<Self, ConfigError> {
        let mailbox = |name: &'static str, text: &str| {
            text.trim()
                .parse::<Mailbox>()
                .map_err(|error| ConfigError::Setting {
                    name,
                    why: format!(
                        "{:?} is no address such as \"AegisOps <aegis@example.org>\": {error}",
                        text.trim()
                    ),
                })
        };
        let recipients = to
            .iter()
            .filter(|to| !to.trim().is_empty())
            .map(|to| mailbox("NOTIFY_EMAIL_TO", to))
            .collect::<Result<Vec<_>, _>>()?;
        if recipients.is_empty() || recipients.len() > RECIPIENTS {
            return Err(ConfigError::Setting {
                name: "NOTIFY_EMAIL_TO",
                why: format!("name 1 to {RECIPIENTS} addresses, separated by commas"),
            });
        }
        Ok(Self {
            transport: transport(url)?,
            from: mailbox("NOTIFY_EMAIL_FROM", from)?,
            to: recipients,
        })
    }

    pub(crate) async fn send(&self, letter: &Letter) -> Posted {
        let mut builder = Message::builder()
            .from(self.from.clone())
            .subject(letter.subject.clone());
        for to in &self.to {
            builder = builder.to(to.clone());
        }
        if !letter.thread.is_empty() {
            builder = builder
                .in_reply_to(letter.thread.clone())
                .references(letter.thread.clone());
        }
        let body = MultiPart::alternative_plain_html(letter.text.clone(), letter.html.clone());
        let message = match builder.multipart(body) {
            Ok(message) => message,
            Err(error) => {
                return Posted::BodyRefused {
                    why: client::said(&error.to_string()),
                };
            }
        };
        let error = match self.transport.send(message).await {
            Ok(_) => return Posted::Taken(None),
            Err(error) => error,
        };
        let why = client::said(&match error.status() {
            Some(code) => format!("SMTP {code}: {}", root_cause(&error)),
            None => root_cause(&error),
        });
        let refused = |code: String| {
            matches!(
                code.as_str(),
                "530" | "534" | "535" | "538" | "550" | "551" | "553"
            )
        };
        match error.status() {
            // Who we are, or whom it goes to, is not accepted.
            Some(code) if refused(code.to_string()) => Posted::Refused { why },
            Some(_) if error.is_permanent() => Posted::BodyRefused { why },
            _ => Posted::Later { why, after: None },
        }
    }
}

fn transport(url: &SecretString) -> Result<AsyncSmtpTransport<Tokio1Executor>, ConfigError> {
    let wrong = |why: &str| ConfigError::Setting {
        name: URL,
        why: why.to_owned(),
    };
    let allowed = "use smtps://user:password@host, smtp://user:password@host?tls=required, or smtp://host:25 for a relay that takes no password";
    let url = Url::parse(url.expose_secret().trim()).map_err(|_| wrong(allowed))?;
    let host = url
        .host_str()
        .filter(|host| !host.is_empty())
        .ok_or_else(|| wrong(allowed))?;
    let starttls = url
        .query_pairs()
        .any(|(name, value)| name == "tls" && value == "required");
    let (user, password) = (
        decoded(url.username()),
        decoded(url.password().unwrap_or_default()),
    );
    let (tls, port) = match (url.scheme(), starttls) {
        ("smtps", _) => (Tls::Wrapper(parameters(host)?), 465),
        ("smtp", true) => (Tls::Required(parameters(host)?), 587),
        ("smtp", false) if !user.is_empty() => {
            return Err(wrong(
                "a password does not go over the network without TLS: use smtps://, or add ?tls=required",
            ));
        }
        ("smtp", false) => (Tls::None, 25),
        _ => return Err(wrong(allowed)),
    };
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host)
        .port(url.port().unwrap_or(port))
        .tls(tls)
        .timeout(Some(TIMEOUT));
    if !user.is_empty() {
        builder = builder.credentials(Credentials::new(user, password));
    }
    Ok(builder.build())
}

fn parameters(host: &str) -> Result<TlsParameters, ConfigError> {
    aegis_outgoing::install_crypto();
    let failed = |error: lettre::transport::smtp::Error| ConfigError::Setting {
        name: URL,
        why: format!("no TLS with {host}: {}", root_cause(&error)),
    };
    let mut builder = TlsParameters::builder(host.to_owned()).certificate_store(CertificateStore::None);
    for root in webpki_root_certs::TLS_SERVER_ROOT_CERTS {
        builder = builder.add_root_certificate(Certificate::from_der(root.to_vec()).map_err(failed)?);
    }
    builder.build_rustls().map_err(failed)
}

/// Percent-decoded, as the parts of an address are written.
fn decoded(part: &str) -> String {
    let Ok(mut url) = Url::parse("http://localhost/") else {
        return part.to_owned();
    };
    url.set_query(Some(&format!(
        "p={}",
        part.replace('+', "%2B").replace('&', "%26")
    )));
    url.query_pairs()
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
    use tokio::net::TcpListener;

    use super::*;
    use crate::card::Look;
    use crate::card::tests::incident;
    use aegis_api::incident::Stage;

    fn letter(text: &str) -> Letter {
        let incident = incident("u", text, &[Stage::Failed]);
        let entry = incident.status.as_ref().unwrap().timeline.first().unwrap();
        Letter::of(&Story::of(&incident, entry, &Look::default()))
    }

    /// A relay that takes one mail and answers `answer` to its end.
    async fn relay(answer: &'static str) -> (String, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("smtp://{}", listener.local_addr().unwrap());
        let task = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let (read, mut write) = socket.split();
            let mut lines = BufReader::new(read).lines();
            write.write_all(b"220 relay\r\n").await.unwrap();
            let (mut mail, mut data) = (String::new(), false);
            while let Ok(Some(line)) = lines.next_line().await {
                if data {
                    if line == "." {
                        data = false;
                        write.write_all(answer.as_bytes()).await.unwrap();
                    }
                    mail.push_str(&line);
                    mail.push('\n');
                    continue;
                }
                let reply: &[u8] = match line.split(' ').next().unwrap_or_default() {
                    "EHLO" => b"250 relay\r\n",
                    "DATA" => {
                        data = true;
                        b"354 go on\r\n"
                    }
                    "QUIT" => break,
                    _ => b"250 ok\r\n",
                };
                write.write_all(reply).await.unwrap();
            }
            mail
        });
        (url, task)
    }

    async fn sent(answer: &'static str, letter: &Letter) -> (Posted, String) {
        let (url, task) = relay(answer).await;
        let to = ["Ops <ops@example.org>".to_owned()];
        let mail = Mail::new(&SecretString::from(url), "aegis@example.org", &to).unwrap();
        let posted = mail.send(letter).await;
        drop(mail);
        (posted, task.await.unwrap())
    }

    #[tokio::test]
    async fn a_mail_has_plain_text_and_html_and_belongs_to_its_incident() {
        let (posted, mail) = sent("250 taken\r\n", &letter("a leak")).await;
        assert_eq!(posted, Posted::Taken(None));
        for part in [
            "To: Ops <ops@example.org>",
            "multipart/alternative",
            "text/plain",
            "text/html",
            "<u@incidents.aegisops.io>",
            "Root cause",
        ] {
            assert!(mail.contains(part), "{part} is missing: {mail}");
        }
    }

    #[tokio::test]
    async fn a_relay_that_is_busy_is_tried_later_and_one_that_refuses_is_not() {
        let letter = letter("a leak");
        let (busy, _) = sent("451 later\r\n", &letter).await;
        assert!(matches!(busy, Posted::Later { .. }), "{busy:?}");
        let (unknown, _) = sent("550 no such user\r\n", &letter).await;
        assert!(matches!(unknown, Posted::Refused { .. }), "{unknown:?}");
        let (large, _) = sent("552 too large\r\n", &letter).await;
        assert!(matches!(large, Posted::BodyRefused { .. }), "{large:?}");
    }

    #[test]
    fn what_an_incident_says_is_no_html_no_header_and_no_secret() {
        let letter = letter("<script>alert(1)</script> \"' password=hunter2\r\nBcc: evil@example.org");
        assert!(!letter.html.contains("<script>") && letter.html.contains("&lt;script&gt;"));
        assert!(!letter.subject.contains(['\r', '\n']), "{}", letter.subject);
        let whole = format!("{}{}{}", letter.subject, letter.text, letter.html);
        assert!(!whole.contains("hunter2"), "{whole}");
    }

    #[test]
    fn a_setting_that_is_wrong_is_named_without_the_password() {
        let to = ["ops@example.org".to_owned()];
        let error = |url: &str, from: &str, to: &[String]| {
            Mail::new(&SecretString::from(url.to_owned()), from, to)
                .unwrap_err()
                .to_string()
        };
        for url in ["", "mail.example.org", "http://u:hunter2@h", "smtp://u:hunter2@h"] {
            let error = error(url, "a@example.org", &to);
            assert!(
                error.contains("NOTIFY_SMTP_URL") && !error.contains("hunter2"),
                "{error}"
            );
        }
        assert!(error("smtp://h", "no address", &to).contains("NOTIFY_EMAIL_FROM"));
        assert!(error("smtp://h", "a@example.org", &[]).contains("NOTIFY_EMAIL_TO"));
        assert!(Mail::new(&SecretString::from("smtps://a%40b:c%2Bd@h"), "a@b.org", &to).is_ok());
        assert_eq!(
            (decoded("a%40b").as_str(), decoded("c+d&e").as_str()),
            ("a@b", "c+d&e")
        );
    }
}
