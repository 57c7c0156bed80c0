//! Galaxies a page at a time, for scrolling through any number of them: a page goes by an index from where the
//! one before ended, so that it costs the same anywhere, and no page reads draws.

use rusqlite::types::{Value as SqlValue, ValueRef};
use rusqlite::{InterruptHandle, Row, params_from_iter};

use super::Store;
use super::answers::ColumnValue;
use super::error::StoreError;
use super::ids::{GalaxyId, PosteriorSetId};
use super::posteriors::SUMMARY_PARAMETERS;
use super::select::{BoundSql, Selection, quoted};

/// What galaxies are sorted by; those without a value come last either way.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Order {
    /// In the order they were taken in.
    #[default]
    Number,
    /// Of [`Store::galaxy_columns`].
    Column { name: String, descending: bool },
}

/// Where a row stands in its order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// The value sorted by; none past those that have one, and in the order of numbers.
    pub value: Option<f64>,
    /// Decides between rows of one value.
    pub tie: i64,
}

/// One galaxy of a page.
#[derive(Debug, Clone, PartialEq)]
pub struct BrowseRow {
    pub galaxy: GalaxyId,
    pub place: Place,
    pub cells: Vec<ColumnValue>,
}

/// What else the catalog knows of a galaxy.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GalaxyStory {
    /// Names and values, in the order to be read.
    pub provenance: Vec<(String, String)>,
    /// Names and descriptions of the cuts it fails.
    pub cuts: Vec<(String, String)>,
    pub sets: Vec<(PosteriorSetId, String)>,
}

/// Which way from a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Towards {
    End,
    Start,
}

/// Stops a statement that another thread is running.
pub struct Interrupter(InterruptHandle);

impl Interrupter {
    pub fn interrupt(&self) {
        self.0.interrupt();
    }
}

/// The part of an order that goes by one index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Segment<'a> {
    /// Every galaxy, by its number.
    Number,
    /// Galaxies with a redshift, by it.
    Redshift,
    NoRedshift,
    /// Galaxies with a summary of the set, by this column of it.
    Summary(&'a str),
    NoSummary(&'a str),
}

impl Segment<'_> {
    fn has_value(self) -> bool {
        matches!(self, Segment::Redshift | Segment::Summary(_))
    }
}

/// The segments of an order, first to last; none where no index has it.
fn segments(order: &Order) -> Option<Vec<Segment<'_>>> {
    match order {
        Order::Number => Some(vec![Segment::Number]),
        Order::Column { name, .. } if name == "redshift" => {
            Some(vec![Segment::Redshift, Segment::NoRedshift])
        }
        Order::Column { name, .. } => {
            let parameter = name.strip_suffix("_q50")?;
            SUMMARY_PARAMETERS
                .contains(&parameter)
                .then(|| vec![Segment::Summary(name), Segment::NoSummary(name)])
        }
    }
}

impl Order {
    /// Whether pages of it go by an index; otherwise sort once ([`Store::sorted_galaxies`]) and page by number.
    pub fn is_indexed(&self) -> bool {
        segments(self).is_some()
    }

    fn descending(&self) -> bool {
        matches!(self, Order::Column { descending: true, .. })
    }
}

impl Store {
    /// Up to `limit` rows of a selection next to `from` in an indexed order, or from its beginning or end, in
    /// the order's direction. `skip` leaves out as many rows first.
    ///
    /// The limit of the selection does not count. Errors for an order that no index has.
    pub fn browse(
        &self,
        selection: &Selection<'_>,
        columns: &[String],
        order: &Order,
        (from, towards): (Option<Place>, Towards),
        (skip, limit): (u64, usize),
    ) -> Result<Vec<BrowseRow>, StoreError> {
        let Some(mut segments) = segments(order) else {
            let Order::Column { name, .. } = order else { return Ok(vec![]) };
            return Err(StoreError::NoSuch { kind: "index of column", name: name.clone(), known: vec![] });
        };
        let backward = towards == Towards::Start;
        if backward {
            segments.reverse();
        }
        // the segment that a place is in, and those beyond it
        if let Some(place) = from
            && let Some(first) = segments.iter().position(|s| s.has_value() == place.value.is_some())
        {
            segments.drain(..first);
        }
        let mut rows: Vec<BrowseRow> = Vec::new();
        let mut skip = skip;
        for segment in segments {
            let here = from.filter(|place| place.value.is_some() == segment.has_value());
            let left = limit - rows.len();
            let bound = self.page_sql(selection, columns, order, segment, (here, backward), (skip, left))?;
            let mut statement = self.conn.prepare_cached(&bound.sql)?;
            let mut found = statement.query(params_from_iter(bound.values))?;
            while let Some(row) = found.next()? {
                rows.push(read_row(row, columns.len())?);
            }
            if rows.len() >= limit {
                break;
            }
            // what was skipped here is not skipped again in the next segment
            if rows.is_empty() && skip > 0 {
                let all =
                    self.page_sql(selection, columns, order, segment, (here, backward), (0, usize::MAX))?;
                let sql = format!("SELECT count(*) FROM ({})", all.sql);
                let n: i64 = self.conn.query_row(&sql, params_from_iter(all.values), |row| row.get(0))?;
                skip = skip.saturating_sub(n.max(0) as u64);
            } else {
                skip = 0;
            }
        }
        if backward {
            rows.reverse();
        }
        Ok(rows)
    }

