//! Renders the table of keys for people: the README's Markdown, the commented default file. It knows no node's values.

use super::key::Key;
use super::keys::KEYS;

/// The README's configuration tables: one per group, Markdown, with a trailing newline.
pub fn markdown_table() -> String {
    let mut out = String::new();
    for (index, key) in KEYS.iter().enumerate() {
        if begins_group(index, key) {
            let gap = if index == 0 { "" } else { "\n" };
            out.push_str(&format!("{gap}**{}**\n\n", key.group.title()));
            out.push_str(
                "| variable | default | range | SIGHUP | meaning |\n| --- | --- | --- | --- | --- |\n",
            );
        }
        let default = key.default.map_or_else(String::new, |text| format!("`{text}`"));
        let range = key.kind.range().unwrap_or_default();
        let reload = if key.reload { "yes" } else { "" };
        let row = format!("| `{}` | {default} | {range} | {reload} | {} |\n", key.env_name(), key.help);
        // An empty cell is one space between bars.
        out.push_str(&row.replace("|  |", "| |").replace("|  |", "| |"));
    }
    out
}

/// `systemd/twinlet.toml`: every key with its default, commented out. Prose lines begin with `# `, settings with `#`
/// alone, so that removing that `#` sets them.
pub fn commented_toml() -> String {
    let mut out = String::from(HEADER);
    for (index, key) in KEYS.iter().enumerate() {
        if begins_group(index, key) {
            out.push_str(&format!("\n# ---- {} ----\n", key.group.title()));
        }
        let range = key.kind.range().map_or_else(String::new, |range| format!(" ({range})"));
        let reload = if key.reload { " [reload]" } else { "" };
        out.push_str(&format!("\n# {}{range}{reload}\n", key.help));
        let default = key.default.unwrap_or_default();
        let value = if key.kind.is_bare() { default.to_owned() } else { format!("{default:?}") };
        out.push_str(&format!("#{} = {value}\n", key.name));
    }
    out
}

const HEADER: &str = "\
# twinlet's settings. Every line with a `#` and no space after it shows a key and its default; remove the `#` to set
# the key. An empty string means that the key is unset. Environment variables of the same name in upper case are
# stronger than this file, and flags are stronger still: twinlet.service sets CACHE_DIR and LOCAL_SOCKET, so that under
# it these two keys have no effect here. Keys marked [reload] are applied by `systemctl reload twinlet` (SIGHUP), the
# others by a restart.
";

fn begins_group(index: usize, key: &Key) -> bool {
    index.checked_sub(1).and_then(|before| KEYS.get(before)).is_none_or(|before| before.group != key.group)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_packaged_default_file_is_what_the_table_says() {
        let packaged = include_str!("../../../systemd/twinlet.toml");
        assert!(packaged == commented_toml(), "write systemd/twinlet.toml anew from commented_toml()");
    }

    #[test]
    fn a_markdown_row_has_five_cells_and_every_key_has_one() {
        let table = markdown_table();
        let rows: Vec<_> = table.lines().filter(|line| line.starts_with("| `")).collect();
        assert_eq!(rows.len(), KEYS.len());
        assert!(rows.iter().all(|row| row.matches('|').count() == 6), "{table}");
    }
}
