use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::*;

/// A folder with a live file, and an `nginx` of ours that accepts what does not say "bad".
struct Lab(PathBuf);

impl Lab {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("aegis-script-{}-{name}", std::process::id()));
        drop(std::fs::remove_dir_all(&folder));
        std::fs::create_dir_all(folder.join("bin")).unwrap();
        std::fs::create_dir_all(folder.join("conf.d")).unwrap();
        let lab = Self(folder);
        std::fs::write(lab.live(), "before").unwrap();
        let nginx = format!(
            "#!/bin/sh\ncase $1 in\n-t) ! grep -q bad '{live}' || {{ echo '[emerg] bad'; exit 1; }} ;;\n-s) test ! -e {pidless} && cat '{live}' >{loaded} ;;\nesac\n",
            live = lab.live().display(),
            loaded = lab.0.join("loaded").display(),
            pidless = lab.0.join("pidless").display(),
        );
        let path = lab.0.join("bin/nginx");
        std::fs::write(&path, nginx).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        lab
    }

    fn live(&self) -> PathBuf {
        self.0.join("conf.d/up stream.conf")
    }

    /// The script, which waits for requests.
    fn open(&self) -> Child {
        let live = self.live().display().to_string();
        let [shell, arguments @ ..] = fast_reload(&live, "/etc/nginx/nginx.conf", "");
        self.spawn(Command::new(shell).args(arguments))
    }

    /// With our `nginx`.
    fn spawn(&self, command: &mut Command) -> Child {
        let path = format!("{}:/usr/bin:/bin", self.0.join("bin").display());
        let command = command.env("PATH", path).stderr(Stdio::null());
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        piped.spawn().unwrap()
    }

    /// The code that the script answers one request with, said to have so many bytes, and the one that it ends with when
    /// its input ends after that.
    fn run(&self, input: &str, bytes: usize) -> (Option<i64>, i32) {
        self.say(&format!("{bytes} mark\n{input}"))
    }

    /// The same with this on its standard input.
    fn say(&self, input: &str) -> (Option<i64>, i32) {
        ends(self.open(), input)
    }

    /// The live file, what nginx loaded, and that nothing else was left.
    fn is(&self, live: &str, loaded: Option<&str>) {
        assert_eq!(std::fs::read_to_string(self.live()).unwrap(), live);
        assert_eq!(
            std::fs::read_to_string(self.0.join("loaded")).ok().as_deref(),
            loaded
        );
        let left = std::fs::read_dir(self.0.join("conf.d")).unwrap().count();
        assert_eq!(left, 1);
    }
}

/// The last code that it answers this with, and the one that it ends with.
fn ends(mut script: Child, input: &str) -> (Option<i64>, i32) {
    script.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = script.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let mut answers = said.lines().filter_map(|line| line.strip_prefix("mark "));
    let last = answers.next_back().map(|code| code.parse().unwrap());
    (last, output.status.code().unwrap())
}

/// Asks a script that goes on running; answers the code.
fn ask(script: &mut Child, text: &str) -> i64 {
    let request = ReloadRequest::new(text);
    script.stdin.as_mut().unwrap().write_all(&request.input).unwrap();
    let mut said = Vec::new();
    let end = format!("\n{} ", request.mark);
    loop {
        let mut byte = [0];
        script.stdout.as_mut().unwrap().read_exact(&mut byte).unwrap();
        said.extend(byte);
        let text = String::from_utf8_lossy(&said);
        if let Some((_, code)) = text.split_once(&end).filter(|_| text.ends_with('\n')) {
            return code.trim_end().parse().unwrap();
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(Path::new(&self.0)));
    }
}

#[test]
fn a_good_file_takes_the_place_of_the_last_and_is_loaded() {
    let lab = Lab::new("good");
    assert_eq!(lab.run("after", 5).0, Some(RELOADED));
    lab.is("after", Some("after"));
}

#[test]
fn a_refused_file_leaves_the_last_good_one_i8() {
    let lab = Lab::new("refused");
    assert_eq!(lab.run("bad", 3).0, Some(REFUSED));
    lab.is("before", None);
}

#[test]
fn half_a_file_touches_nothing_i8() {
    let lab = Lab::new("half");
    assert_eq!(lab.run("af", 5), (Some(UNTOUCHED), 70));
    lab.is("before", None);
}

#[test]
fn an_input_that_ends_without_a_whole_request_touches_nothing_i8() {
    for input in [
        "",
        "5",
        "5 mark",
        "\n",
        "mark\n",
        "-1 mark\nafter",
        "5x mark\nafter",
        " 5\naft",
    ] {
        let lab = Lab::new("no-request");
        let whole_line = input.contains('\n');
        let code = if whole_line { UNTOUCHED } else { INPUT_ENDED };
        assert_eq!(i64::from(lab.say(input).1), code, "{input:?}");
        lab.is("before", None);
    }
}