    fn page_sql(
        &self,
        selection: &Selection<'_>,
        columns: &[String],
        order: &Order,
        segment: Segment<'_>,
        (from, backward): (Option<Place>, bool),
        (skip, limit): (u64, usize),
    ) -> Result<BoundSql, StoreError> {
        let set = self.set_of(selection)?;
        let (value, tie, tables) = match segment {
            Segment::Number => ("NULL".to_owned(), "g.galaxy_id", FROM_GALAXY),
            Segment::Redshift => ("g.redshift".to_owned(), "g.galaxy_id", FROM_GALAXY),
            Segment::NoRedshift => ("NULL".to_owned(), "g.galaxy_id", FROM_GALAXY),
            Segment::Summary(name) => (format!("q.{name}"), "q.galaxy_id", FROM_SUMMARY),
            Segment::NoSummary(_) => ("NULL".to_owned(), "g.galaxy_id", FROM_GALAXY),
        };
        let only = match segment {
            Segment::NoRedshift => "g.redshift IS NULL".to_owned(),
            Segment::Summary(_) => "q.posterior_set_id = ?1".to_owned(),
            Segment::NoSummary(name) => format!("q.{name} IS NULL"),
            _ => "1".to_owned(),
        };
        let mut bound =
            self.galaxies_sql(set, tables, &[("browse.value", &value), ("browse.tie", tie)], &only)?;
        let outputs: String = columns.iter().map(|name| format!(", {}", quoted(name))).collect();
        bound.sql +=
            &format!(" SELECT galaxy_id, \"browse.value\", \"browse.tie\"{outputs} FROM galaxies WHERE 1");
        // values of the order go down where it descends; what has none, and ties there, never turns round
        let down = backward != (order.descending() && segment.has_value());
        let (compare, direction) = if down { ("<", "DESC") } else { (">", "ASC") };
        if segment.has_value() {
            bound.sql += " AND \"browse.value\" IS NOT NULL";
        }
        match from {
            Some(Place { value: Some(value), tie }) => {
                bound.sql += &format!(" AND (\"browse.value\", \"browse.tie\") {compare} (?, ?)");
                bound.values.extend([SqlValue::Real(value), SqlValue::Integer(tie)]);
            }
            Some(Place { value: None, tie }) => {
                bound.sql += &format!(" AND \"browse.tie\" {compare} ?");
                bound.values.push(SqlValue::Integer(tie));
            }
            None => {}
        }
        self.add_conditions(selection, &mut bound)?;
        bound.sql += &match segment.has_value() {
            true => format!(" ORDER BY \"browse.value\" {direction}, \"browse.tie\" {direction}"),
            false => format!(" ORDER BY \"browse.tie\" {direction}"),
        };
        bound.sql += " LIMIT ? OFFSET ?";
        bound.values.push(SqlValue::Integer(i64::try_from(limit).unwrap_or(i64::MAX)));
        bound.values.push(SqlValue::Integer(i64::try_from(skip).unwrap_or(i64::MAX)));
        Ok(bound)
    }

