//! The user's settings: `sedflow/tui.toml` in the XDG configuration folder.
//!
//! ```toml
//! theme = "light"
//! mouse = false
//! [keys]
//! down = ["j", "Down", "Ctrl-n"]
//! [colors]
//! median = "#003f66"
//! ```

use std::path::{Path, PathBuf};
use std::str::FromStr;

use ratatui::style::Color;

use super::keys::Keymap;
use super::theme::{Kind, NAMES, Theme};

#[derive(Debug, Clone)]
pub struct Config {
    pub theme: Theme,
    pub keymap: Keymap,
    pub mouse: bool,
    /// What was wrong with the file; the rest of it counts.
    pub complaints: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self { theme: Theme::default(), keymap: Keymap::default(), mouse: true, complaints: vec![] }
    }
}

/// `$XDG_CONFIG_HOME/sedflow/tui.toml`, or in `~/.config`.
pub fn path() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = variable("XDG_CONFIG_HOME").or_else(|| variable("HOME").map(|home| home.join(".config")))?;
    Some(folder.join("sedflow").join("tui.toml"))
}

/// The file's settings with `NO_COLOR` above them; no file is no complaint.
pub fn load(path: Option<&Path>) -> Config {
    let mut config = match path.map(std::fs::read_to_string) {
        Some(Ok(text)) => parse(&text),
        Some(Err(error)) if error.kind() != std::io::ErrorKind::NotFound => {
            Config { complaints: vec![error.to_string()], ..Config::default() }
        }
        _ => Config::default(),
    };
    if let Some(path) = path {
        for complaint in &mut config.complaints {
            *complaint = format!("{}: {complaint}", path.display());
        }
    }
    // https://no-color.org: present and not empty
    if std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) {
        config.theme.kind = Kind::Plain;
    }
    config
}

/// Settings from the text of a file.
pub fn parse(text: &str) -> Config {
    let mut config = Config::default();
    let table: toml::Table = match text.parse() {
        Ok(table) => table,
        Err(error) => {
            config.complaints.push(error.to_string().trim().replace('\n', " "));
            return config;
        }
    };
    for (key, value) in &table {
        let complaint = match (key.as_str(), value) {
            ("theme", toml::Value::String(name)) => match Kind::parse(name) {
                Some(kind) => {
                    config.theme.kind = kind;
                    None
                }
                None => Some(format!("theme is `{name}`, expected dark, light or plain")),
            },
            ("mouse", toml::Value::Boolean(on)) => {
                config.mouse = *on;
                None
            }
            ("keys", toml::Value::Table(keys)) => {
                for (name, keys) in keys {
                    let keys = match keys {
                        toml::Value::String(key) => Some(vec![key.clone()]),
                        toml::Value::Array(keys) => {
                            keys.iter().map(|key| key.as_str().map(str::to_owned)).collect()
                        }
                        _ => None,
                    };
                    let bound = match keys {
                        Some(keys) => config.keymap.rebind(name, &keys),
                        None => Err(format!("the keys of `{name}` are a text or a list of texts")),
                    };
                    config.complaints.extend(bound.err());
                }
                None
            }
            ("colors", toml::Value::Table(colors)) => {
                for (name, color) in colors {
                    let role = NAMES.iter().find(|(known, _)| known == name).map(|(_, role)| *role);
                    let color = color.as_str().and_then(|color| Color::from_str(color).ok());
                    match (role, color) {
                        (Some(role), Some(color)) => config.theme.changed.push((role, color)),
                        (None, _) => {
                            let known: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
                            config
                                .complaints
                                .push(format!("no colour `{name}`: expected {}", known.join(", ")));
                        }
                        (_, None) => config.complaints.push(format!("the colour of `{name}` is no #rrggbb")),
                    }
                }
                None
            }
            (key, _) => Some(format!("`{key}` is not understood: expected theme, mouse, keys, colors")),
        };
        config.complaints.extend(complaint);
    }
    config
}

#[cfg(test)]
mod tests {
    use super::super::keys::{Action, Scope};
    use super::super::theme::Role;
    use super::*;
    use crossterm::event::KeyCode;

    #[test]
    fn a_file_changes_what_it_names_and_mistakes_in_it_are_told() {
        let text = "theme = \"light\"\nmouse = false\nwheel = 3\n[keys]\nup = \"i\"\nfly = [\"z\"]\nopen = 3\n\
                    [colors]\nmedian = \"#ff0000\"\nsky = \"blue\"\nbad = \"?\"\n";
        let config = parse(text);
        assert_eq!((config.theme.kind, config.mouse), (Kind::Light, false));
        assert_eq!(config.keymap.action(Scope::List, KeyCode::Char('i').into()), Some(Action::Up));
        assert_eq!(config.theme.color(Role::Median), Some(Color::Rgb(255, 0, 0)));
        let all = config.complaints.join("\n");
        for word in ["wheel", "fly", "open", "sky", "bad"] {
            assert!(all.contains(&format!("`{word}`")), "{word} in {all}");
        }
        assert_eq!(config.complaints.len(), 5);
    }

    #[test]
    fn a_file_that_is_no_toml_leaves_the_defaults() {
        let config = parse("theme = ");
        assert_eq!(config.theme, Theme::default());
        assert_eq!(config.complaints.len(), 1);
    }
}