#[test]
fn more_than_was_said_is_no_part_of_the_file() {
    let lab = Lab::new("more");
    assert_eq!(lab.run("after; and more", 5), (Some(RELOADED), 74));
    lab.is("after", Some("after"));
}

#[test]
fn it_takes_one_request_after_the_other_until_its_input_ends() {
    let lab = Lab::new("several");
    let mut script = lab.open();
    assert_eq!(ask(&mut script, "first"), RELOADED);
    lab.is("first", Some("first"));
    assert_eq!(ask(&mut script, "bad"), REFUSED);
    lab.is("first", Some("first"));
    assert_eq!(ask(&mut script, ""), RELOADED);
    assert_eq!(ask(&mut script, "third\n"), RELOADED);
    lab.is("third\n", Some("third\n"));
    assert_eq!(ends(script, ""), (None, 74));
    lab.is("third\n", Some("third\n"));
}

#[test]
fn the_mark_of_an_answer_is_never_the_same_and_a_request_is_read_as_it_was_written() {
    let (one, other) = (ReloadRequest::new("a b\nc"), ReloadRequest::new("a b\nc"));
    assert_ne!(one.mark, other.mark);
    assert_eq!(ReloadRequest::text(&one.input), Some(&b"a b\nc"[..]));
    let (_, short) = one.input.split_last().unwrap();
    assert_eq!(ReloadRequest::text(short), None);
}

#[test]
fn an_nginx_that_cannot_be_signalled_says_so() {
    let lab = Lab::new("not-reloaded");
    std::fs::write(lab.0.join("pidless"), "").unwrap();
    assert_eq!(lab.run("after", 5).0, Some(NOT_RELOADED));
    lab.is("after", None);
}

#[test]
fn a_link_that_lies_where_the_script_writes_is_never_followed() {
    let lab = Lab::new("links");
    let victim = lab.0.join("victim");
    std::fs::write(&victim, "untouched").unwrap();
    let (live, folder) = (lab.live(), lab.0.join("conf.d"));
    // Another program that may write there has put a link at each name that the script can come to use: `$$` is the shell's own id.
    let program = format!(
        "for end in new old; do ln -s '{victim}' '{folder}/.up stream.conf.'$$\"-$end\"; done\n{FAST_RELOAD}",
        victim = victim.display(),
        folder = folder.display()
    );
    let mut command = Command::new("sh");
    command
        .args(["-c", &program, "aegis-reload"])
        .arg(&live)
        .arg("/etc/nginx/nginx.conf");
    let ended = ends(lab.spawn(&mut command), "5 mark\nafter");
    assert_eq!(ended, (Some(UNTOUCHED), 70));
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "untouched");
    lab.is("before", None);
}

#[test]
fn a_file_that_cannot_be_replaced_is_written_whole_or_not_at_all() {
    let lab = Lab::new("in-place");
    let text = "# ünïcode\nupstream a { server 10.0.0.1; }\n\n";
    let write = |sent: &str, bytes: usize| {
        let (live, bytes) = (lab.live().display().to_string(), bytes.to_string());
        let [shell, arguments @ ..] = write_in_place(&live, &bytes);
        let mut command = Command::new(shell);
        let child = command.args(arguments).stdin(Stdio::piped()).spawn();
        let mut child = child.unwrap();
        child.stdin.take().unwrap().write_all(sent.as_bytes()).unwrap();
        child.wait().unwrap().success()
    };
    assert!(!write("half of", text.len()), "the connection broke off");
    assert_eq!(std::fs::read_to_string(lab.live()).unwrap(), "before");
    assert!(write(text, text.len()));
    assert_eq!(std::fs::read_to_string(lab.live()).unwrap(), text);
}

#[test]
fn a_file_that_cannot_be_replaced_is_not_written_where_a_link_has_its_name() {
    let lab = Lab::new("in-place-link");
    let victim = lab.0.join("victim");
    std::fs::write(&victim, "untouched").unwrap();
    for name in ["link", "missing"] {
        let live = lab.0.join("conf.d").join(name);
        if name == "link" {
            std::os::unix::fs::symlink(&victim, &live).unwrap();
        }
        let live = live.display().to_string();
        let [shell, arguments @ ..] = write_in_place(&live, "4");
        let mut child = Command::new(shell)
            .args(arguments)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        // It may end before it has read anything.
        drop(child.stdin.take().unwrap().write_all(b"evil"));
        assert_eq!(child.wait().unwrap().code(), Some(1), "{name}");
        assert!(name == "link" || !Path::new(&live).exists());
    }
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "untouched");
}
