//! What a spec of autoscaling must be beyond its schema: each metric has its own fields, and times have bounds. Pure.

use super::{Autoscale, AutoscaleMetric, AutoscaleTarget, ScaleBehavior, ScheduledBounds};
use crate::scalar::Duration;
use crate::validate::{FieldError, Rules};

const SECOND: Duration = Duration::from_secs(1);
const MINUTES_10: Duration = Duration::from_secs(600);
const MINUTES_30: Duration = Duration::from_secs(1800);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
const NONE: Duration = Duration::from_millis(0);

/// Why fewer than the schema allows are refused, of a field of this path; nothing of any other.
pub(crate) fn why_no_fewer(field: &str) -> &'static str {
    let of_autoscale = field.contains("autoscale.");
    match field.rsplit_once('.') {
        Some((_, "min")) if of_autoscale => {
            ": autoscaling to zero is not offered, since the first request would meet no replica that serves; \
             spec.replicas: 0 switches the workload off"
        }
        _ => "",
    }
}

impl Rules for Autoscale {
    fn rules(&self, path: &str, out: &mut Vec<FieldError>) {
        if self.min > self.max {
            out.push(FieldError::invalid(
                format!("{path}.min"),
                self.min,
                format!("must not be above autoscale.max, {}", self.max),
            ));
        }
        if self.targets.is_empty() {
            out.push(FieldError::required(
                format!("{path}.targets"),
                "set at least one target",
            ));
        }
        for (index, target) in self.targets.iter().enumerate() {
            target.rules(&format!("{path}.targets[{index}]"), out);
        }
        let mut within = |field: &str, value: Duration, least: Duration, most: Duration| {
            if value < least || value > most {
                let allowed = format!("use {least} to {most}");
                out.push(FieldError::invalid(format!("{path}.{field}"), value, allowed));
            }
        };
        within("scaleUpWindow", self.scale_up_window, NONE, HOUR);
        within("scaleDownWindow", self.scale_down_window, NONE, HOUR);
        within(
            "metricWindow",
            self.metric_window,
            Duration::from_secs(6),
            MINUTES_10,
        );
        within("warmUp", self.warm_up, NONE, MINUTES_10);
        within("holdAfterManual", self.hold_after_manual, NONE, DAY);
        if let Some(head_start) = self.head_start {
            within("headStart", head_start, SECOND, MINUTES_10);
        }
        if let Some(fallback) = self.fallback {
            within("fallback.after", fallback.after, Duration::from_secs(10), DAY);
        }
        if self.head_start.is_some() && !self.targets.iter().any(grows) {
            out.push(FieldError::invalid(
                format!("{path}.headStart"),
                self.head_start.unwrap_or(NONE),
                "needs a target with metric RequestsPerSecond or InFlight",
            ));
        }
        self.scale_up.rules(&format!("{path}.scaleUp"), out);
        self.scale_down.rules(&format!("{path}.scaleDown"), out);
        for (index, bounds) in self.schedule.iter().enumerate() {
            let path = format!("{path}.schedule[{index}]");
            bounds.rules(&path, out);
            let (min, max) = (bounds.min.unwrap_or(self.min), bounds.max.unwrap_or(self.max));
            if min > max {
                out.push(FieldError::invalid(
                    format!("{path}.min"),
                    min,
                    format!("must not be above the max that is in force then, {max}"),
                ));
            }
        }
    }
}

fn grows(target: &AutoscaleTarget) -> bool {
    matches!(
        target.metric,
        AutoscaleMetric::RequestsPerSecond | AutoscaleMetric::InFlight
    )
}

impl Rules for ScaleBehavior {
    fn rules(&self, path: &str, out: &mut Vec<FieldError>) {
        for (index, policy) in self.policies.iter().enumerate() {
            if policy.period < SECOND || policy.period > MINUTES_30 {
                out.push(FieldError::invalid(
                    format!("{path}.policies[{index}].period"),
                    policy.period,
                    "use 1s to 30m",
                ));
            }
        }
    }
}

