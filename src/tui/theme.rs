//! Colours by what they are for. Series and bands are told apart by everyone (Okabe & Ito 2008); without colour
//! the same is said by weight and reversal.

use ratatui::style::{Color, Modifier, Style};

/// What something on the screen is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Text,
    /// What may be overlooked: units, rules, hints.
    Dim,
    /// Headings and the names of things.
    Title,
    /// What can be pressed.
    Key,
    /// The row or field under the cursor.
    Chosen,
    /// Marked rows.
    Mark,
    Good,
    Warning,
    Bad,
    /// Observed data.
    Observed,
    /// The posterior: its median, 68 and 95 %.
    Median,
    Inner,
    Outer,
    Prior,
    /// Changed by the user, not the catalog's.
    WhatIf,
    /// Posteriors laid over each other, training curves.
    Series(u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    #[default]
    Dark,
    Light,
    /// As the terminal is: no colour at all.
    Plain,
}

impl Kind {
    pub const ALL: [Kind; 3] = [Kind::Dark, Kind::Light, Kind::Plain];

    pub const fn name(self) -> &'static str {
        match self {
            Kind::Dark => "dark",
            Kind::Light => "light",
            Kind::Plain => "plain",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A kind of theme with what the user has changed of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Theme {
    pub kind: Kind,
    pub changed: Vec<(Role, Color)>,
}

impl Theme {
    pub fn new(kind: Kind) -> Self {
        Self { kind, changed: vec![] }
    }

    pub fn style(&self, role: Role) -> Style {
        let style = match self.kind {
            Kind::Dark => dark(role),
            Kind::Light => light(role),
            Kind::Plain => return plain(role),
        };
        match self.changed.iter().rev().find(|(changed, _)| *changed == role) {
            Some((Role::Chosen, color)) => style.bg(*color),
            Some((_, color)) => style.fg(*color),
            None => style,
        }
    }

    /// The colour of areas of a role; none without colours.
    pub fn color(&self, role: Role) -> Option<Color> {
        self.style(role).fg.filter(|_| self.kind != Kind::Plain)
    }
}

/// The roles that a theme file may set, by name.
pub const NAMES: [(&str, Role); 17] = [
    ("text", Role::Text),
    ("dim", Role::Dim),
    ("title", Role::Title),
    ("key", Role::Key),
    ("chosen", Role::Chosen),
    ("mark", Role::Mark),
    ("good", Role::Good),
    ("warning", Role::Warning),
    ("bad", Role::Bad),
    ("observed", Role::Observed),
    ("median", Role::Median),
    ("inner", Role::Inner),
    ("outer", Role::Outer),
    ("prior", Role::Prior),
    ("whatif", Role::WhatIf),
    ("series1", Role::Series(0)),
    ("series2", Role::Series(1)),
];

const fn rgb(color: u32) -> Color {
    Color::Rgb((color >> 16) as u8, (color >> 8) as u8, color as u8)
}

fn dark(role: Role) -> Style {
    let fg = |color: u32| Style::new().fg(rgb(color));
    match role {
        Role::Text => Style::new(),
        Role::Dim => fg(0x848a96),
        Role::Title => fg(0x8fc7ff).add_modifier(Modifier::BOLD),
        Role::Key => fg(0xf0c674),
        Role::Chosen => Style::new().bg(rgb(0x2b3a55)).add_modifier(Modifier::BOLD),
        Role::Mark => fg(0xe69f00).add_modifier(Modifier::BOLD),
        Role::Good => fg(0x2fc096),
        Role::Warning => fg(0xe69f00),
        Role::Bad => fg(0xff7a45).add_modifier(Modifier::BOLD),
        Role::Observed => fg(0xff7a45).add_modifier(Modifier::BOLD),
        Role::Median => fg(0xb4e2ff),
        Role::Inner => fg(0x4aa8e8),
        Role::Outer => fg(0x2a5f8c),
        Role::Prior => fg(0x9a9a9a),
        Role::WhatIf => Style::new().fg(rgb(0x161616)).bg(rgb(0xe69f00)).add_modifier(Modifier::BOLD),
        Role::Series(k) => {
            fg([0x56b4e9, 0xff7a45, 0x2fc096, 0xe094bd, 0xe69f00, 0xf0e442, 0xcccccc][usize::from(k) % 7])
        }
    }
}

fn light(role: Role) -> Style {
    let fg = |color: u32| Style::new().fg(rgb(color));
    match role {
        Role::Text => Style::new(),
        Role::Dim => fg(0x6a707a),
        Role::Title => fg(0x004c7d).add_modifier(Modifier::BOLD),
        Role::Key => fg(0x8a4b00),
        Role::Chosen => Style::new().bg(rgb(0xcfe3f7)).add_modifier(Modifier::BOLD),
        Role::Mark => fg(0x9a5b00).add_modifier(Modifier::BOLD),
        Role::Good => fg(0x007756),
        Role::Warning => fg(0x9a5b00),
        Role::Bad => fg(0xb03a00).add_modifier(Modifier::BOLD),
        Role::Observed => fg(0xc04800).add_modifier(Modifier::BOLD),
        Role::Median => fg(0x003f66),
        Role::Inner => fg(0x1f86c4),
        Role::Outer => fg(0x8cc4ea),
        Role::Prior => fg(0x707070),
        Role::WhatIf => Style::new().fg(rgb(0xffffff)).bg(rgb(0x9a5b00)).add_modifier(Modifier::BOLD),
        Role::Series(k) => {
            fg([0x0072b2, 0xd55e00, 0x007d5b, 0xa84f7e, 0x9a6a00, 0x2b86b8, 0x141414][usize::from(k) % 7])
        }
    }
}

fn plain(role: Role) -> Style {
    let with = |modifier| Style::new().add_modifier(modifier);
    match role {
        Role::Title | Role::Key | Role::Mark | Role::Bad | Role::Observed | Role::Median => {
            with(Modifier::BOLD)
        }
        Role::Dim | Role::Outer | Role::Prior => with(Modifier::DIM),
        Role::Chosen | Role::WhatIf => with(Modifier::REVERSED),
        Role::Warning => with(Modifier::UNDERLINED),
        Role::Text | Role::Good | Role::Inner | Role::Series(_) => Style::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_colour_no_role_has_one_and_the_chosen_row_still_stands_out() {
        let theme = Theme { kind: Kind::Plain, changed: vec![(Role::Text, Color::Red)] };
        for (_, role) in NAMES {
            let style = theme.style(role);
            assert_eq!((style.fg, style.bg), (None, None), "{role:?}");
        }
        assert_ne!(theme.style(Role::Chosen), theme.style(Role::Text));
    }

    #[test]
    fn a_changed_colour_is_used_and_the_others_stay() {
        let theme = Theme { kind: Kind::Light, changed: vec![(Role::Median, Color::Red)] };
        assert_eq!(theme.color(Role::Median), Some(Color::Red));
        assert_eq!(theme.style(Role::Inner), Theme::new(Kind::Light).style(Role::Inner));
    }
}
