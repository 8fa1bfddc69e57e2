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
fn what_a_template_holds_in_variables_has_an_end_whatever_makes_it_grow() {
    let doubles = "{% set x = x ~ x %}".repeat(40);
    let filters = "{% set x = x | replace(from='x', to=x) %}".repeat(40);
    for (template, why) in [
        (
            "{% set x = 'x' %}{% for n in range(end=64) %}{% set_global x = x ~ x %}{% endfor %}",
            "holds more than 1048576 bytes",
        ),
        (
            &format!("{{% set x = 'x' -%}} {doubles}"),
            "holds more than 1048576 bytes",
        ),
        (
            "{% set x = ['x'] %}{% for n in range(end=64) %}{% set_global x = [x, x] %}{% endfor %}",
            "holds more than 1048576 bytes",
        ),
        (
            "{% set x = ['x'] %}{% for n in range(end=64) %}{% set_global x = x | concat(with=x) %}{% endfor %}",
            "holds more than 1048576 bytes",
        ),
        (
            "{% set x = 'x' %}{% for n in range(end=9999) %}{% set_global x = [x] %}{% endfor %}",
            "nested too deep",
        ),
        (&format!("{{% set x = 'xxxxxxxx' %}}{filters}"), "bytes"),
        (
            "{% set x = 'xxxxxxxx' %}{% for n in range(end=12) %}{% set_global x = x ~ x %}{% endfor %}{{ x | replace(from='x', to=x) }}",
            "replace: its text has more than 1048576 bytes",
        ),
        (
            "{% set x = 'xxxxxxxx' %}{% for n in range(end=12) %}{% set_global x = x ~ x %}{% endfor %}{% set r = range(end=1000) %}{{ r | join(sep=x) }}",
            "join: its text has more than 1048576 bytes",
        ),
        (
            "{% set x = 'xxxxxxxx' %}{% for n in range(end=12) %}{% set_global x = x ~ x %}{% endfor %}{{ x | replace(from='x', to='\n') | indent(prefix=x) }}",
            "indent: its text has more than 1048576 bytes",
        ),
        (
            "{% set x = 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' %}{% for n in range(end=9999) %}{% for m in range(end=9) %}{% set y = [x, x, x] %}{% endfor %}{% endfor %}",
            "more than 16777216 bytes together",
        ),
        (
            &format!("{{{{ 'x'{} }}}}", " | addslashes".repeat(9)),
            "more than 8 filters",
        ),
        (
            &format!("{{{{ name{} }}}}", " ~ name".repeat(128)),
            "more than 128 things",
        ),
        (
            "{% filter upper %}{% for n in range(end=9999) %}{{ n }}{% endfor %}{% endfilter %}",
            "filter is not offered",
        ),
    ] {
        let error = rendered(template).unwrap_err();
        assert!(error.contains(why), "{template}: {error}");
    }
}

#[test]
fn a_loop_multiplies_nothing_and_hides_no_variable_that_is_set_for_all() {
    let list = ["v"; 120].join(",");
    let grows = "{% set x = 'xxxxxxxx' %}{% for n in range(end=16) %}{% set_global x = x ~ x %}{% endfor %}";
    for (template, why) in [
        (
            &*format!(
                "{{% set v = 'x' %}}{{% for a in [{list}] %}}{{% for b in [a, a] %}}{{% endfor %}}{{% endfor %}}"
            ),
            "a list of other values",
        ),
        (
            "{% for a in names | concat(with=[names, true]) %}{% endfor %}",
            "a list of other values",
        ),
        (
            &*format!("{grows}{{% for a in names | concat(with=x ~ x ~ x) %}}{{% endfor %}}"),
            "holds more than",
        ),
        (
            &*format!(
                "{}{}",
                "{% for n in names %}".repeat(17),
                "{% endfor %}".repeat(17)
            ),
            "more than 16 loops within each other",
        ),
        (
            "{% for x in names %}{% set_global x = x ~ x %}{% endfor %}",
            "set_global x",
        ),
        (
            "{% for x, n in names %}{% set_global x = 'x' %}{% endfor %}",
            "set_global x",
        ),
        (
            "{% for n in names %}{%- set_global y = 'x' -%}{% endfor %}{% for n in names %}{% set y = n %}{% endfor %}",
            "set_global y",
        ),
    ] {
        let error = rendered(template).unwrap_err();
        assert!(error.contains(why), "{template}: {error}");
    }
}

#[test]
fn what_is_counted_is_not_seen() {
    for template in [
        "{% set l = [names, names] %}{% for n in l[1] %}{{ n }}{% endfor %}",
        "{% for n in ['a', \"b\", true, 1.5, -2] %}{{ n }}{% endfor %}",
        "{% set k = 0 %}{% for n in names %}{% set_global k = k + 1 %}{{ k }}{% endfor %}{{ k }}",
        "a {% for n in names %}[{{ n }}]\n{% endfor %}b",
        "a {%- for n in names -%}  [{{ n }}]  {%- endfor %} b",
        "{# {% for x in y %} #}{ {x} {% raw %}{% for n in names %}{{ n }}{% endraw %}",
        "{% for n in ['%}', \"{%\"] %}{{ n }}{% endfor %}{{ '{% for' }}",
        "a {% set x = 'x' -%}  {{ x }} {%- set_global y_1 = names | join(sep='-') %} [{{ y_1 }}] {% set z=x ~ y_1 | upper %}{{ z }}",
        "{% set l = ['a.b', \"c|d\"] %}{{ l | join(sep=' ') | replace(from='.', to='') | indent(prefix='  ') }}{{ l | first }}",
        "{% if names %}{% for n in names %}{% if n == 'a' %}{% continue %}{% endif %}{{ n }}{% endfor %}{% endif %}",
    ] {
        let mut context = Context::new();
        context.insert("names", &["a", "b"]);
        let plain = Tera::one_off(template, &context, false).map_err(|error| chain(&error));
        assert_eq!(rendered(template), plain, "{template}");
    }
}

#[test]
fn a_variable_may_stand_for_hundreds_of_servers() {
    let server = |number: usize| {
        let address = format!("container-of-web-{number}.example:8080");
        HashMap::from([
            ("name", address.clone()),
            ("address", address),
            ("id", "a".repeat(64)),
        ])
    };
    let servers: Vec<_> = (0..500).map(server).collect();
    let mut context = Context::new();
    context.insert("upstream", &HashMap::from([("servers", servers)]));
    let mut templates = Templates::default();
    let template = "{% set servers = upstream.servers %}{{ servers | length }}";
    templates.add(NAME, template).unwrap();
    assert_eq!(templates.render(NAME, &context).unwrap(), "500");
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
