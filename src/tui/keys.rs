//! Every key there is, in one table: the help overlay, the line at the bottom, the settings file and the
//! documentation are made of it.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// What a key can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    // everywhere
    Quit,
    Back,
    Help,
    Palette,
    NextView,
    PreviousView,
    CopyCommand,
    Export,
    Reload,
    Theme,
    // moving
    Down,
    Up,
    Left,
    Right,
    HalfDown,
    HalfUp,
    PageDown,
    PageUp,
    Top,
    Bottom,
    Open,
    // the list
    Search,
    Filter,
    Cone,
    SortUp,
    SortDown,
    Freeze,
    Columns,
    HideColumn,
    Wider,
    Narrower,
    Mark,
    ClearMarks,
    OnlyMarked,
    CopyRow,
    Clear,
    NextSet,
    // one galaxy
    NextGalaxy,
    PreviousGalaxy,
    Overlay,
    Zoom,
    WhatIf,
    // what if
    Less,
    More,
    MuchLess,
    MuchMore,
    ResetField,
    ResetAll,
    // models, validation, runs
    Start,
    Stop,
    Resume,
    Compare,
    Log,
}

/// Where a key counts; one that is not found there is looked for in `Everywhere`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    Everywhere,
    List,
    Galaxy,
    WhatIf,
    Models,
    Validation,
    Runs,
}

impl Scope {
    pub const ALL: [Scope; 7] = [
        Scope::Everywhere,
        Scope::List,
        Scope::Galaxy,
        Scope::WhatIf,
        Scope::Models,
        Scope::Validation,
        Scope::Runs,
    ];

    pub const fn title(self) -> &'static str {
        match self {
            Scope::Everywhere => "Everywhere",
            Scope::List => "Galaxies",
            Scope::Galaxy => "One galaxy",
            Scope::WhatIf => "What if",
            Scope::Models => "Models",
            Scope::Validation => "Validation",
            Scope::Runs => "Runs",
        }
    }
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Binding {
    pub scope: Scope,
    pub action: Action,
    /// The action's name in the settings file and the palette.
    pub name: &'static str,
    /// As [`spelled`] writes them.
    pub keys: &'static [&'static str],
    pub help: &'static str,
    /// Two or three words for the bottom line; empty where it is not shown there.
    pub hint: &'static str,
}

macro_rules! keys {
    ($($scope:ident $action:ident $name:literal [$($key:literal)*] $help:literal $hint:literal;)*) => {
        pub const KEYS: &[Binding] = &[$(Binding {
            scope: Scope::$scope, action: Action::$action, name: $name, keys: &[$($key),*], help: $help, hint: $hint,
        }),*];
    };
}

