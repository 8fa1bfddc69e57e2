//! What an event says, without what is another each time that it is said: times of day, dates and process ids, as programs
//! put them before their errors. Every other number counts: "1 of 3 ready" is not "2 of 3 ready". Pure.

/// The text with a placeholder for each time and process id.
pub(super) fn gist(message: &str) -> String {
    let mut gist = String::with_capacity(message.len());
    let mut before = "";
    for (at, word) in message.split(' ').enumerate() {
        if at > 0 {
            gist.push(' ');
        }
        let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        if is_time(bare) || is_nginx_pid(bare) || is_pid_word(before) && digits(bare) {
            gist.push('~');
        } else {
            push_without_pid(word, &mut gist);
        }
        before = bare;
    }
    gist
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_pid_word(word: &str) -> bool {
    matches!(
        word.to_ascii_lowercase().as_str(),
        "pid" | "process" | "tid" | "thread"
    )
}

/// `7#7`, as nginx has it: process and thread.
fn is_nginx_pid(word: &str) -> bool {
    word.split_once('#')
        .is_some_and(|(process, thread)| digits(process) && digits(thread))
}

/// A date, a time of day, both, or seconds or milliseconds since 1970.
fn is_time(word: &str) -> bool {
    let epoch = matches!(word.len(), 10 | 13) && digits(word) && word.starts_with('1');
    let shape: String = word
        .chars()
        .take(19)
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    let date = ["0000-00-00", "0000/00/00", "00/00/0000"];
    let is_date = date
        .iter()
        .any(|date| shape == *date || shape.starts_with(&format!("{date}T")));
    let is_clock = shape.starts_with("00:00:00")
        && shape
            .chars()
            .skip(8)
            .all(|c| matches!(c, '0' | '.' | ',' | 'Z' | '+' | '-' | ':'));
    epoch || is_date || is_clock
}

/// `nginx[1234]:` and `pid=1234` without their numbers.
fn push_without_pid(word: &str, gist: &mut String) {
    let hidden = ["[", "pid=", "PID="].iter().find_map(|mark| {
        let (name, rest) = word.split_once(mark)?;
        let number = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at_checked(number)?;
        // An index of a field, such as `backends[10]`, is no process.
        let of_program = number.len() > 2 && !name.is_empty() && !name.contains('.');
        let closed = *mark != "[" || of_program && matches!(after, "]" | "]:");
        (closed && !number.is_empty()).then_some((name, *mark, after))
    });
    match hidden {
        Some((name, mark, after)) => [name, mark, "~", after]
            .iter()
            .for_each(|part| gist.push_str(part)),
        None => gist.push_str(word),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_in_a_time_or_a_process_id_only_is_one() {
        for [a, b] in [
            [
                "2026/11/28 03:48:07 [emerg] 21#21: host not found in upstream \"a\"",
                "2026/11/28 03:48:09 [emerg] 23#23: host not found in upstream \"a\"",
            ],
            [
                "2026-01-31T12:00:00.123Z failed",
                "2026-02-01T00:00:00+01:00 failed",
            ],
            ["nginx[1234]: failed", "nginx[999]: failed"],
            ["worker process 12 exited", "worker process 4711 exited"],
            ["killed (pid 12)", "killed (pid 13)"],
            ["started pid=12, port=80", "started pid=7, port=80"],
            ["at 1767225600: late", "at 1767225601: late"],
            ["12:00:01,5 late", "12:00:02,25 late"],
        ] {
            assert_eq!(gist(a), gist(b));
        }
    }

    #[test]
    fn every_other_number_counts() {
        for [a, b] in [
            ["1 of 3 ready", "2 of 3 ready"],
            ["port 8080", "port 8081"],
            ["GET http://10.0.0.1:80/: 500", "GET http://10.0.0.2:80/: 500"],
            ["spec.backends[10].port", "spec.backends[11].port"],
            ["spec.backends[100]: bad", "spec.backends[101]: bad"],
            ["web:1.10", "web:1.11"],
            ["exited (137)", "exited (1)"],
            ["[12] errors", "[13] errors"],
            ["issue #12", "issue #13"],
        ] {
            assert_ne!(gist(a), gist(b));
        }
        for text in ["", " ", "é[", "[]", "pid", "#", "pid=é"] {
            assert_eq!(gist(text), text);
        }
    }
}
