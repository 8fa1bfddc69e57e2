//! Templates that are rendered again and again, each read once: reading one takes longer than all else that is done to render
//! it. Owns how many are kept.

use std::sync::{Arc, Mutex, PoisonError};

use super::Templates;

/// Templates that are kept: those that were used last. What one takes is bounded by how long a template may be.
const KEPT: usize = 8;

/// Their texts, and what they were read as; the one that was used last comes first.
static READ: Mutex<Vec<Read>> = Mutex::new(Vec::new());

#[derive(Debug, Clone)]
struct Read {
    name: String,
    template: String,
    templates: Arc<Templates>,
}

/// A template by itself under this name, or what is wrong with it.
pub fn read(name: &str, template: &str) -> Result<Arc<Templates>, tera::Error> {
    if let Some(templates) = kept(name, template) {
        return Ok(templates);
    }
    let mut templates = Templates::default();
    templates.add(name, template)?;
    let read = Read {
        name: name.to_owned(),
        template: template.to_owned(),
        templates: Arc::new(templates),
    };
    let templates = Arc::clone(&read.templates);
    let mut all = READ.lock().unwrap_or_else(PoisonError::into_inner);
    all.truncate(KEPT - 1);
    all.insert(0, read);
    Ok(templates)
}

fn kept(name: &str, template: &str) -> Option<Arc<Templates>> {
    let mut all = READ.lock().unwrap_or_else(PoisonError::into_inner);
    let at = all
        .iter()
        .position(|read| read.name == name && read.template == template)?;
    all.get_mut(..=at)?.rotate_right(1);
    all.first().map(|read| Arc::clone(&read.templates))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tera::Context;

    #[test]
    fn a_template_is_read_once_and_those_that_were_used_last_are_kept() {
        let text = |number: usize| format!("{number} {{{{ a }}}}");
        let asked = |number: usize| read("kept", &text(number)).unwrap();
        let first = asked(0);
        for number in 1..KEPT {
            asked(number);
            assert!(Arc::ptr_eq(&first, &asked(0)), "{number}");
        }
        for number in KEPT..2 * KEPT {
            asked(number);
        }
        let mut context = Context::new();
        context.insert("a", "b");
        assert!(!Arc::ptr_eq(&first, &asked(0)));
        assert_eq!(asked(0).render("kept", &context).unwrap(), "0 b");
        assert!(!Arc::ptr_eq(&asked(0), &read("other", &text(0)).unwrap()));
    }

    #[test]
    fn what_cannot_be_read_is_said_each_time() {
        for _ in 0..2 {
            assert!(read("bad", "{% if %}").is_err());
        }
    }
}
