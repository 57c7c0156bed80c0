-- A validation of many mocks takes minutes. What is done of it is kept here, part by part, so that a killed
-- one goes on where it was; when it is complete its evidence moves to `validation` and the parts go.

CREATE TABLE validation_part (
    validation_part_id INTEGER PRIMARY KEY,
    validation_hash    BLOB NOT NULL CHECK (length(validation_hash) = 32),
    section            TEXT NOT NULL CHECK (length(section) > 0),
    part               INTEGER NOT NULL CHECK (part >= 0),
    checkpoint_id      INTEGER NOT NULL REFERENCES checkpoint,
    data_hash          BLOB NOT NULL CHECK (length(data_hash) = 32),
    data               BLOB NOT NULL,
    UNIQUE (validation_hash, section, part)
) STRICT;
CREATE INDEX validation_part_checkpoint ON validation_part (checkpoint_id);

INSERT INTO dictionary (table_name, column_name, type, unit, ucd, description, null_meaning) VALUES
    ('validation_part', 'validation_part_id', 'INTEGER', NULL, 'meta.id;meta.main', 'Number of the part', NULL),
    ('validation_part', 'validation_hash', 'BLOB', NULL, 'meta.checksum', 'Hash that the validation at work will have', NULL),
    ('validation_part', 'section', 'TEXT', NULL, 'meta.id', 'What it is a part of: mocks, galaxies, mcmc, ...', NULL),
    ('validation_part', 'part', 'INTEGER', NULL, 'meta.number', 'Number within the section, from 0', NULL),
    ('validation_part', 'checkpoint_id', 'INTEGER', NULL, 'meta.id', 'The checkpoint examined', NULL),
    ('validation_part', 'data_hash', 'BLOB', NULL, 'meta.checksum', 'BLAKE3 of `data`', NULL),
    ('validation_part', 'data', 'BLOB', NULL, NULL, 'Evidence of the part as named-array blob (SDA1)', NULL);