impl Rules for ScheduledBounds {
    fn rules(&self, path: &str, out: &mut Vec<FieldError>) {
        if let Err((field, allowed)) = self.times() {
            let value = match field {
                "start" => &self.start,
                "end" => &self.end,
                _ => &self.time_zone,
            };
            out.push(FieldError::invalid(format!("{path}.{field}"), value, allowed));
        } else if self.start.split_whitespace().eq(self.end.split_whitespace()) {
            out.push(FieldError::invalid(
                format!("{path}.end"),
                &self.end,
                "must be another time than start",
            ));
        }
        if self.min.is_none() && self.max.is_none() {
            out.push(FieldError::required(path, "set min, max or both"));
        }
    }
}

impl Rules for AutoscaleTarget {
    fn rules(&self, path: &str, out: &mut Vec<FieldError>) {
        let metric = self.metric.as_str();
        let given = [
            ("percent", self.percent.is_some()),
            ("value", self.value.is_some()),
            ("milliseconds", self.milliseconds.is_some()),
            ("url", self.url.is_some()),
            ("field", self.field.is_some()),
            ("prometheus", self.prometheus.is_some()),
            ("query", self.query.is_some()),
            ("tokenValueFrom", self.token_value_from.is_some()),
        ];
        let (needed, allowed): (&str, &[&str]) = match self.metric {
            AutoscaleMetric::Cpu | AutoscaleMetric::Memory => ("percent", &["percent"]),
            AutoscaleMetric::RequestsPerSecond | AutoscaleMetric::InFlight => ("value", &["value"]),
            AutoscaleMetric::LatencyP95 => ("milliseconds", &["milliseconds"]),
            AutoscaleMetric::External => (
                "value",
                &["value", "url", "field", "prometheus", "query", "tokenValueFrom"],
            ),
        };
        for (field, _) in given
            .iter()
            .filter(|(field, set)| *set && !allowed.contains(field))
        {
            out.push(FieldError::forbidden(
                format!("{path}.{field}"),
                format!(
                    "metric {metric} has no such field; allowed: {}",
                    allowed.join(", ")
                ),
            ));
        }
        if !given.contains(&(needed, true)) {
            out.push(FieldError::required(
                format!("{path}.{needed}"),
                format!("metric {metric} needs it"),
            ));
        }
        if let Some(value) = self.value.filter(|value| !(*value >= 0.001 && *value <= 1e12)) {
            out.push(FieldError::invalid(
                format!("{path}.value"),
                value,
                "use a number from 0.001 to 1e12",
            ));
        }
        if self.metric == AutoscaleMetric::External {
            external(self, path, out);
        }
    }
}

fn external(target: &AutoscaleTarget, path: &str, out: &mut Vec<FieldError>) {
    match (&target.url, &target.prometheus, &target.query) {
        (Some(_), None, None) | (None, Some(_), Some(_)) => {}
        _ => out.push(FieldError::invalid(
            path,
            "External",
            "set either url, or both prometheus and query",
        )),
    }
    if target.field.is_some() && target.url.is_none() {
        out.push(FieldError::forbidden(
            format!("{path}.field"),
            "it belongs to url",
        ));
    }
    if let Some(field) = target.field.as_ref().filter(|field| !field.starts_with('/')) {
        let allowed = "a JSON pointer, such as /queue/length";
        out.push(FieldError::invalid(format!("{path}.field"), field, allowed));
    }
    for (field, address) in [("url", &target.url), ("prometheus", &target.prometheus)] {
        if let Some(address) = address.as_ref().filter(|address| !is_address(address)) {
            out.push(FieldError::invalid(
                format!("{path}.{field}"),
                shown(address),
                "an address that begins with http:// or https://, names a host and holds no user, password or blanks: \
                 a token stands in tokenValueFrom",
            ));
        }
    }
    if let Some(source) = &target.token_value_from {
        source.rules(&format!("{path}.tokenValueFrom"), out);
    }
}

