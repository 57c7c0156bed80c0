-- A grid that came with an older program is known by its name and hash alone. Once a user brings that grid as a
-- file, its bytes may be filled in; nothing else of it changes, and bytes that are there never do.

DROP TRIGGER ssp_grid_is_immutable;
CREATE TRIGGER ssp_grid_is_immutable BEFORE UPDATE OF
    ssp_grid_id, hash, name, imf, isochrones, library, lsun_erg_s, run_id ON ssp_grid
BEGIN SELECT RAISE(ABORT, 'ssp_grid rows are immutable: a changed product is a new one'); END;
CREATE TRIGGER ssp_grid_bytes_are_immutable BEFORE UPDATE OF grid, grid_hash ON ssp_grid
WHEN OLD.grid IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'ssp_grid rows are immutable: a changed product is a new one'); END;

UPDATE dictionary SET null_meaning = 'it came with the program that registered it'
    WHERE table_name = 'ssp_grid' AND column_name = 'grid';
UPDATE dictionary SET description =
        'Commit it was built from, `-modified` where its sources differed; `unknown` outside a repository and in development builds'
    WHERE table_name = 'run' AND column_name = 'git_commit';