    /// Numbers of the selected galaxies in any order: sorts them all, so that it takes a while on a large catalog.
    pub fn sorted_galaxies(
        &self,
        selection: &Selection<'_>,
        order: &Order,
    ) -> Result<Vec<GalaxyId>, StoreError> {
        let mut bound = self.galaxies_sql(self.set_of(selection)?, FROM_GALAXY, &[], "1")?;
        bound.sql += " SELECT galaxy_id FROM galaxies WHERE 1";
        self.add_conditions(selection, &mut bound)?;
        if let Order::Column { name, descending } = order {
            self.require_galaxy_column(name)?;
            let direction = if *descending { "DESC" } else { "ASC" };
            bound.sql += &format!(" ORDER BY {} {direction} NULLS LAST, galaxy_id", quoted(name));
        } else {
            bound.sql += " ORDER BY galaxy_id";
        }
        let mut statement = self.conn.prepare(&bound.sql)?;
        let ids = statement.query_map(params_from_iter(bound.values), |row| row.get(0))?;
        Ok(ids.collect::<rusqlite::Result<_>>()?)
    }

    /// These galaxies, in this order; those that are not there are left out.
    pub fn browse_these(
        &self,
        set: Option<PosteriorSetId>,
        columns: &[String],
        ids: &[GalaxyId],
    ) -> Result<Vec<BrowseRow>, StoreError> {
        let selection = Selection { ids: Some(ids), set, ..Selection::default() };
        let mut found =
            self.browse(&selection, columns, &Order::Number, (None, Towards::End), (0, ids.len()))?;
        found.sort_by_key(|row| row.galaxy);
        let at = |id: &GalaxyId| found.binary_search_by_key(id, |row| row.galaxy).ok();
        Ok(ids.iter().filter_map(|id| at(id).map(|i| found[i].clone())).collect())
    }

    /// Hands the number and identifier of every galaxy to `take` until that says `false`.
    pub fn each_name(&self, take: &mut dyn FnMut(GalaxyId, &str) -> bool) -> Result<(), StoreError> {
        let mut statement = self.conn.prepare_cached("SELECT galaxy_id, object_id FROM galaxy")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            if !take(row.get(0)?, row.get_ref(1)?.as_str().unwrap_or_default()) {
                break;
            }
        }
        Ok(())
    }

    /// The largest number of a galaxy: as many as there are, unless some were removed.
    pub fn last_galaxy(&self) -> Result<u64, StoreError> {
        let last: Option<i64> =
            self.conn.query_row("SELECT max(galaxy_id) FROM galaxy", [], |row| row.get(0))?;
        Ok(last.unwrap_or(0).max(0) as u64)
    }

    /// Changes whenever another connection has changed the file.
    pub fn data_version(&self) -> Result<i64, StoreError> {
        Ok(self.conn.query_row("PRAGMA data_version", [], |row| row.get(0))?)
    }

    /// Keeps fewer pages of the file in memory than a reader does otherwise.
    pub fn limit_cache(&self, kib: i64) -> Result<(), StoreError> {
        Ok(self.conn.pragma_update(None, "cache_size", -kib.max(64))?)
    }

    pub fn interrupter(&self) -> Interrupter {
        Interrupter(self.conn.get_interrupt_handle())
    }

    /// Where a galaxy came from, the cuts it fails, and the sets that speak of it.
    pub fn galaxy_story(&self, galaxy: GalaxyId) -> Result<GalaxyStory, StoreError> {
        let mut story = GalaxyStory::default();
        let facts = "SELECT i.file_name, g.source_row, i.layout, i.extinction, lower(hex(substr(i.file_hash, 1, 6))), \
                     r.run_id, r.started_utc, r.program_version, g.extra FROM galaxy g JOIN ingest i USING (ingest_id) \
                     JOIN run r ON r.run_id = i.run_id WHERE g.galaxy_id = ?1";
        let mut statement = self.conn.prepare_cached(facts)?;
        let mut rows = statement.query([galaxy])?;
        if let Some(row) = rows.next()? {
            const NAMES: [&str; 8] = [
                "input file",
                "row of it",
                "layout",
                "Galactic extinction",
                "hash of the file",
                "ingest run",
                "begun",
                "program version",
            ];
            for (i, name) in NAMES.into_iter().enumerate() {
                let value = match row.get_ref(i)? {
                    ValueRef::Integer(value) => value.to_string(),
                    ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
                    _ => continue,
                };
                story.provenance.push((name.to_owned(), value));
            }
            if let Some(extra) = row.get::<_, Option<String>>(8)?
                && let Ok(serde_json::Value::Object(extra)) = serde_json::from_str(&extra)
            {
                let plain = |value: &serde_json::Value| {
                    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
                };
                story.provenance.extend(extra.iter().map(|(name, value)| (name.clone(), plain(value))));
            }
        }
        let cuts = "SELECT c.name, c.description FROM galaxy g JOIN cut_rule c USING (survey_id) \
                    WHERE g.galaxy_id = ?1 AND (g.cuts_failed >> c.bit) & 1 ORDER BY c.bit";
        let mut statement = self.conn.prepare_cached(cuts)?;
        let cuts = statement.query_map([galaxy], |row| Ok((row.get(0)?, row.get(1)?)))?;
        story.cuts = cuts.collect::<rusqlite::Result<_>>()?;
        let sets = "SELECT p.posterior_set_id, t.name FROM posterior p JOIN posterior_set t USING (posterior_set_id) \
                    WHERE p.galaxy_id = ?1 ORDER BY 1";
        let mut statement = self.conn.prepare_cached(sets)?;
        let sets = statement.query_map([galaxy], |row| Ok((row.get(0)?, row.get(1)?)))?;
        story.sets = sets.collect::<rusqlite::Result<_>>()?;
        Ok(story)
    }

    fn require_galaxy_column(&self, name: &str) -> Result<(), StoreError> {
        let known: Vec<String> = self.galaxy_columns()?.into_iter().map(|(name, _)| name).collect();
        if known.iter().any(|known| known == name) {
            return Ok(());
        }
        Err(StoreError::NoSuch { kind: "column", name: name.to_owned(), known })
    }
}

