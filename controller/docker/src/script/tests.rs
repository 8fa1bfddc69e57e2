use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

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

    fn run(&self, input: &str, bytes: usize) -> i32 {
        let (live, bytes) = (self.live().display().to_string(), bytes.to_string());
        let [shell, arguments @ ..] = fast_reload(&live, &bytes, "/etc/nginx/nginx.conf");
        self.exit_code(Command::new(shell).args(arguments), input)
    }

    /// With our `nginx`, and this as its input.
    fn exit_code(&self, command: &mut Command, input: &str) -> i32 {
        let path = format!("{}:/usr/bin:/bin", self.0.join("bin").display());
        let mut child = command
            .env("PATH", path)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait().unwrap().code().unwrap()
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

impl Drop for Lab {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(Path::new(&self.0)));
    }
}

#[test]
fn a_good_file_takes_the_place_of_the_last_and_is_loaded() {
    let lab = Lab::new("good");
    assert_eq!(lab.run("after", 5), 0);
    lab.is("after", Some("after"));
}

#[test]
fn a_refused_file_leaves_the_last_good_one_i8() {
    let lab = Lab::new("refused");
    assert_eq!(i64::from(lab.run("bad", 3)), REFUSED);
    lab.is("before", None);
}

#[test]
fn half_a_file_touches_nothing_i8() {
    let lab = Lab::new("half");
    assert_eq!(lab.run("af", 5), 70);
    lab.is("before", None);
}

#[test]
fn more_than_was_said_is_not_read() {
    let lab = Lab::new("more");
    assert_eq!(lab.run("after; and more", 5), 0);
    lab.is("after", Some("after"));
}

#[test]
fn an_nginx_that_cannot_be_signalled_says_so() {
    let lab = Lab::new("not-reloaded");
    std::fs::write(lab.0.join("pidless"), "").unwrap();
    assert_eq!(i64::from(lab.run("after", 5)), NOT_RELOADED);
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
        .args(["5", "/etc/nginx/nginx.conf"]);
    assert_eq!(lab.exit_code(&mut command, "after"), 70);
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "untouched");
    lab.is("before", None);
}