/// Of an address that is refused, what cannot be a password.
fn shown(address: &str) -> &str {
    address.split_once("://").map_or("", |(scheme, _)| scheme)
}

fn is_address(address: &str) -> bool {
    let rest = address
        .strip_prefix("http://")
        .or_else(|| address.strip_prefix("https://"));
    rest.is_some_and(|rest| {
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        !name.is_empty()
            && !host.contains('@')
            && address
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && byte != b'\\')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(yaml: &str) -> Vec<String> {
        let spec: Autoscale = serde_saphyr::from_str(yaml).unwrap();
        let mut out = Vec::new();
        spec.rules("spec.autoscale", &mut out);
        out.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn no_replicas_at_all_are_refused_with_the_field_and_the_reason() {
        let workload = crate::KindInfo::of::<crate::Workload>();
        let of = |autoscale: serde_json::Value| {
            let object = serde_json::json!({"apiVersion": crate::API_VERSION, "kind": "Workload", "metadata": {"name": "web"},
                "spec": {"template": {"image": "a"}, "autoscale": autoscale}});
            let errors = workload.check(object).unwrap_err();
            assert_eq!(errors.len(), 1, "{errors:?}");
            errors[0].to_string()
        };
        let target = serde_json::json!([{"metric": "Cpu", "percent": 50}]);
        let why = "must be 1 or more: autoscaling to zero is not offered, since the first request would meet no replica that \
                   serves; spec.replicas: 0 switches the workload off";
        assert_eq!(
            of(serde_json::json!({"min": 0, "max": 4, "targets": target})),
            format!("spec.autoscale.min: Invalid value: 0: {why}")
        );
        let night = serde_json::json!([{"start": "0 20 * * *", "end": "0 6 * * *", "min": 0}]);
        assert_eq!(
            of(serde_json::json!({"min": 1, "max": 4, "targets": target, "schedule": night})),
            format!("spec.autoscale.schedule[0].min: Invalid value: 0: {why}")
        );
        // Of other fields there is nothing to explain.
        let most = of(serde_json::json!({"min": 1, "max": 0, "targets": target}));
        assert_eq!(most, "spec.autoscale.max: Invalid value: 0: must be 1 or more");
    }

    #[test]
    fn manifests_of_before_are_valid_and_mean_the_same() {
        let old = "{min: 1, max: 4, targets: [{metric: Cpu, percent: 60}], scaleUpWindow: 30s, scaleDownWindow: 5m}";
        assert_eq!(wrong(old), Vec::<String>::new());
        let spec: Autoscale = serde_saphyr::from_str(old).unwrap();
        let text = serde_json::to_string(&spec).unwrap();
        assert!(
            !text.contains("metricWindow") && text.contains(r#""scaleUpWindow":"30s""#),
            "{text}"
        );
    }

    #[test]
    fn each_metric_has_its_own_fields_and_what_is_wrong_is_named_with_what_is_allowed() {
        let of = |target: &str| wrong(&format!("{{min: 1, max: 4, targets: [{target}]}}"));
        for right in [
            "{metric: Memory, percent: 80}",
            "{metric: RequestsPerSecond, value: 50}",
            "{metric: InFlight, value: 0.5}",
            "{metric: LatencyP95, milliseconds: 300}",
            "{metric: External, url: 'http://queue:8080/length', value: 10}",
            "{metric: External, url: 'https://q.example.test', field: /n, value: 10, tokenValueFrom: {file: q}}",
            "{metric: External, prometheus: 'http://prometheus:9090', query: sum(up), value: 1}",
        ] {
            assert_eq!(of(right), Vec::<String>::new(), "{right}");
        }
        for (target, field, words) in [
            ("{metric: Cpu}", "targets[0].percent", "metric Cpu needs it"),
            (
                "{metric: Cpu, percent: 50, value: 3}",
                "targets[0].value",
                "allowed: percent",
            ),
            ("{metric: InFlight, value: 0}", "targets[0].value", "0.001"),
            (
                "{metric: LatencyP95, percent: 3}",
                "targets[0].milliseconds",
                "needs it",
            ),
            (
                "{metric: External, value: 1}",
                "targets[0]",
                "either url, or both prometheus and query",
            ),
            (
                "{metric: External, value: 1, prometheus: 'http://p'}",
                "targets[0]",
                "both prometheus and query",
            ),
            (
                "{metric: External, value: 1, url: 'file:///etc/passwd'}",
                "targets[0].url",
                "http://",
            ),
            (
                "{metric: External, value: 1, url: 'http://u:secret@h/'}",
                "targets[0].url",
                "no user",
            ),
            (
                "{metric: External, value: 1, url: 'http://'}",
                "targets[0].url",
                "names a host",
            ),
            (
                "{metric: External, value: 1, url: 'http://h', field: n}",
                "targets[0].field",
                "JSON pointer",
            ),
            (
                "{metric: External, value: 1, url: 'http://h', tokenValueFrom: {env: PATH}}",
                "targets[0].tokenValueFrom.env",
                "AEGIS_SECRET_",
            ),
        ] {
            let errors = of(target);
            let found = errors
                .iter()
                .any(|error| error.contains(field) && error.contains(words));
            assert!(found, "{target}: {errors:?}");
            assert!(!errors.iter().any(|error| error.contains("secret")), "{errors:?}");
        }
    }

    #[test]
    fn times_have_bounds_and_a_schedule_is_read_before_it_is_stored() {
        let of = |rest: &str| {
            wrong(&format!(
                "{{min: 1, max: 4, targets: [{{metric: Cpu, percent: 60}}], {rest}}}"
            ))
        };
        for (rest, field) in [
            ("scaleUpWindow: 2h", "scaleUpWindow"),
            ("scaleDownWindow: 2h", "scaleDownWindow"),
            ("metricWindow: 1s", "metricWindow"),
            ("warmUp: 1h", "warmUp"),
            ("holdAfterManual: 2d", "holdAfterManual"),
            ("headStart: 10s", "headStart"),
            ("fallback: {replicas: 2, after: 1s}", "fallback.after"),
            (
                "scaleUp: {policies: [{type: Pods, value: 1, period: 0s}]}",
                "scaleUp.policies[0].period",
            ),
            (
                "schedule: [{start: '0 8 * * *', end: '0 18 * * *'}]",
                "schedule[0]",
            ),
            (
                "schedule: [{start: '0 8 * * *', end: '0 8 * * *', min: 2}]",
                "schedule[0].end",
            ),
            (
                "schedule: [{start: '0 8 * *', end: '0 18 * * *', min: 2}]",
                "schedule[0].start",
            ),
            (
                "schedule: [{start: '0 8 * * *', end: '0 25 * * *', min: 2}]",
                "schedule[0].end",
            ),
            (
                "schedule: [{start: '0 8 * * *', end: '0 9 * * *', min: 5}]",
                "schedule[0].min",
            ),
            (
                "schedule: [{start: '0 8 * * *', end: '0 9 * * *', min: 2, timeZone: Mars/Olympus}]",
                "schedule[0].timeZone",
            ),
        ] {
            let errors = of(rest);
            assert_eq!(errors.len(), 1, "{rest}: {errors:?}");
            assert!(
                errors[0].contains(&format!("spec.autoscale.{field}")),
                "{rest}: {errors:?}"
            );
        }
        assert_eq!(
            of("schedule: [{start: '0 8 * * 1-5', end: '0 18 * * 1-5', min: 2, timeZone: Europe/Berlin}]"),
            Vec::<String>::new()
        );
    }
}
