//! Amazon SNS, which puts a message into one of its own, whatever content type it says. What it asks is for a person: no address of
//! a body is ever fetched. <https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html>. Pure.

use serde_json::{Map, Value};

use super::report::text;

/// Fields with which anybody ends a subscription, or that prove what is not proved here.
const LEFT_OUT: &[&str] = &[
    "UnsubscribeURL",
    "Signature",
    "SignatureVersion",
    "SigningCertURL",
];
/// The longest address that is shown, bytes.
const LONGEST: usize = 2048;

/// What SNS asks.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Question {
    /// What it asks, and what to do.
    pub(super) why: String,
    /// The address with which a person says yes; `None` where it is not one of Amazon's.
    pub(super) open: Option<String>,
}

/// Whether a body is of SNS itself.
fn is_one(fields: &Map<String, Value>) -> bool {
    fields.contains_key("TopicArn") && fields.contains_key("MessageId")
}

/// The question in a body, if it is one.
pub(super) fn question(value: &Value) -> Option<Question> {
    let fields = value.as_object().filter(|fields| is_one(fields))?;
    let asks = match text(fields, "Type")?.as_str() {
        "SubscriptionConfirmation" => "asks whether its topic may send here: to confirm",
        "UnsubscribeConfirmation" => "says that its topic sends nothing here any more: to subscribe again",
        _ => return None,
    };
    let open = text(fields, "SubscribeURL").filter(|address| is_amazons(address));
    let what = match open {
        Some(_) => "open its SubscribeURL in a browser, once",
        None => "there is no SubscribeURL of amazonaws.com in it: open none",
    };
    Some(Question {
        why: format!("Amazon SNS {asks}, {what}; the controller opens no address of an alert"),
        open,
    })
}

/// Whether a person may be advised to open an address: it is one of SNS, and nothing but an address.
fn is_amazons(address: &str) -> bool {
    let host = address.strip_prefix("https://sns.").unwrap_or_default();
    let host = host.split(['/', '?', '#']).next().unwrap_or_default();
    let mut ends = [".amazonaws.com", ".amazonaws.com.cn"].into_iter();
    let region = ends.find_map(|end| host.strip_suffix(end)).unwrap_or_default();
    let is_region = !region.is_empty()
        && region
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    is_region && address.len() <= LONGEST && address.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The message in a body of SNS, and what else is around it.
pub(super) fn message(value: &Value) -> Option<(&str, Map<String, Value>)> {
    let fields = value.as_object().filter(|fields| is_one(fields))?;
    let message = fields.get("Message")?.as_str()?;
    let around = fields
        .iter()
        .filter(|(name, _)| !LEFT_OUT.contains(&name.as_str()));
    Some((
        message,
        around
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_an_address_of_amazons_is_one_to_open() {
        for (address, is) in [
            (
                "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&Token=2336",
                true,
            ),
            (
                "https://sns.cn-north-1.amazonaws.com.cn/?Action=ConfirmSubscription",
                true,
            ),
            ("http://sns.eu-west-1.amazonaws.com/", false),
            ("https://sns.evil.example/?x=.amazonaws.com", false),
            ("https://sns.evil.example#.amazonaws.com", false),
            ("https://sns.bucket.s3.amazonaws.com/", false),
            ("https://sns.x@evil.example/.amazonaws.com", false),
            ("https://sns.evil.example\\.amazonaws.com", false),
            ("https://sns.eu-west-1.amazonaws.com.evil.example/", false),
            ("https://sns.eu-west-1.amazonaws.com/ \u{1b}[2J", false),
        ] {
            let body = json!({"Type": "SubscriptionConfirmation", "MessageId": "m", "TopicArn": "t", "SubscribeURL": address});
            let asked = question(&body).unwrap();
            assert_eq!(asked.open.is_some(), is, "{address}");
            assert_eq!(asked.why.contains("open none"), !is, "{}", asked.why);
        }
        assert_eq!(question(&json!({"Type": "SubscriptionConfirmation"})), None);
        assert_eq!(
            question(&json!({"Type": "Notification", "MessageId": "m", "TopicArn": "t"})),
            None
        );
    }
}
