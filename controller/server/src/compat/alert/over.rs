//! Whether an alert says that its trouble is over. Only fields that speak of the alert itself are asked, never logs,
//! labels or details; where they contradict each other, it fires. Pure.

use aegis_api::Time;
use serde_json::{Map, Value};

use super::{key, scalar, time};

/// Words for the end of trouble.
const OVER: &[&str] = &[
    "resolved",
    "resolve",
    "ok",
    "okay",
    "recovered",
    "recovery",
    "recover",
    "up",
    "back up",
    "closed",
    "close",
    "normal",
    "back to normal",
    "inactive",
    "cleared",
    "clear",
    "healthy",
    "passing",
    "restored",
    "deactivated",
    "ended",
];
/// Words for trouble: they outvote the ones above in other fields.
const FIRING: &[&str] = &[
    "firing",
    "fire",
    "fired",
    "alerting",
    "alert",
    "triggered",
    "trigger",
    "open",
    "opened",
    "active",
    "activated",
    "problem",
    "down",
    "critical",
    "warning",
    "error",
    "failed",
    "failing",
    "failure",
    "unhealthy",
    "degraded",
    "no data",
    "nodata",
    "pending",
    "created",
    "new",
    "not ok",
    "unknown",
];
/// Fields that say where the alert stands.
const STATUS: &[&str] = &[
    "status",
    "state",
    "alertstatus",
    "alertstate",
    "incidentstatus",
    "incidentstate",
    "eventstatus",
    "eventstate",
    "currentstate",
    "currentstatus",
    "newstate",
    "newstatus",
    "newstatevalue",
    "triggerstatus",
    "monitorcondition",
    "alerttransition",
    "transition",
    "eventaction",
    "action",
    "event",
    "eventtype",
    "messagetype",
    "notificationtype",
];
/// Fields that say how bad it is: they weigh less than the ones above.
const SEVERITY: &[&str] = &["severity", "level"];
/// Fields that say when it ended.
const END: &[&str] = &["endsat", "endedat", "resolvedat", "recoveredat", "closedat"];
/// Fields that people read first.
const TITLE: &[&str] = &[
    "title",
    "subject",
    "summary",
    "headline",
    "message",
    "msg",
    "text",
    "name",
    "alertname",
    "alerttitle",
    "incidenttitle",
    "eventtitle",
];
/// Objects in which senders wrap what they say of the alert.
const WRAPPERS: &[&str] = &["alert", "incident", "event", "essentials"];

/// What a sender said of the end.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Over {
    /// Field and word, such as `status: resolved`. From the sender: for display only.
    pub(crate) said: String,
    /// When it ended, if that is said, too.
    pub(crate) at: Option<Time>,
}

/// Whether a key decides: in the top object or in a wrapper.
pub(super) fn decides(path: &[String]) -> bool {
    let Some((last, above)) = path.split_last() else {
        return false;
    };
    let wraps = |name: &String| WRAPPERS.contains(&key(name).as_str());
    let last = key(last);
    let lists = [
        STATUS,
        SEVERITY,
        END,
        TITLE,
        WRAPPERS,
        &["resolved", "firing"][..],
    ];
    above.len() < 2 && above.iter().all(wraps) && lists.iter().any(|list| list.contains(&last.as_str()))
}

/// What this alert says of the end of its trouble; nothing while it fires.
pub(super) fn read(fields: &Map<String, Value>, now: Time) -> Option<Over> {
    let mut seen = Seen::default();
    seen.read_fields(fields, now);
    let wrapped = fields
        .iter()
        .filter(|(name, _)| WRAPPERS.contains(&key(name).as_str()));
    for inner in wrapped.filter_map(|(_, value)| value.as_object()) {
        seen.read_fields(inner, now);
    }
    if seen.fires {
        return None;
    }
    let end = seen
        .end
        .filter(|(_, at)| *at <= now && seen.start.is_none_or(|start| start <= *at));
    let at = end.as_ref().map(|(_, at)| *at);
    let said = seen
        .status
        .or(seen.severity)
        .or(end.map(|(said, _)| said))
        .or(seen.title)?;
    Some(Over { said, at })
}

/// What the fields of an alert say, by the weight of the field.
#[derive(Debug, Default)]
struct Seen {
    fires: bool,
    status: Option<String>,
    severity: Option<String>,
    title: Option<String>,
    end: Option<(String, Time)>,
    start: Option<Time>,
}

