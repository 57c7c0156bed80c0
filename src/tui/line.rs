//! One line of text being typed.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// Text with a cursor, which stands before the character of that number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Line {
    text: String,
    cursor: usize,
}

impl Line {
    pub fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { cursor: text.chars().count(), text }
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// What stands before the cursor, and after it.
    pub fn around(&self) -> (&str, &str) {
        self.text.split_at(self.byte(self.cursor))
    }

    fn byte(&self, at: usize) -> usize {
        self.text.char_indices().nth(at).map_or(self.text.len(), |(byte, _)| byte)
    }

    /// Takes a key that edits; `false` for any other.
    pub fn key(&mut self, key: KeyEvent) -> bool {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        let count = self.text.chars().count();
        match key.code {
            KeyCode::Char('a') if control => self.cursor = 0,
            KeyCode::Char('e') if control => self.cursor = count,
            KeyCode::Char('u') if control => {
                self.text.drain(..self.byte(self.cursor));
                self.cursor = 0;
            }
            KeyCode::Char('k') if control => {
                let at = self.byte(self.cursor);
                self.text.truncate(at);
            }
            KeyCode::Char('w') if control => {
                let before = self.around().0;
                let kept = before.trim_end().rfind(char::is_whitespace).map_or(0, |at| at + 1);
                let end = before.len();
                self.cursor = before[..kept].chars().count();
                self.text.drain(kept..end);
            }
            KeyCode::Char(c) if !control && !key.modifiers.contains(KeyModifiers::ALT) => {
                let at = self.byte(self.cursor);
                self.text.insert(at, c);
                self.cursor += 1;
            }
            KeyCode::Backspace if self.cursor > 0 => {
                self.cursor -= 1;
                let at = self.byte(self.cursor);
                self.text.remove(at);
            }
            KeyCode::Delete if self.cursor < count => {
                let at = self.byte(self.cursor);
                self.text.remove(at);
            }
            KeyCode::Left => self.cursor = self.cursor.saturating_sub(1),
            KeyCode::Right => self.cursor = (self.cursor + 1).min(count),
            KeyCode::Home => self.cursor = 0,
            KeyCode::End => self.cursor = count,
            _ => return false,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(line: &mut Line, keys: &[KeyEvent]) {
        keys.iter().for_each(|key| assert!(line.key(*key), "{key:?}"));
    }

    fn control(c: char) -> KeyEvent {
        KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL)
    }

    #[test]
    fn a_line_is_edited_by_characters_not_bytes() {
        let mut line = Line::new("星系 z");
        typed(&mut line, &[KeyCode::Home.into(), KeyCode::Right.into(), KeyCode::Char('é').into()]);
        assert_eq!((line.text(), line.around().0), ("星é系 z", "星é"));
        typed(&mut line, &[KeyCode::Backspace.into(), KeyCode::Delete.into(), KeyCode::End.into()]);
        assert_eq!(line.text(), "星 z");
        typed(&mut line, &[control('w')]);
        assert_eq!(line.text(), "星 ");
        typed(&mut line, &[control('u')]);
        assert_eq!((line.text(), line.around().0), ("", ""));
        assert!(!line.key(KeyCode::Enter.into()) && !line.key(KeyCode::Backspace.into()));
    }
}
