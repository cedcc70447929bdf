//! Generates the table of settings in `docs/operations.md` from the declarations of the settings.

use super::setting::{Declared, DefaultValue};
use super::settings::ALL;
use std::path::Path;
use std::{env, fs};

/// Marker in the page before the table.
const BEGIN: &str = "<!-- settings -->\n";
/// Marker in the page after the table.
const END: &str = "<!-- /settings -->";

/// Returns the table, a row per setting.
fn table() -> String {
    let header =
        "| Flag | Environment variable | Values | Default | Meaning |\n|---|---|---|---|---|\n";
    header.to_owned() + &ALL.iter().map(|setting| row(*setting)).collect::<String>()
}

fn row(setting: &dyn Declared) -> String {
    let code = |text: &str| format!("`{text}`");
    let flag = setting.flag().long().map_or(String::new(), |long| code(&format!("--{long}")));
    let variables: Vec<String> = setting.variables().iter().map(|name| code(name)).collect();
    let default = match setting.default() {
        DefaultValue::Unset => "none".to_owned(),
        DefaultValue::Fixed(default) => code(default),
        DefaultValue::Computed(default) => default.to_owned(),
    };
    let cells = [flag, variables.join(", "), setting.expected(), default, setting.help().join(" ")];
    format!("| {} |\n", cells.map(|cell| cell.replace('|', "\\|")).join(" | "))
}

/// Run this test with `UPDATE_DOCS=1` to update the table.
#[test]
fn settings_table_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
    let page = fs::read_to_string(&path).expect("the page can be read");
    let begin = page.find(BEGIN).expect("the page has the first marker") + BEGIN.len();
    let end = begin + page[begin..].find(END).expect("the page has the second marker");
    if page[begin..end] == table() {
        return;
    }
    assert!(
        env::var_os("UPDATE_DOCS").is_some(),
        "the table of settings in docs/operations.md is out of date; \
         `UPDATE_DOCS=1 cargo test -p ml-app settings_table` updates it"
    );
    let updated = format!("{}{}{}", &page[..begin], table(), &page[end..]);
    fs::write(&path, updated).expect("the page can be written");
}

#[test]
fn variables_are_named_after_their_flags() {
    for setting in ALL {
        let Some(long) = setting.flag().long() else { continue };
        let variable = format!("ML_APP_{}", long.replace('-', "_").to_uppercase());
        assert_eq!(setting.variables()[0], variable);
    }
}

#[test]
fn help_texts_have_a_short_summary() {
    for setting in ALL {
        let summary = &setting.help()[0];
        assert!(summary.len() <= 120 && summary.ends_with('.'), "{summary}");
    }
}