keys! {
    Everywhere Help "help" ["?"] "These keys" "help";
    Everywhere Palette "palette" [":"] "Command palette: every action, view and setting by name" "commands";
    Everywhere NextView "next-view" ["Tab"] "Next view: galaxies, models, validation, runs" "views";
    Everywhere PreviousView "previous-view" ["BackTab"] "Previous view" "";
    Everywhere Back "back" ["q" "Esc"] "Back to where you came from; from a main view q leaves the program" "back";
    Everywhere Quit "quit" ["Ctrl-c" "Q"] "Leave the program from anywhere" "";
    Everywhere CopyCommand "copy-command" ["c"] "Copy the command line that says the same as this view (OSC 52)" "copy command";
    Everywhere Export "export" ["e" "Ctrl-s"] "Write this view to a file: .csv, .png, .svg or .txt" "";
    Everywhere Reload "reload" ["Ctrl-r"] "Read the file again" "";
    Everywhere Theme "theme" ["T"] "Dark, light or no colours" "";
    Everywhere Down "down" ["j" "Down"] "Down" "";
    Everywhere Up "up" ["k" "Up"] "Up" "";
    Everywhere Left "left" ["h" "Left"] "Left: column, page or panel" "";
    Everywhere Right "right" ["l" "Right"] "Right" "";
    Everywhere HalfDown "half-down" ["Ctrl-d"] "Half a page down" "";
    Everywhere HalfUp "half-up" ["Ctrl-u"] "Half a page up" "";
    Everywhere PageDown "page-down" ["Ctrl-f" "PageDown"] "A page down" "";
    Everywhere PageUp "page-up" ["Ctrl-b" "PageUp"] "A page up" "";
    Everywhere Top "top" ["g" "Home"] "To the beginning" "";
    Everywhere Bottom "bottom" ["G" "End"] "To the end; with a number before it, to that row" "";
    Everywhere Open "open" ["Enter"] "Open what the cursor is on" "open";

    List Search "search" ["/"] "Names like this, the nearest first (fuzzy)" "name";
    List Filter "filter" ["&"] "Only galaxies for which this holds: mag_r < 17, P(log_mstar > 11) > 0.9" "filter";
    List Cone "cone" ["@"] "Only galaxies in a circle on the sky: RA,DEC,RADIUS in degrees" "cone";
    List SortUp "sort-up" ["["] "Sort by the column under the cursor, smallest first" "sort";
    List SortDown "sort-down" ["]"] "The same, largest first" "";
    List Freeze "freeze" ["f"] "Keep the columns up to the cursor in sight, or let them go" "";
    List Columns "columns" ["+"] "Choose the columns shown" "columns";
    List HideColumn "hide-column" ["-"] "Hide the column under the cursor" "";
    List Wider "wider" [">"] "Make the column wider" "";
    List Narrower "narrower" ["<"] "Make the column narrower" "";
    List Mark "mark" ["m" "Space"] "Mark the galaxy, or take the mark off" "mark";
    List ClearMarks "clear-marks" ["M"] "Take all marks off" "";
    List OnlyMarked "only-marked" ["'"] "Only marked galaxies, or all again" "";
    List CopyRow "copy-row" ["y"] "Copy the row as CSV (OSC 52)" "";
    List Clear "clear" ["x"] "Drop search, filter, cone and sorting" "";
    List NextSet "next-set" ["s"] "The next posterior set" "set";

    Galaxy NextGalaxy "next-galaxy" ["n" "J"] "Next galaxy of the list" "next";
    Galaxy PreviousGalaxy "previous-galaxy" ["N" "K"] "Previous galaxy of the list" "";
    Galaxy WhatIf "what-if" ["w"] "What if a flux, an error or the redshift were another?" "what if";
    Galaxy NextSet "next-set" ["s"] "The next posterior set that has the galaxy" "set";
    Galaxy Overlay "overlay" ["o"] "Lay the other posterior sets over this one" "overlay";
    Galaxy Zoom "zoom" ["z"] "One pair of the corner plot, large; arrows choose it" "zoom";
    Galaxy Mark "mark" ["m" "Space"] "Mark the galaxy, or take the mark off" "";

    WhatIf Less "less" ["-" "h" "Left"] "Smaller: a flux or an error by 2 %, the redshift by 0.001" "change";
    WhatIf More "more" ["+" "=" "l" "Right"] "Larger" "";
    WhatIf MuchLess "much-less" ["H"] "Ten times as much smaller" "";
    WhatIf MuchMore "much-more" ["L"] "Ten times as much larger" "";
    WhatIf ResetField "reset-field" ["0"] "This number as the catalog has it" "reset";
    WhatIf ResetAll "reset-all" ["R"] "All numbers as the catalog has them" "reset all";
    WhatIf WhatIf "what-if" ["w"] "Back to the catalog's data" "";

    Models Start "start" ["t"] "Train: a form that shows the command it will run" "train";
    Models Stop "stop" ["S"] "Ask a training that was started here to stop; it can be resumed" "stop";
    Models Resume "resume" ["r"] "Go on with a training that had ended or was stopped" "resume";

    Validation Compare "compare" ["b"] "Keep the open validation in sight beside the ones chosen next, or end that" "beside";
    Validation Start "start" ["t"] "Validate: a form that shows the command it will run" "validate";

    Runs Start "start" ["t"] "Start ingest, infer, validate or release from a form" "start";
    Runs Stop "stop" ["S"] "Ask a run that was started here to stop" "stop";
    Runs Log "log" ["L"] "The log of a run that was started from here, growing while it runs" "log";
}

/// A key as people write it: `j`, `G`, `Ctrl-d`, `Enter`, `F5`.
pub fn spelled(key: KeyEvent) -> String {
    let (name, shifted) = match key.code {
        KeyCode::Char(' ') => ("Space".to_owned(), true),
        // a capital says Shift by itself
        KeyCode::Char(c) => (c.to_string(), false),
        KeyCode::F(n) => (format!("F{n}"), true),
        KeyCode::BackTab => return "BackTab".to_owned(),
        other => (format!("{other:?}"), true),
    };
    let mut text = String::new();
    for (modifier, word, counts) in [
        (KeyModifiers::CONTROL, "Ctrl-", true),
        (KeyModifiers::ALT, "Alt-", true),
        (KeyModifiers::SHIFT, "Shift-", shifted),
    ] {
        if counts && key.modifiers.contains(modifier) {
            text += word;
        }
    }
    text + &name
}

/// A key for eyes: arrows as arrows.
pub fn shown(key: &str) -> String {
    match key {
        "Down" => "↓".into(),
        "Up" => "↑".into(),
        "Left" => "←".into(),
        "Right" => "→".into(),
        "BackTab" => "Shift-Tab".into(),
        other => other.to_owned(),
    }
}