impl Seen {
    fn read_fields(&mut self, fields: &Map<String, Value>, now: Time) {
        for (name, value) in fields {
            let key = key(name);
            let Some(text) = scalar(value) else { continue };
            let word = word(&text);
            let said = || {
                format!("{name}: {}", text.trim())
                    .chars()
                    .take(80)
                    .collect::<String>()
            };
            if STATUS.contains(&key.as_str()) {
                // Some name the event and what became of it: `incident.resolved`.
                let last = word.rsplit('.').next().unwrap_or_default();
                self.fires |= FIRING.contains(&last);
                if OVER.contains(&last) {
                    self.status.get_or_insert_with(said);
                }
            } else if matches!(key.as_str(), "resolved" | "recovered" | "isresolved") {
                match word.as_str() {
                    "true" => self.status = self.status.take().or_else(|| Some(said())),
                    "false" => self.fires = true,
                    _ => {}
                }
            } else if matches!(key.as_str(), "firing" | "isfiring") {
                match word.as_str() {
                    "true" => self.fires = true,
                    "false" => self.status = self.status.take().or_else(|| Some(said())),
                    _ => {}
                }
            } else if SEVERITY.contains(&key.as_str()) && OVER.contains(&word.as_str()) {
                self.severity.get_or_insert_with(said);
            } else if (key == "alerttype" && (OVER.contains(&word.as_str()) || word == "success"))
                || ((key == "alerttype" || TITLE.contains(&key.as_str())) && is_over(&text))
            {
                self.title.get_or_insert_with(said);
            } else if key == "startsat" {
                self.start = time::read(value, now);
            } else if END.contains(&key.as_str())
                && let Some(at) = time::read(value, now)
            {
                self.end.get_or_insert_with(|| (said(), at));
            }
        }
    }
}

/// A word as senders decorate it: `[OK]`, `BACK_TO_NORMAL`, `Resolved.`.
fn word(text: &str) -> String {
    let text = text.trim_matches(|c: char| !c.is_alphanumeric());
    let words = text
        .split(|c: char| c.is_whitespace() || matches!(c, '_' | '-'))
        .filter(|part| !part.is_empty());
    words.map(str::to_lowercase).collect::<Vec<_>>().join(" ")
}

/// Whether a title begins with the end of trouble: `[RESOLVED] …`, `[web] [✅ Up] …`, `OK: …`, `** RECOVERY … **`.
fn is_over(title: &str) -> bool {
    let (tags, rest) = tags(title);
    if tags.iter().any(|tag| FIRING.contains(&tag.as_str())) {
        return false;
    }
    if tags.iter().any(|tag| OVER.contains(&tag.as_str())) {
        return true;
    }
    let starred = rest.starts_with("**");
    let rest = rest.trim_start_matches(|c: char| !c.is_alphanumeric());
    if let Some((head, _)) = rest.split_once(": ").or_else(|| rest.split_once(" - ")) {
        let head = word(head);
        if OVER.contains(&head.as_str())
            && !matches!(head.as_str(), "clear" | "close" | "resolve" | "recover")
        {
            return true;
        }
    }
    let first = rest.split_whitespace().next().unwrap_or_default();
    // Upper case and alone, or first: `recovery mode entered` is trouble.
    match first {
        "RESOLVED" | "RECOVERED" => true,
        "RECOVERY" => {
            starred
                || rest.trim() == "RECOVERY"
                || rest.starts_with("RECOVERY Service Alert")
                || rest.starts_with("RECOVERY Host Alert")
        }
        _ => word(rest) == "resolved" || word(rest) == "recovered",
    }
}