/// `galaxy g`, `survey s`, `posterior_summary q`, `posterior p` of a set, by galaxies.
pub(super) const FROM_GALAXY: &str = "galaxy g JOIN survey s ON s.survey_id = +g.survey_id \
     LEFT JOIN posterior_summary q ON q.galaxy_id = g.galaxy_id AND q.posterior_set_id = ?1 \
     LEFT JOIN posterior p ON p.galaxy_id = g.galaxy_id AND p.posterior_set_id = ?1";

/// The same by summaries: galaxies without one are not in it.
const FROM_SUMMARY: &str = "posterior_summary q CROSS JOIN galaxy g ON g.galaxy_id = q.galaxy_id \
     CROSS JOIN survey s ON s.survey_id = +g.survey_id LEFT JOIN posterior p ON p.posterior_id = q.posterior_id";

fn read_row(row: &Row<'_>, n_columns: usize) -> rusqlite::Result<BrowseRow> {
    let cells = (3..3 + n_columns)
        .map(|i| {
            Ok(match row.get_ref(i)? {
                ValueRef::Integer(value) => ColumnValue::Integer(value),
                ValueRef::Real(value) => ColumnValue::Number(value),
                ValueRef::Text(text) => ColumnValue::Text(String::from_utf8_lossy(text).into_owned()),
                ValueRef::Null | ValueRef::Blob(_) => ColumnValue::Null,
            })
        })
        .collect::<rusqlite::Result<_>>()?;
    Ok(BrowseRow { galaxy: row.get(0)?, place: Place { value: row.get(1)?, tie: row.get(2)? }, cells })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{galaxy, ingesting, temp};
    use super::*;

    /// Twelve galaxies; the redshift falls with the number, and every fourth has none.
    fn catalog() -> (impl Sized, Store) {
        let temp = temp();
        let mut store = Store::create(&temp.path).unwrap();
        let (_, state) = ingesting(&mut store);
        let galaxies: Vec<_> = (0..12)
            .map(|i| {
                let mut one = galaxy(i, &format!("g{i}"));
                one.redshift = (i % 4 != 3).then_some(0.2 - 0.01 * (i / 2) as f64);
                one
            })
            .collect();
        store.commit_ingest_batch(state.id, 12, &galaxies, &[], &[]).unwrap();
        let reader = store.reader().unwrap();
        ((temp, store), reader)
    }

    /// All pages of an order, in steps of `limit`, towards the end or from it.
    fn walk(store: &Store, order: &Order, towards: Towards, limit: usize) -> Vec<i64> {
        let columns = ["object_id".to_owned()];
        let selection = Selection::default();
        let (mut all, mut from) = (Vec::<i64>::new(), None);
        loop {
            let page = store.browse(&selection, &columns, order, (from, towards), (0, limit)).unwrap();
            let ids = page.iter().map(|row| row.galaxy.0);
            match towards {
                Towards::End => all.extend(ids),
                Towards::Start => all.splice(0..0, ids).for_each(drop),
            }
            from = match towards {
                Towards::End => page.last().map(|row| row.place),
                Towards::Start => page.first().map(|row| row.place),
            };
            if page.len() < limit {
                return all;
            }
        }
    }

    #[test]
    fn pages_of_any_size_in_either_direction_are_the_sorted_list() {
        let (_keep, store) = catalog();
        let by = |descending| Order::Column { name: "redshift".into(), descending };
        for order in [Order::Number, by(false), by(true)] {
            let whole = walk(&store, &order, Towards::End, 100);
            assert_eq!(whole.len(), 12);
            for limit in [1, 2, 3, 5] {
                for towards in [Towards::End, Towards::Start] {
                    assert_eq!(
                        walk(&store, &order, towards, limit),
                        whole,
                        "{order:?} {towards:?} by {limit}"
                    );
                }
            }
            let sorted = store.sorted_galaxies(&Selection::default(), &order).unwrap();
            // rows of one value may stand in another order; those without any come last in both
            assert_eq!(&sorted[9..].iter().map(|id| id.0).collect::<Vec<_>>(), &whole[9..]);
        }
        assert_eq!(walk(&store, &by(false), Towards::End, 100)[9..], [4, 8, 12]);
    }

    #[test]
    fn rows_are_skipped_across_those_with_and_without_a_value() {
        let (_keep, store) = catalog();
        let order = Order::Column { name: "redshift".into(), descending: false };
        let whole = walk(&store, &order, Towards::End, 100);
        for skip in 0..13 {
            let selection = Selection::default();
            let page = store.browse(&selection, &[], &order, (None, Towards::End), (skip, 2)).unwrap();
            let ids: Vec<i64> = page.iter().map(|row| row.galaxy.0).collect();
            assert_eq!(ids, whole[skip as usize..].iter().copied().take(2).collect::<Vec<_>>(), "{skip}");
        }
    }

    #[test]
    fn conditions_hold_for_pages_and_a_column_without_an_index_is_refused() {
        let (_keep, store) = catalog();
        let columns = ["object_id".to_owned(), "redshift".to_owned()];
        let selection = Selection { condition: Some("redshift > 0.175"), ..Selection::default() };
        let page = store.browse(&selection, &columns, &Order::Number, (None, Towards::End), (0, 9)).unwrap();
        assert_eq!(page.iter().map(|row| row.galaxy.0).collect::<Vec<_>>(), [1, 2, 3, 5, 6]);
        assert_eq!(page[0].cells, [ColumnValue::Text("g0".into()), ColumnValue::Number(0.2)]);
        let order = Order::Column { name: "object_id".into(), descending: false };
        assert!(!order.is_indexed());
        let refused = store.browse(&selection, &columns, &order, (None, Towards::End), (0, 9));
        assert!(matches!(refused, Err(StoreError::NoSuch { .. })));
        assert_eq!(store.sorted_galaxies(&selection, &order).unwrap()[0], GalaxyId(1));
        let these = store.browse_these(None, &columns, &[GalaxyId(7), GalaxyId(2), GalaxyId(99)]).unwrap();
        assert_eq!(these.iter().map(|row| row.galaxy.0).collect::<Vec<_>>(), [7, 2]);
    }

    #[test]
    fn a_page_by_a_median_goes_by_its_index() {
        let (_keep, store) = catalog();
        let name = "log_mstar_q50";
        let order = Order::Column { name: name.into(), descending: true };
        let selection = Selection { set: Some(PosteriorSetId(1)), ..Selection::default() };
        let from = Some(Place { value: Some(10.0), tie: 3 });
        let bound =
            store.page_sql(&selection, &[], &order, Segment::Summary(name), (from, false), (0, 50)).unwrap();
        let mut statement = store.conn.prepare(&format!("EXPLAIN QUERY PLAN {}", bound.sql)).unwrap();
        let plan: Vec<String> = statement
            .query_map(params_from_iter(bound.values), |row| row.get(3))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        let plan = plan.join("\n");
        assert!(plan.contains("INDEX posterior_summary_log_mstar"), "{plan}");
        assert!(!plan.contains("TEMP B-TREE") && !plan.contains("SCAN"), "{plan}");
    }

    #[test]
    fn a_condition_on_medians_and_galaxies_reads_no_summary() {
        let (_keep, store) = catalog();
        let condition = Some("log_mstar_q50 > 11.3 AND redshift < 0.02");
        let selection = Selection { set: Some(PosteriorSetId(1)), condition, ..Selection::default() };
        let plan = store.plan(&selection, &[], &[]).unwrap().join("\n");
        assert!(plan.contains("COVERING INDEX posterior_summary_log_mstar"), "{plan}");
    }
}
