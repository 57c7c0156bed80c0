-- What a released file says about itself, in words.

CREATE TABLE readme (
    position INTEGER PRIMARY KEY CHECK (position >= 0),
    title    TEXT NOT NULL CHECK (length(title) > 0),
    text     TEXT NOT NULL CHECK (length(text) > 0)
) STRICT;

INSERT INTO dictionary (table_name, column_name, type, unit, ucd, description, null_meaning) VALUES
    ('readme', 'position', 'INTEGER', NULL, 'meta.number', 'Place in the order of reading; a catalog that is no release has no rows here', NULL),
    ('readme', 'title', 'TEXT', NULL, 'meta.title', 'What the paragraph is about', NULL),
    ('readme', 'text', 'TEXT', NULL, 'meta.note', 'The paragraph', NULL);
