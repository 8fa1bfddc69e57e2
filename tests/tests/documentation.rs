//! Promise: what README and docs name is there: each test of an invariant, each command with its flags, each path, link,
//! target and variable.

use std::collections::BTreeSet;
use std::fs::read_to_string;
use std::path::{Path, PathBuf};
use std::process::Command;

use aegis_api::Phase;
use aegis_planning::incident::TRANSITIONS;
use aegis_tests::binaries::{binary, repository};

/// A page of the documentation, by its path in the repository.
struct Page {
    path: PathBuf,
    text: String,
}

/// README, CONTRIBUTING, SECURITY and everything in docs.
fn pages() -> Vec<Page> {
    let root = repository();
    let names = ["README.md", "CONTRIBUTING.md", "SECURITY.md"].map(PathBuf::from);
    let docs = files(&root.join("docs"), "md");
    let docs = docs
        .iter()
        .filter_map(|path| Some(path.strip_prefix(root).ok()?.to_owned()));
    let pages: Vec<Page> = names
        .into_iter()
        .chain(docs)
        .map(|path| Page {
            text: read_to_string(root.join(&path)).unwrap(),
            path,
        })
        .collect();
    assert!(pages.len() >= 14, "{} pages", pages.len());
    pages
}

/// The files below a folder that end so; what was built or fetched is left out.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if !path.ends_with("target") && !path.ends_with("node_modules") {
                found.extend(files(&path, ending));
            }
        } else if path.extension().is_some_and(|extension| extension == ending) {
            found.push(path);
        }
    }
    found
}

/// What stands between backticks on one line, and the lines of the blocks of a console without their prompt.
fn code(page: &Page) -> Vec<String> {
    let mut found = Vec::new();
    let mut block = None;
    for line in page.text.lines() {
        match (line.strip_prefix("```"), block) {
            (Some(language), None) => block = Some(language == "console"),
            (Some(_), Some(_)) => block = None,
            (None, Some(true)) => found.extend(line.strip_prefix("$ ").map(str::to_owned)),
            (None, Some(false)) => {}
            (None, None) => found.extend(line.split('`').skip(1).step_by(2).map(str::to_owned)),
        }
    }
    found
}

/// The words of a command; blanks between double quotes part none.
fn shell_words(command: &str) -> impl Iterator<Item = String> {
    let mut words = vec![String::new()];
    let mut is_quoted = false;
    for c in command.chars() {
        match c {
            '"' => is_quoted = !is_quoted,
            c if c.is_whitespace() && !is_quoted => words.push(String::new()),
            c => words.last_mut().unwrap().push(c),
        }
    }
    words.into_iter()
}

/// Each single command of a line that starts with this program.
fn commands<'a>(line: &'a str, program: &'a str) -> impl Iterator<Item = Vec<String>> + 'a {
    let line = line.split("  #").next().unwrap_or_default();
    line.split([';', '|']).map(str::trim).filter_map(move |command| {
        let words: Vec<String> = shell_words(command)
            .map(|word| word.replace(['<', '>', '…'], ""))
            .skip_while(|word| word.contains('=') && !word.starts_with('-'))
            .filter(|word| !word.is_empty())
            .collect();
        (words.first().is_some_and(|first| first == program) && words.len() > 1).then_some(words)
    })
}

#[test]
fn each_test_of_an_invariant_that_the_docs_name_exists_and_none_is_without_one() {
    let root = repository();
    let page = read_to_string(root.join("docs/invariants.md")).unwrap();
    let mut sections = page.split("\n## I").skip(1);
    for number in 1..=14 {
        let section = sections.next().unwrap_or_else(|| panic!("I{number} is missing"));
        assert!(
            section.starts_with(&format!("{number}\n")),
            "I{number}: {section}"
        );
        let tests: Vec<&str> = section.lines().filter(|line| line.starts_with("- `")).collect();
        assert!(!tests.is_empty(), "I{number} names no test");
        for test in tests {
            let parts: Vec<&str> = test.split('`').collect();
            let (name, file) = (parts[1], parts[3]);
            assert!(
                name.starts_with(&format!("i{number}_")),
                "{name} is listed at I{number}"
            );
            let source = read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
            assert!(source.contains(&format!("fn {name}(")), "{file} has no {name}");
        }
    }
}

