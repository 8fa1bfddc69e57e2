use super::*;
use aegis_api::error::chain;

const NAME: &str = "template";

fn rendered(template: &str) -> Result<String, String> {
    let mut context = Context::new();
    context.insert("names", &["a", "b"]);
    let mut templates = Templates::default();
    templates.add(NAME, template).map_err(|error| chain(&error))?;
    templates.render(NAME, &context).map_err(|error| chain(&error))
}

#[test]
fn a_template_reads_no_environment_and_ends_whatever_it_repeats() {
    for (template, why) in [
        ("{{ get_env(name='PATH') }}", "get_env is not offered"),
        (
            "{{ get_env(name='NONE', default='x') }}",
            "get_env is not offered",
        ),
        (
            "{% for a in range(end=9999999999) %}{% endfor %}",
            "more than 10000 numbers",
        ),
        (
            "{% for a in range(end=9999) %}{% for b in range(end=9999) %}{% endfor %}{% endfor %}",
            "rounds together",
        ),
        (
            "{% set r = range(end=5000) -%} {%- for a in r -%}{%- for b in r -%}{%- for c in r -%}{%- endfor -%}{%- endfor -%}{%- endfor -%}",
            "rounds together",
        ),
        (
            "{% for a in range(end=9999) %}xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx{% endfor %}",
            "more than 1048576 bytes",
        ),
        (
            "{% macro m() %}{{ self::m() }}{% endmacro %}{{ self::m() }}",
            "macro is not offered",
        ),
        ("{% import 'template' as own %}", "import is not offered"),
        (
            "{% raw %}{% ' {% endraw %}{% for a in range(end=9999) %}{% for b in range(end=9999) %}{% endfor %}{% endfor %}{{ ' %}' }}",
            "rounds together",
        ),
        ("{% include 'template' %}", "includes more than 64 templates"),
        (
            "a {%- include 'template' -%} b",
            "includes more than 64 templates",
        ),
    ] {
        let error = rendered(template).unwrap_err();
        assert!(error.contains(why), "{template}: {error}");
    }
}

#[test]
fn what_is_counted_is_not_seen() {
    for template in [
        "a {% for n in names %}[{{ n }}]\n{% endfor %}b",
        "a {%- for n in names -%}  [{{ n }}]  {%- endfor %} b",
        "{# {% for x in y %} #}{ {x} {% raw %}{% for n in names %}{{ n }}{% endraw %}",
        "{% for n in ['%}', \"{%\"] %}{{ n }}{% endfor %}{{ '{% for' }}",
        "{% if names %}{% for n in names %}{% if n == 'a' %}{% continue %}{% endif %}{{ n }}{% endfor %}{% endif %}",
    ] {
        let mut context = Context::new();
        context.insert("names", &["a", "b"]);
        let plain = Tera::one_off(template, &context, false).map_err(|error| chain(&error));
        assert_eq!(rendered(template), plain, "{template}");
    }
}

#[test]
fn a_template_is_included_as_if_it_were_not_counted_and_each_text_has_a_count_of_its_own() {
    let mut templates = Templates::default();
    templates
        .add("case", "[{% for n in range(end=9000) %}{% endfor %}]")
        .unwrap();
    templates
        .add(NAME, "a  {%- include 'case' -%}  b {% include 'case' %} c")
        .unwrap();
    for _ in 0..20 {
        assert_eq!(templates.render(NAME, &Context::new()).unwrap(), "a[]b [] c");
    }
}
