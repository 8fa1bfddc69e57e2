//! Bytes as senders send them, what cannot be read, and who is believed.

use super::*;
use base64::Engine as _;
use hmac::Mac as _;

const LEAST: &str = r#"{"incident_id": "i", "alert_type": "x", "container_name": "web"}"#;

const PARTS: &[(&str, &str)] = &[("content-type", "multipart/form-data; boundary=\"--x y\"")];

/// A form in parts.
fn parts(fields: &[(&str, &str)]) -> Vec<u8> {
    let part = |(name, value): &(&str, &str)| {
        let name = name.replace(": \"", ": ");
        let quote = if name.contains("Content-Type") { "" } else { "\"" };
        format!("----x y\r\nContent-Disposition: form-data; name=\"{name}{quote}\r\n\r\n{value}\r\n")
    };
    let body: String = fields.iter().map(part).collect();
    (body + "----x y--\r\n").into_bytes()
}

/// What Amazon SNS sends.
fn sns(kind: &str, message: &str) -> Vec<u8> {
    let open =
        "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&Token=2336412f37fb687f5d51e6e2425e";
    let mut body = json!({"Type": kind, "MessageId": "165545c9", "TopicArn": "arn:aws:sns:eu-west-1:1:alerts", "Subject": "ALARM: web",
        "Message": message, "Timestamp": "2026-11-29T10:00:00.000Z", "Signature": "EXAMPLE", "SignatureVersion": "1"});
    if kind != "Notification" {
        body["Token"] = "2336412f37fb687f5d51e6e2425e".into();
        body["SubscribeURL"] = open.into();
    }
    body.to_string().into_bytes()
}

#[tokio::test]
async fn the_example_for_datadog_reads_what_its_webhook_sends() {
    let server = host().await;
    let answer = post(&server, "/webhook/datadog", fixture(13)).await;
    assert_eq!(answer.json()["alerts"][0]["outcome"], "opened", "{}", answer.text);
    assert_eq!(
        opened(&server),
        ["Memory of web is high about web (datadog-12345678-4f1d2a)"]
    );
    let spec = incidents(&server)[0].spec.clone();
    assert_eq!(spec.severity, aegis_api::incident::Severity::Critical);
    assert_eq!(spec.source.url, "https://app.datadoghq.com/monitors/12345678");
    let recovered = fixture(13)
        .replace("Triggered", "Recovered")
        .replace("1796032800000", "1796033100000");
    let answer = post(&server, "/webhook/datadog", recovered).await;
    assert_eq!(answer.json()["alerts"][0]["outcome"], "ended", "{}", answer.text);
}

#[tokio::test]
async fn an_id_that_begins_like_its_source_is_not_taken_for_one_of_ours() {
    let server = host().await;
    let mapping = json!({"alertType": ["$.what"], "id": ["$.nr"], "container": ["web"]});
    create(
        &server,
        "AlertSource",
        "db",
        json!({"format": "Mapped", "mapping": mapping}),
    )
    .await;
    let own = json!({"incident_id": "db1", "alert_type": "ours", "container_name": "web"});
    post(&server, "/webhook", own.to_string()).await;
    for id in ["db1", "db-1", "1"] {
        let body = json!({"what": "theirs", "nr": id}).to_string();
        let answer = post(&server, "/webhook/db", body).await;
        assert_eq!(
            answer.json()["alerts"][0]["outcome"],
            "opened",
            "{id}: {}",
            answer.text
        );
    }
    let all = opened(&server);
    for row in [
        "ours about web (db1)",
        "theirs about web (db-db1)",
        "theirs about web (db-db-1)",
        "theirs about web (db-1)",
    ] {
        assert!(all.contains(&row.to_owned()), "{row}: {all:?}");
    }
}