/// The phases between backticks.
fn phases(cell: &str) -> BTreeSet<&str> {
    let words = cell.split('`').skip(1).step_by(2);
    words
        .filter(|word| Phase::ALL.iter().any(|phase| phase.as_str() == *word))
        .collect()
}

#[test]
fn the_table_of_an_incidents_life_leads_where_the_planner_goes() {
    let page = read_to_string(repository().join("docs/architecture.md")).unwrap();
    let section = page.split("\n## The life of an incident\n").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let mut said = BTreeSet::new();
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").collect();
        let [from, _, to] = cells[..] else {
            panic!("not three cells: {row}")
        };
        let from = phases(from);
        let leads = TRANSITIONS
            .iter()
            .filter(|(start, _, end)| from.contains(start.as_str()) && start != end)
            .map(|(.., end)| end.as_str());
        assert_eq!(phases(to), leads.collect(), "{from:?}");
        said.extend(from);
    }
    assert_eq!(said, Phase::ALL.iter().map(|phase| phase.as_str()).collect());
}

#[test]
fn each_command_of_aegisctl_that_the_docs_name_is_taken_with_its_flags() {
    let mut asked = BTreeSet::new();
    for page in pages() {
        for line in code(&page) {
            for words in commands(&line, "aegisctl") {
                let said = Command::new(binary("aegisctl"))
                    .env_clear()
                    .args(&words[1..])
                    .arg("--help")
                    .output()
                    .unwrap();
                let error = String::from_utf8_lossy(&said.stderr).into_owned();
                assert!(
                    said.status.success(),
                    "{}: {words:?}: {error}",
                    page.path.display()
                );
                asked.insert(words[1].clone());
            }
        }
    }
    assert!(asked.len() > 15, "{asked:?}");
}

#[test]
fn each_target_path_and_variable_that_the_docs_name_exists() {
    let root = repository();
    let makefile = read_to_string(root.join("Makefile")).unwrap();
    let sources = sources(root);
    let known = |name: &str| sources.iter().any(|source| source.contains(name));
    let tops = [
        "controller",
        "crds",
        "examples",
        "compose",
        "lb-templates",
        "buggy-app",
        "cockpit-web",
        "tests",
        "docs",
    ];
    let mut wrong = Vec::new();
    for page in pages() {
        let mut is_wrong = |what: String| wrong.push(format!("{}: {what}", page.path.display()));
        for line in code(&page) {
            for words in commands(&line, "make") {
                let target = words[1..]
                    .iter()
                    .find(|word| !word.starts_with('-') && !word.contains('='));
                if target.is_some_and(|target| !makefile.contains(&format!("\n{target}:"))) {
                    is_wrong(format!("make {target:?} is no target"));
                }
            }
            let word = line.split_whitespace().next().unwrap_or_default();
            let top = word.split('/').next().unwrap_or_default();
            let is_path = word.contains('/') && tops.contains(&top) && !word.contains(['<', '*', '…']);
            if is_path && !root.join(word).exists() {
                is_wrong(format!("{word} does not exist"));
            }
            let name = word.split('=').next().unwrap_or_default();
            let is_variable =
                name.starts_with("AEGIS_") && name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
            if is_variable && !known(name) {
                is_wrong(format!("nothing reads {name}"));
            }
        }
        for link in page
            .text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let path = link.split('#').next().unwrap_or_default();
            let folder = root.join(&page.path).parent().map(Path::to_owned).unwrap();
            if !link.contains("://") && !path.is_empty() && !folder.join(path).exists() {
                is_wrong(format!("the link {link} leads nowhere"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Where variables are read: programs, scripts, the composition.
fn sources(root: &Path) -> Vec<String> {
    let folders = ["controller", "compose", "buggy-app", "tests", "cockpit-web"];
    let endings = ["rs", "sh", "yaml", "mjs", "ts", "py"];
    let paths = folders
        .iter()
        .flat_map(|folder| endings.map(|ending| files(&root.join(folder), ending)))
        .flatten();
    let mut sources: Vec<String> = paths
        .filter(|path| !path.ends_with("documentation.rs"))
        .filter_map(|path| read_to_string(path).ok())
        .collect();
    sources.push(read_to_string(root.join("Makefile")).unwrap());
    sources
}