/// The tags in brackets at the front of a title, as words, and what comes after them.
fn tags(title: &str) -> (Vec<String>, &str) {
    const MOST: usize = 3;
    let mut tags = Vec::new();
    let mut rest = title.trim_start();
    while tags.len() < MOST {
        let Some((tag, after)) = rest
            .trim_start_matches(|c: char| !c.is_alphanumeric() && c != '[' && c != '*')
            .strip_prefix('[')
            .and_then(|inner| inner.split_once(']'))
        else {
            break;
        };
        // Alertmanager counts: `[FIRING:2]`.
        tags.push(word(tag.split(':').next().unwrap_or_default()));
        rest = after.trim_start();
    }
    (tags, rest)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn over(body: &Value) -> Option<Over> {
        read(body.as_object().unwrap(), "2026-02-01T00:00:00Z".parse().unwrap())
    }

    #[test]
    fn the_end_of_trouble_is_read_wherever_senders_say_it() {
        for body in [
            json!({"status": "resolved"}),
            json!({"Status": "RESOLVED", "severity": "critical"}),
            json!({"state": "ok"}),
            json!({"state": "normal"}),
            json!({"alertState": "inactive"}),
            json!({"severity": "ok"}),
            json!({"severity": "Cleared"}),
            json!({"level": "OK"}),
            json!({"event_action": "resolve"}),
            json!({"action": "Close"}),
            json!({"event": {"event_type": "incident.resolved"}}),
            json!({"message_type": "RECOVERY"}),
            json!({"notification_type": "Recovery"}),
            json!({"alert_transition": "Recovered"}),
            json!({"NewStateValue": "OK"}),
            json!({"essentials": {"monitorCondition": "Resolved"}}),
            json!({"incident": {"state": "closed"}}),
            json!({"status": "up"}),
            json!({"status": "back_to_normal"}),
            json!({"resolved": true}),
            json!({"firing": false}),
            json!({"endsAt": "2026-01-31T12:00:00Z"}),
            json!({"startsAt": "2026-01-31T11:00:00Z", "ends_at": 1_769_860_800}),
            json!({"title": "[OK] memory"}),
            json!({"title": "[RESOLVED] memory"}),
            json!({"subject": "✅ [RESOLVED:2] memory"}),
            json!({"summary": "Resolved: error rate of web"}),
            json!({"msg": "[web] [✅ Up] 200 - OK"}),
            json!({"subject": "** RECOVERY Service Alert: web/http is OK **"}),
            json!({"subject": "RECOVERY"}),
            json!({"alert_type": "recovery"}),
            json!({"alert_type": "[OK] memory"}),
            json!({"status": "resolved", "logs": "status: firing"}),
        ] {
            assert!(over(&body).is_some(), "{body}");
        }
        let said = over(&json!({"status": "resolved", "endsAt": "2026-01-31T12:00:00Z"})).unwrap();
        assert_eq!(
            (said.said.as_str(), said.at.unwrap().to_string().as_str()),
            ("status: resolved", "2026-01-31T12:00:00Z")
        );
    }

    #[test]
    fn trouble_is_not_taken_for_its_end() {
        for body in [
            json!({}),
            json!({"status": "critical"}),
            json!({"status": "not ok"}),
            json!({"status": "unresolved"}),
            json!({"status": "not_resolved"}),
            json!({"state": "NOK"}),
            json!({"status": ""}),
            json!({"status": null}),
            json!({"status": {"was": "ok"}}),
            json!({"status": 0}),
            json!({"severity": "info"}),
            json!({"severity": "none"}),
            json!({"logs": "severity: ok status: resolved [OK]"}),
            json!({"logs": ["[RESOLVED]", "OK: all is well"]}),
            json!({"details": {"status": "ok", "state": "resolved"}}),
            json!({"labels": {"state": "ok", "severity": "ok"}}),
            json!({"annotations": {"summary": "[OK] it was"}}),
            json!({"ok": true}),
            json!({"previous_state": "ok", "old_state": "resolved"}),
            json!({"resolved": false, "title": "[OK] memory"}),
            json!({"status": "firing", "severity": "ok"}),
            json!({"status": "firing", "state": "resolved"}),
            json!({"status": "firing", "endsAt": "2026-01-31T12:00:00Z"}),
            json!({"state": "alerting", "title": "[OK] memory"}),
            json!({"endsAt": "0001-01-01T00:00:00Z"}),
            json!({"endsAt": 0}),
            json!({"endsAt": "2026-02-01T00:04:00Z"}),
            json!({"endsAt": "2026-01-31T10:00:00Z", "startsAt": "2026-01-31T11:00:00Z"}),
            json!({"endsAt": "soon"}),
            json!({"title": "[FIRING:1] [OK] button fails"}),
            json!({"title": "OK button is broken"}),
            json!({"title": "names are not resolved"}),
            json!({"title": "recovery mode entered"}),
            json!({"title": "RECOVERY of db failed"}),
            json!({"title": "Up to 90 % of memory"}),
            json!({"title": "close to the limit: memory"}),
            json!({"title": "clear: cache of web is not"}),
            json!({"title": "normal traffic: but errors"}),
            json!({"alert_type": "RESOLVER_DOWN"}),
            json!({"alert_type": "MEMORY_LEAK"}),
            json!({"action": "restart"}),
        ] {
            assert_eq!(over(&body), None, "{body}");
        }
    }
}