/// The keys in force: the table with the user's changes.
#[derive(Debug, Clone)]
pub struct Keymap {
    /// Keys of each row of [`KEYS`].
    keys: Vec<Vec<String>>,
}

impl Default for Keymap {
    fn default() -> Self {
        let owned = |binding: &Binding| binding.keys.iter().map(|key| (*key).to_owned()).collect();
        Self { keys: KEYS.iter().map(owned).collect() }
    }
}

impl Keymap {
    /// Gives every row of that name these keys. Errors with the known names.
    pub fn rebind(&mut self, name: &str, keys: &[String]) -> Result<(), String> {
        let mut found = false;
        for (row, binding) in KEYS.iter().enumerate().filter(|(_, binding)| binding.name == name) {
            debug_assert_eq!(binding.name, name);
            self.keys[row] = keys.to_vec();
            found = true;
        }
        if found { Ok(()) } else { Err(format!("there is no action `{name}`; `?` lists them")) }
    }

    /// What a key asks for in a view.
    pub fn action(&self, scope: Scope, key: KeyEvent) -> Option<Action> {
        let spelled = spelled(key);
        let in_scope = |scope: Scope| {
            let rows = KEYS.iter().zip(&self.keys);
            rows.filter(|(binding, _)| binding.scope == scope)
                .find(|(_, keys)| keys.contains(&spelled))
                .map(|(binding, _)| binding.action)
        };
        in_scope(scope).or_else(|| in_scope(Scope::Everywhere))
    }

    /// The rows of a scope with their keys.
    pub fn of(&self, scope: Scope) -> impl Iterator<Item = (&'static Binding, &[String])> {
        let rows = KEYS.iter().zip(&self.keys);
        rows.filter(move |(binding, _)| binding.scope == scope)
            .map(|(binding, keys)| (binding, keys.as_slice()))
    }
}

/// The table as Markdown, for the documentation.
pub fn markdown() -> String {
    let mut text = String::new();
    for scope in Scope::ALL {
        text += &format!("\n### {}\n\n| keys | name | what they do |\n|---|---|---|\n", scope.title());
        for binding in KEYS.iter().filter(|binding| binding.scope == scope) {
            let keys: Vec<String> = binding.keys.iter().map(|key| format!("`{}`", shown(key))).collect();
            text += &format!("| {} | `{}` | {} |\n", keys.join(" "), binding.name, binding.help);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_means_two_things_in_one_view() {
        for scope in Scope::ALL {
            let mut seen = std::collections::BTreeMap::new();
            for binding in KEYS.iter().filter(|binding| binding.scope == scope) {
                for key in binding.keys {
                    assert_eq!(seen.insert(key, binding.name), None, "{key} in {scope:?}");
                }
            }
        }
    }

    #[test]
    fn the_documentation_has_the_table_as_it_is() {
        let found = include_str!("../../docs/tui.md").contains(&markdown());
        assert!(found, "docs/tui.md: put `sedflow tui --keys` in place of its tables");
    }

    #[test]
    fn keys_are_written_as_people_write_them() {
        let with = |code, modifiers| spelled(KeyEvent::new(code, modifiers));
        assert_eq!(with(KeyCode::Char('d'), KeyModifiers::CONTROL), "Ctrl-d");
        assert_eq!(with(KeyCode::Char('G'), KeyModifiers::SHIFT), "G");
        assert_eq!(with(KeyCode::Char(' '), KeyModifiers::NONE), "Space");
        assert_eq!(with(KeyCode::Down, KeyModifiers::SHIFT), "Shift-Down");
        assert_eq!(with(KeyCode::BackTab, KeyModifiers::SHIFT), "BackTab");
        for binding in KEYS {
            assert!(!binding.keys.is_empty() && !binding.help.is_empty(), "{}", binding.name);
        }
    }

    #[test]
    fn a_view_has_its_own_keys_before_those_of_all() {
        let map = Keymap::default();
        let key = |c: char| KeyEvent::from(KeyCode::Char(c));
        assert_eq!(map.action(Scope::WhatIf, key('h')), Some(Action::Less));
        assert_eq!(map.action(Scope::Galaxy, key('h')), Some(Action::Left));
        assert_eq!(map.action(Scope::List, key('w')), None);
    }

    #[test]
    fn a_key_can_be_given_to_another_action() {
        let mut map = Keymap::default();
        map.rebind("down", &["e".to_owned()]).unwrap();
        assert_eq!(map.action(Scope::Runs, KeyCode::Down.into()), None);
        map.rebind("export", &[]).unwrap();
        assert_eq!(map.action(Scope::Runs, KeyCode::Char('e').into()), Some(Action::Down));
        assert!(map.rebind("fly", &[]).unwrap_err().contains("fly"));
    }
}