#[tokio::test]
async fn a_key_that_is_there_twice_costs_its_own_alert_and_no_other() {
    let server = host().await;
    let alert = |name: &str| {
        format!(
            r#"{{"status": "firing", "fingerprint": "{name}", "labels": {{"alertname": "{name}", "container": "web"}}}}"#
        )
    };
    let doubled =
        r#"{"status": "firing", "fingerprint": "c", "labels": {"container": "web", "container": "db"}}"#;
    let group = |status: &str| {
        format!(
            r#"{{"receiver": "r", {status}, "alerts": [{}, {}, {doubled}, {}, {}]}}"#,
            alert("a"),
            alert("b"),
            alert("d"),
            alert("e")
        )
    };
    let answer = post(&server, "/webhook", group(r#""status": "firing""#)).await;
    assert_eq!(answer.code, 200, "{}", answer.text);
    let outcomes = answer.json()["alerts"].as_array().unwrap().len();
    assert_eq!(outcomes, 4, "{}", answer.text);
    let why = "[2]: labels.container is there twice with different values";
    assert_eq!(answer.json()["unreadable"], json!([why]), "{}", answer.text);
    let kept = server.get("/intake/unreadable").await.json();
    assert_eq!(
        (&kept[0]["body"], kept.as_array().unwrap().len()),
        (&json!(doubled), 1)
    );
    // What is about all of them costs all.
    let answer = post(
        &server,
        "/webhook",
        group(r#""status": "firing", "status": "resolved""#),
    )
    .await;
    assert_eq!(answer.code, 400, "{}", answer.text);
    let kept = server.get("/intake/unreadable").await.json();
    let whole = kept
        .as_array()
        .unwrap()
        .iter()
        .any(|it| it["body"].as_str().unwrap().contains(r#""status": "resolved""#));
    assert!(whole, "with both values: {kept}");
    // Of a batch of events, and of a mapping's list.
    let event = |container: &str| {
        format!(
            r#"{{"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "data": {{"labels": {{{container}}}}}}}"#
        )
    };
    let batch = format!(
        "[{}, {}]",
        event(r#""container": "web""#),
        event(r#""container": "web", "container": "db""#)
    );
    let mapped = r#"{"events": [{"what": "x", "nr": 1, "where": {"box": "web"}}, {"what": "x", "nr": 2, "where": {"container": "web", "container": "db"}}]}"#;
    for (path, body) in [
        ("/webhook/cloudevents", batch.as_str()),
        ("/webhook/cellar", mapped),
    ] {
        let answer = post(&server, path, body).await;
        assert_eq!(answer.code, 200, "{}", answer.text);
        let counts = ["alerts", "unreadable"].map(|list| answer.json()[list].as_array().unwrap().len());
        assert_eq!(counts, [1, 1], "{}", answer.text);
    }
}

#[tokio::test]
async fn i10_a_question_of_amazon_sns_is_kept_with_what_a_person_has_to_do() {
    for (kind, says) in [
        ("SubscriptionConfirmation", "asks whether its topic may send here"),
        ("UnsubscribeConfirmation", "sends nothing here any more"),
    ] {
        for (path, code) in [("/webhook", 422), ("/webhook/cellar", 400)] {
            let server = host().await;
            let answer = post(&server, path, sns(kind, "You have chosen to subscribe.")).await;
            assert_eq!(answer.code, code, "{}", answer.text);
            assert!(incidents(&server).is_empty());
            let kept = server.get("/intake/unreadable").await.json();
            let why = kept[0]["reason"].as_str().unwrap();
            assert!(
                why.contains(says) && why.contains("open its SubscribeURL"),
                "{why}"
            );
            let open = kept[0]["open"].as_str().unwrap();
            assert!(open.ends_with("Token=2336412f37fb687f5d51e6e2425e"), "{open}");
            assert!(!kept[0]["body"].as_str().unwrap().contains("2336412f"), "{kept}");
            let (_, events) = server.events.list();
            assert!(
                events.iter().any(|event| event.message.contains(says)),
                "{events:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_message_of_amazon_sns_is_what_is_in_it_and_mappings_see_both() {
    let server = host().await;
    let group = sns("Notification", fixture(0));
    assert_eq!(post(&server, "/webhook", group).await.code, 200);
    assert_eq!(incidents(&server).len(), 2);
    let server = host().await;
    let two = format!("[{}, {}]", alert("a", "web"), alert("b", "db"));
    assert_eq!(
        post(&server, "/webhook", sns("Notification", &two)).await.json()["received"],
        2
    );
    let mapping = json!({"alertType": ["$.AlarmName"], "id": ["$.AlarmName"], "container": ["$.Trigger.Name"],
        "status": ["$.NewStateValue"], "resolved": ["OK"], "logs": ["$.Subject"]});
    create(
        &server,
        "AlertSource",
        "cloudwatch",
        json!({"format": "Mapped", "mapping": mapping}),
    )
    .await;
    let alarm = r#"{"AlarmName": "slow", "NewStateValue": "ALARM", "Trigger": {"Name": "worker"}}"#;
    let answer = post(&server, "/webhook/cloudwatch", sns("Notification", alarm)).await;
    assert_eq!(answer.code, 200, "{}", answer.text);
    let slow = incidents(&server)
        .into_iter()
        .find(|incident| incident.spec.alert_type == "slow")
        .unwrap();
    assert_eq!(
        (slow.spec.logs.as_str(), slow.spec.source.incident_id.as_str()),
        ("ALARM: web", "cloudwatch-slow")
    );
    let text = post(&server, "/webhook", sns("Notification", "disk is full")).await;
    assert_eq!(text.code, 422, "{}", text.text);
}

#[tokio::test]
async fn a_form_in_parts_that_is_cut_off_says_so() {
    let whole = parts(&[("incident_id", "i"), ("alert_type", "x")]);
    let (cut, _) = whole.split_at(whole.len() - 20);
    let without = &[("content-type", "multipart/form-data")][..];
    for (headers, body) in [(PARTS, cut), (without, whole.as_slice())] {
        let server = host().await;
        let answer = post_with(&server, "/webhook", headers, body).await;
        assert_eq!(answer.code, 422, "{}", answer.text);
        assert!(answer.text.contains("multipart/form-data: "), "{}", answer.text);
        let kept = server.get("/intake/unreadable").await.json();
        assert_eq!(kept.as_array().unwrap().len(), 1, "{kept}");
    }
}

#[tokio::test]
async fn bodies_are_read_packed_marked_broken_and_without_a_type() {
    let utf16: Vec<u8> = [0xff, 0xfe]
        .into_iter()
        .chain(LEAST.encode_utf16().flat_map(u16::to_le_bytes))
        .collect();
    for (headers, body) in [
        (&[][..], LEAST.as_bytes().to_vec()),
        (&[("content-type", "text/html")], LEAST.into()),
        (&[("content-encoding", "gzip")], gzip(LEAST.as_bytes())),
        (&[], gzip(LEAST.as_bytes())),
        (&[], [b"\xef\xbb\xbf", LEAST.as_bytes()].concat()),
        (&[], utf16),
        (&[], br#"{"incident_id": "i", "alert_type": "x", "logs": "\ud83d broken", "container_name": "web"}"#.to_vec()),
        (&[], b"{\"incident_id\": \"i\", \"alert_type\": \"x\", \"logs\": \"a\xff\xfeb\nc\", \"container_name\": \"web\"}".to_vec()),
        (&[], br#"{"incident_id": "i", "alert_type": "x", "value": NaN, "container_name": "web",}"#.to_vec()),
        (&[], br#"{"incident_id": "i", "alert_type": "x", "value": 1e400, "container_name": "web"}"#.to_vec()),
        (&[("content-type", "application/x-www-form-urlencoded")], b"incident_id=i&alert_type=x&container_name=web".to_vec()),
        (&[], b"incident_id=i&alert_type=x&container_name=web".to_vec()),
        (
            &[("content-type", "application/x-www-form-urlencoded")],
            b"payload=%7B%22incident_id%22%3A%22i%22%2C%22alert_type%22%3A%22x%22%2C%22container_name%22%3A%22web%22%7D".to_vec(),
        ),
        (PARTS, parts(&[("incident_id", "i"), ("alert_type", "x"), ("container_name", "web")])),
        (PARTS, parts(&[("payload", LEAST), ("thumb\"; filename=\"a.jpg\"\r\nContent-Type: \"image/jpeg", "\u{1}\u{2}")])),
        (PARTS, parts(&[("payload\"; filename=\"a.json\"\r\nContent-Type: \"application/json", LEAST)])),
        (&[("content-type", "text/plain; charset=UTF-8")], sns("Notification", LEAST)),
    ] {
        let server = host().await;
        let shown = String::from_utf8_lossy(&body).into_owned();
        let answer = post_with(&server, "/webhook", headers, body).await;
        assert_eq!(answer.code, 200, "{shown}: {}", answer.text);
        assert_eq!(opened(&server), ["x about web (i)"], "{shown}");
    }
}

#[tokio::test]
async fn a_file_in_a_form_is_its_text_where_it_is_the_payload_or_looks_like_json_and_else_its_name() {
    let file = |name: &str, kind: &str| format!("{name}\"; filename=\"a.bin\"\r\nContent-Type: \"{kind}");
    let binary = "application/octet-stream";
    // As `curl -F payload=@alert.json` sends it.
    for payload in [LEAST.to_owned(), format!("\r\n {LEAST}\n")] {
        let server = host().await;
        let body = parts(&[(&file("payload", binary), &payload)]);
        let answer = post_with(&server, "/webhook", PARTS, body).await;
        assert_eq!(answer.code, 200, "{}", answer.text);
        assert_eq!(opened(&server), ["x about web (i)"]);
    }
    let server = host().await;
    let mapping = json!({"alertType": ["$.payload"], "id": ["1"], "container": ["web"], "labels": ["$"]});
    create(
        &server,
        "AlertSource",
        "plex",
        json!({"format": "Mapped", "mapping": mapping}),
    )
    .await;
    let body = parts(&[
        (&file("payload", binary), "no JSON"),
        (&file("more", binary), " [1, 2]"),
        (&file("object", "image/png"), "{\"a\": 1}"),
        (&file("thumb", "image/jpeg"), "\u{1}\u{2}"),
        (&file("dump", binary), "\u{1}{"),
    ]);
    let answer = post_with(&server, "/webhook/plex", PARTS, body).await;
    assert_eq!(answer.code, 200, "{}", answer.text);
    let spec = &incidents(&server)[0].spec;
    let labels = &spec.source.labels;
    assert_eq!(spec.alert_type, "no JSON");
    for (name, value) in [
        ("more", " [1, 2]"),
        ("object", "{\"a\": 1}"),
        ("thumb", "a.bin"),
        ("dump", "a.bin"),
    ] {
        assert_eq!(labels[&format!("labels.{name}")].trim(), value.trim(), "{name}");
    }
}

#[tokio::test]
async fn numbers_that_no_program_holds_are_kept_as_they_were_written() {
    let data = r#"{"labels": {"big": 1e400, "id": 123456789012345678901234567890}}"#;
    let packed = base64::engine::general_purpose::STANDARD.encode(data);
    let event = json!({"specversion": "1.0", "id": "1", "source": "s", "type": "t", "subject": "web"});
    let with = |name: &str, value: &str| {
        let mut event = event.clone();
        event[name] = value.into();
        event.to_string()
    };
    let group = r#"{"receiver": "r", "alerts": [{"fingerprint": "f", "labels": {"container": "web", "big": 1e400,
        "id": 123456789012345678901234567890}}]}"#;
    let ours = r#"{"incident_id": "i", "alert_type": "x", "container_name": "web",
        "labels": {"big": 1e400, "id": 123456789012345678901234567890}}"#;
    let form = format!(
        "payload={}",
        form_urlencoded::byte_serialize(ours.as_bytes()).collect::<String>()
    );
    for body in [
        ours.to_owned(),
        form,
        group.to_owned(),
        with("data", data),
        with("data_base64", &packed),
    ] {
        let server = host().await;
        let answer = post(&server, "/webhook", body.clone()).await;
        assert_eq!(answer.code, 200, "{body}: {}", answer.text);
        let labels = &incidents(&server)[0].spec.source.labels;
        assert_eq!(labels["labels.big"], "1e400", "{body}");
        assert_eq!(labels["labels.id"], "123456789012345678901234567890", "{body}");
    }
}

/// An alert of ours, as one line.
fn alert(id: &str, container: &str) -> String {
    json!({"incident_id": id, "alert_type": "x", "container_name": container}).to_string()
}

#[tokio::test]
async fn several_of_our_own_alerts_are_read_from_a_list_and_line_by_line() {
    let (a, b) = (alert("a", "web"), alert("b", "db"));
    let pretty = |text: &str| {
        let value: Value = serde_json::from_str(text).unwrap();
        serde_json::to_string_pretty(&value).unwrap()
    };
    for body in [
        format!("[{a}, {b}]"),
        format!("{a}\n{b}\n"),
        format!("{a}\r\n\r\n{b}"),
        format!("{a}{b}"),
        format!("{}\n{}", pretty(&a), pretty(&b)),
        format!(
            "{a}\n{}",
            b.replace("\"x\"", "\"x\", \"value\": 1e400, \"more\": NaN")
        ),
    ] {
        for path in ["/webhook", "/webhook/aegisops"] {
            let server = host().await;
            let answer = post(&server, path, body.clone()).await;
            assert_eq!(answer.code, 200, "{body}: {}", answer.text);
            let said = answer.json();
            assert_eq!((&said["received"], &said["unreadable"]), (&json!(2), &json!([])));
            assert_eq!(said["alerts"][1]["outcome"], "opened", "{said}");
            let mut opened = opened(&server);
            opened.sort();
            assert_eq!(opened, ["x about db (b)", "x about web (a)"], "{body}");
        }
    }
    let server = host().await;
    let over = alert("a", "web").replace("{", "{\"status\": \"resolved\", ");
    let answer = post(&server, "/webhook", format!("[{a}, {a}, {over}, {over}]")).await;
    let rows = answer.json()["alerts"].as_array().unwrap().clone();
    let outcomes: Vec<&str> = rows.iter().map(|row| row["outcome"].as_str().unwrap()).collect();
    assert_eq!(
        outcomes,
        ["opened", "repeated", "ended", "ended"],
        "in their order"
    );
}

#[tokio::test]
async fn i10_what_is_bad_among_several_of_our_own_alerts_is_kept_and_the_others_are_taken() {
    let (good, twice) = (
        alert("a", "web"),
        alert("b", "web").replace('}', ", \"container_name\": \"db\"}"),
    );
    for (body, why) in [
        (
            format!("[{{\"incident_id\": \"n\"}}, {good}]"),
            "[0]: alert_type: Field required",
        ),
        (format!("[{good}, {twice}]"), "[1]: container_name"),
        (format!("[{good}, 7]"), "[1] is no JSON object"),
        (
            format!("{good}\n{{\"incident_id\": \"n\", \"alert"),
            "[1] is no JSON object",
        ),
        (format!("{{nonsense\n{good}"), "[0] is no JSON object"),
        (
            format!("{good}\n{}1", "{\"a\":".repeat(300)),
            "[1] is no JSON object",
        ),
    ] {
        let server = host().await;
        let answer = post(&server, "/webhook", body.clone()).await;
        assert_eq!(answer.code, 200, "{body}: {}", answer.text);
        assert_eq!(opened(&server), ["x about web (a)"], "{body}");
        let said = answer.json()["unreadable"][0].as_str().unwrap().to_owned();
        assert!(said.starts_with(why), "{body}: {said}");
        let kept = server.get("/intake/unreadable").await.json();
        assert_eq!(kept.as_array().unwrap().len(), 1, "{body}: {kept}");
        assert!(kept[0]["reason"].as_str().unwrap().starts_with(why), "{kept}");
    }
    for none in ["[]", "[1]", "[{}]", "{}\n{}", "{nonsense\n{nonsense"] {
        let server = host().await;
        assert_eq!(post(&server, "/webhook", none).await.code, 422, "{none}");
        let kept = server.get("/intake/unreadable").await.json();
        assert_eq!(kept.as_array().unwrap().len(), 1, "{none}: {kept}");
    }
}

#[tokio::test]
async fn i10_what_cannot_be_read_is_kept_reported_and_answered_so_that_no_sender_repeats_it() {
    for (path, headers, body, code) in [
        ("/webhook", &[][..], b"{nonsense".to_vec(), 422),
        ("/webhook", &[], br#"{"a": 1}"#.to_vec(), 422),
        ("/webhook/alertmanager", &[], b"{nonsense".to_vec(), 400),
        ("/webhook/alertmanager", &[], br#"{"alerts": 7}"#.to_vec(), 400),
        ("/webhook/alertmanager", &[], br#"{"alerts": [7]}"#.to_vec(), 400),
        ("/webhook/grafana", &[], b"[]".to_vec(), 400),
        (
            "/webhook/pagerduty",
            &[],
            br#"{"event_action": "shout"}"#.to_vec(),
            400,
        ),
        (
            "/webhook/cloudevents",
            &[],
            br#"{"specversion": "0.3", "type": "t", "source": "s"}"#.to_vec(),
            400,
        ),
        ("/webhook/sentry", &[], br#"{"b": {}}"#.to_vec(), 400),
        (
            "/webhook/alertmanager",
            &[],
            br#"{"alerts": [{"labels": {"alertname": "A", "container": "web", "container": "db"}}]}"#
                .to_vec(),
            400,
        ),
        ("/webhook", &[("content-encoding", "br")], b"xx".to_vec(), 415),
        ("/webhook", &[("content-encoding", "gzip")], b"xx".to_vec(), 400),
        ("/webhook", &[], vec![b' '; (1 << 20) + 1], 413),
        (
            "/webhook",
            &[("content-encoding", "gzip")],
            gzip(&vec![b' '; 8 << 20]),
            413,
        ),
    ] {
        let server = host().await;
        let shown: String = String::from_utf8_lossy(&body).chars().take(60).collect();
        let answer = post_with(&server, path, headers, body).await;
        assert_eq!(answer.code, code, "{path} {shown}: {}", answer.text);
        if code == 413 {
            assert!(answer.text.contains("1048576"), "{}", answer.text);
        }
        assert!(incidents(&server).is_empty(), "{path} {shown}");
        assert!(
            reasons(&server).contains(&"Warning UnreadableAlert".to_owned()),
            "{path} {shown}"
        );
        let kept = server.get("/intake/unreadable").await.json();
        assert_eq!(kept.as_array().unwrap().len(), 1, "{path} {shown}: {kept}");
    }
}

#[tokio::test]
async fn a_body_of_a_megabyte_is_read() {
    let server = host().await;
    let mut body: Value = serde_json::from_str(LEAST).unwrap();
    body["logs"] = "x".repeat(1_000_000).into();
    let answer = post(&server, "/webhook", body.to_string()).await;
    assert_eq!(answer.code, 200, "{}", answer.text);
}

#[tokio::test]
async fn a_source_that_is_none_is_not_found_and_the_built_in_ones_are_named() {
    let server = host().await;
    let answer = post(&server, "/webhook/nagios", "{}").await;
    assert_eq!(answer.code, 404);
    assert!(
        answer
            .text
            .contains("alertmanager, grafana, pagerduty, cloudevents"),
        "{}",
        answer.text
    );
}

#[tokio::test]
async fn alertmanager_and_grafana_are_asked_to_repeat_by_503_where_others_get_429() {
    let server = with(crate::ServerConfig {
        alerts_per_second: 1,
        ..config()
    })
    .await;
    let alerts: Vec<Value> = (0..8)
        .map(|n| json!({"labels": {"alertname": "A", "container": "web", "n": n}, "fingerprint": format!("{n}")}))
        .collect();
    let body = json!({"receiver": "r", "alerts": alerts}).to_string();
    let answer = post(&server, "/webhook/alertmanager", body).await;
    assert_eq!(answer.code, 503, "{}", answer.text);
    assert!(answer.headers.contains_key("retry-after"));
    let ours = post(
        &server,
        "/webhook",
        r#"{"incident_id": "z", "alert_type": "x", "container_name": "web"}"#,
    )
    .await;
    assert_eq!(ours.code, 429, "{}", ours.text);
}

#[tokio::test]
async fn i10_what_is_bad_at_the_end_of_a_large_body_is_kept_by_its_own_text() {
    let filler = "x".repeat(40_000);
    let ours = |id: &str| {
        json!({"incident_id": id, "alert_type": "x", "container_name": "web", "logs": filler}).to_string()
    };
    let (a, b, c) = (ours("a"), ours("b"), ours("c"));
    let twice =
        r#"{"incident_id": "late-one", "alert_type": "x", "container_name": "web", "container_name": "db"}"#;
    let alert = |n: usize| json!({"labels": {"alertname": "A", "container": "web"}, "annotations": {"summary": filler}, "fingerprint": format!("{n}")});
    let bad = json!({"labels": {"alertname": "late-one", "container": "web", "container_name": "db"}, "fingerprint": "9"});
    let group = json!({"receiver": "r", "alerts": [alert(1), alert(2), 7, alert(3), bad]});
    let event = |n: usize| json!({"specversion": "1.0", "id": n, "source": "s", "type": "t", "subject": "web", "data": {"logs": filler}});
    let batch = json!([event(1), event(2), event(3), {"specversion": "1.0", "type": "late-one", "id": "4"}]);
    let row =
        |n: usize| json!({"what": "W", "nr": n, "now": "on", "where": {"box": "web"}, "filler": filler});
    let rows =
        json!({"site": "s", "events": [row(1), row(2), row(3), {"nr": "late-one", "routing_key": "k3y"}]});
    for (path, body, kept_as) in [
        ("/webhook", format!("[{a}, {b}, {c}, {twice}]"), twice.to_owned()),
        (
            "/webhook",
            format!("{a}\n{b}\n{c}\n{{\"late-one\": nonsense"),
            "{\"late-one\": nonsense".to_owned(),
        ),
        ("/webhook", group.to_string(), format!("7\n{bad}")),
        ("/webhook/alertmanager", group.to_string(), format!("7\n{bad}")),
        ("/webhook", batch.to_string(), batch[3].to_string()),
        (
            "/webhook/cellar",
            rows.to_string(),
            json!({"nr": "late-one"}).to_string(),
        ),
    ] {
        let server = host().await;
        assert!(body.find("late-one").unwrap() > 64 << 10);
        let size = body.len();
        let answer = post(&server, path, body).await;
        assert_eq!(answer.code, 200, "{path}: {}", answer.text);
        let kept = server.get("/intake/unreadable").await.json();
        assert_eq!(kept.as_array().unwrap().len(), 1, "{path}");
        assert_eq!(kept[0]["body"], kept_as, "{path}");
        assert_eq!(kept[0]["bytes"], size);
    }
}

#[tokio::test]
async fn i10_what_cannot_be_read_of_a_body_that_is_to_be_repeated_is_counted_when_it_is_taken_in() {
    let good = (0..8).map(|n| json!({"labels": {"alertname": format!("A{n}"), "container": "web"}, "fingerprint": format!("{n}")}));
    let group: Vec<Value> = good.chain([json!(7)]).collect();
    let group = json!({"receiver": "r", "alerts": group}).to_string();
    let ours: Vec<String> = (0..8).map(|n| alert(&format!("i{n}"), "web")).collect();
    let ours = format!("[{}, 7]", ours.join(","));
    for (body, code) in [(group, 503), (ours, 429)] {
        let server = with(crate::ServerConfig {
            alerts_per_second: 1,
            ..config()
        })
        .await;
        let counted = || server.state.intake.unreadable.counted();
        let mut postponed = 0;
        loop {
            let answer = post(&server, "/webhook", body.clone()).await;
            let kept = server.get("/intake/unreadable").await.json();
            let kept = kept.as_array().unwrap().len();
            if answer.code == 200 {
                assert_eq!((counted(), kept), (1, 1), "after {postponed} repeats");
                break;
            }
            assert_eq!(answer.code, code, "{}", answer.text);
            assert_eq!((counted(), kept), (0, 0), "it comes again");
            postponed += 1;
            assert!(postponed < 60, "{}", answer.text);
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        }
        assert!(postponed > 0);
    }
}

#[tokio::test]
async fn a_source_that_asks_for_a_proof_believes_nothing_else_and_no_token() {
    let server = host().await;
    let github = json!({"hmac": {"style": "GitHub", "secret": {"file": "key"}}});
    create(
        &server,
        "AlertSource",
        "signed",
        json!({"format": "Alertmanager", "authenticity": github}),
    )
    .await;
    let sign = |body: &str| {
        let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(b"the-secret").unwrap();
        mac.update(body.as_bytes());
        let hex: String = mac
            .finalize()
            .into_bytes()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!("sha256={hex}")
    };
    let body = fixture(0);
    for (headers, code) in [
        (vec![("authorization", "Bearer admin-token")], 401),
        (
            vec![("authorization", ""), ("x-hub-signature-256", "sha256=00")],
            401,
        ),
    ] {
        let answer = post_with(&server, "/webhook/signed", &headers, body).await;
        assert_eq!(answer.code, code, "{}", answer.text);
        assert!(!answer.text.contains("the-secret"));
    }
    assert!(incidents(&server).is_empty());
    assert!(reasons(&server).contains(&"Warning UnprovedSender".to_owned()));
    let good = sign(body);
    let answer = post_with(
        &server,
        "/webhook/signed",
        &[("authorization", ""), ("x-hub-signature-256", &good)],
        body,
    )
    .await;
    assert_eq!(answer.code, 200, "{}", answer.text);
    assert_eq!(incidents(&server).len(), 2);
    let page = server.store.audit().page(None, 1).await.unwrap();
    assert!(page.lines[0].contains("alertsource:signed"), "{page:?}");
}

#[tokio::test]
async fn pagerdutys_senders_prove_themselves_by_their_routing_key() {
    let server = host().await;
    let bearer = json!({"bearer": {"file": "key"}});
    create(
        &server,
        "AlertSource",
        "pager",
        json!({"format": "PagerDuty", "authenticity": bearer}),
    )
    .await;
    let wrong = post_with(&server, "/webhook/pager", &[("authorization", "")], fixture(5)).await;
    assert_eq!(wrong.code, 401);
    let right = fixture(5).replace("samplekeyhere000000000000000000r1", "the-secret");
    let mended = right.replace("\"2 GiB\"", "1e400,");
    for body in [right, mended] {
        let answer = post_with(&server, "/webhook/pager", &[("authorization", "")], body).await;
        assert_eq!(answer.code, 202, "{}", answer.text);
    }
}

#[tokio::test]
async fn a_source_whose_secret_cannot_be_read_believes_no_sender() {
    let server = host().await;
    let bearer = json!({"bearer": {"file": "none"}});
    create(
        &server,
        "AlertSource",
        "odd",
        json!({"format": "Alertmanager", "authenticity": bearer}),
    )
    .await;
    let answer = post_with(
        &server,
        "/webhook/odd",
        &[("authorization", "Bearer the-secret")],
        fixture(0),
    )
    .await;
    assert_eq!(answer.code, 401, "{}", answer.text);
}

#[tokio::test]
async fn who_keeps_guessing_is_made_to_wait() {
    let server = host().await;
    let bearer = json!({"bearer": {"file": "key"}});
    create(
        &server,
        "AlertSource",
        "guarded",
        json!({"format": "Alertmanager", "authenticity": bearer}),
    )
    .await;
    let mut codes = Vec::new();
    for n in 0..10 {
        let guess = format!("Bearer guess-{n}");
        codes.push(
            post_with(&server, "/webhook/guarded", &[("authorization", &guess)], "{}")
                .await
                .code
                .as_u16(),
        );
    }
    assert_eq!(codes[0], 401);
    assert_eq!(codes[9], 429, "{codes:?}");
}

#[tokio::test]
async fn a_dry_run_says_what_a_body_would_become_and_changes_nothing() {
    let server = host().await;
    let body = base64::engine::general_purpose::STANDARD.encode(fixture(11));
    let answer = server
        .ask(
            "POST",
            "/intake/test",
            Some(json!({"source": "cellar", "body": body})),
        )
        .await;
    assert_eq!(answer.code, 200, "{}", answer.text);
    let said = answer.json();
    assert_eq!(said["alerts"][0]["alert_type"], "Pump hot");
    assert_eq!(said["alerts"][0]["container"], "web");
    assert_eq!(said["alerts"][1]["state"], "over (status: off)");
    assert!(
        said["unreadable"][0]
            .as_str()
            .unwrap()
            .contains("mapping.alertType"),
        "{said}"
    );
    let two = base64::engine::general_purpose::STANDARD.encode(format!("[{}, {{}}]", alert("a", "web")));
    let said = server
        .ask("POST", "/intake/test", Some(json!({"body": two})))
        .await
        .json();
    assert_eq!(said["alerts"][0]["incident_id"], "a", "{said}");
    assert_eq!(
        said["unreadable"],
        json!(["[1]: incident_id: Field required; alert_type: Field required"])
    );
    let spec = json!({"format": "Mapped", "mapping": {"alertType": ["$.site"]}});
    let answer = server
        .ask("POST", "/intake/test", Some(json!({"spec": spec, "body": body})))
        .await;
    assert_eq!(
        answer.json()["alerts"][0]["alert_type"],
        "cellar",
        "{}",
        answer.text
    );
    // With a name, as it would be stored: it is before each id. And what would not be read is not read here, in words.
    let trial = |body: &str, more: Value| {
        let body = base64::engine::general_purpose::STANDARD.encode(body);
        let mut trial = json!({"body": body});
        trial
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        trial
    };
    let named = trial(fixture(11), json!({"spec": spec, "source": "vault"}));
    let said = server.ask("POST", "/intake/test", Some(named)).await.json();
    let id = said["alerts"][0]["incident_id"].as_str().unwrap();
    assert!(id.starts_with("vault-"), "{said}");
    let doubled = r#"{"receiver": "r", "alerts": [{"labels": {"container": "web", "container": "db"}}]}"#;
    let said = server
        .ask("POST", "/intake/test", Some(trial(doubled, json!({}))))
        .await
        .json();
    let why = "[0]: labels.container is there twice with different values";
    assert_eq!(
        (&said["unreadable"], &said["alerts"]),
        (&json!([why]), &json!([])),
        "{said}"
    );
    let said = server
        .ask("POST", "/intake/test", Some(trial("{nonsense", json!({}))))
        .await
        .json();
    let why = said["unreadable"][0].as_str().unwrap();
    assert!(why.starts_with("the body must be a JSON object: "), "{said}");
    assert!(incidents(&server).is_empty());
}

#[tokio::test]
async fn prometheus_counts_what_became_of_alerts() {
    let server = host().await;
    post(&server, "/webhook", fixture(0)).await;
    post(&server, "/webhook", "{nonsense").await;
    let text = server
        .ask_with("GET", "/metrics", &[("accept", "text/plain")], None)
        .await
        .text;
    for line in [
        r#"aegis_intake_alerts_total{sender="alertmanager",outcome="opened"} 2"#,
        r#"aegis_intake_alerts_total{sender="alertmanager",outcome="nothing_open"} 1"#,
        r#"aegis_intake_alerts_total{sender="aegisops",outcome="unreadable"} 1"#,
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
}

#[tokio::test]
async fn an_alert_is_posted_with_a_token_in_its_header_and_may_come_in_pieces() {
    let server = host().await;
    let get = server.ask("GET", "/webhook", None).await;
    assert_eq!(
        (get.code, get.headers["allow"].to_str().unwrap()),
        (axum::http::StatusCode::METHOD_NOT_ALLOWED, "POST")
    );
    for (path, token) in [
        ("/webhook", "webhook-token"),
        ("/webhook?token=webhook-token", ""),
        ("/webhook?access_token=webhook-token", ""),
        ("/webhook", "Token webhook-token"),
    ] {
        let answer = post_with(&server, path, &[("authorization", token)], LEAST).await;
        assert_eq!(answer.code, 401, "{path} {token}: {}", answer.text);
    }
    assert!(incidents(&server).is_empty());
    let pieces = LEAST
        .as_bytes()
        .chunks(7)
        .map(|piece| Ok::<_, std::io::Error>(piece.to_vec()));
    let body = axum::body::Body::from_stream(futures::stream::iter(pieces.collect::<Vec<_>>()));
    let request = axum::http::Request::post("/webhook").header("authorization", "bearer webhook-token");
    let answer = Answer::of(server.send(request.body(body).unwrap()).await).await;
    assert_eq!(answer.code, 200, "{}", answer.text);
    assert_eq!(opened(&server), ["x about web (i)"]);
}
