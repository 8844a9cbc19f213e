//! Reading many parameters in the order of their names, a batch at a time. Filters are applied
//! after reading: some look at what no index has.

use super::filters::Filter;
use super::rows::Row;
use crate::app::App;
use crate::error::ApiResult;
use crate::store::select::{Bound, Select};
use crate::tools::paging;
use crate::tools::tags::{self, PARAMETER, Tag};
use std::collections::HashMap;

/// Parameters read at a time; each may have 8 KB.
const BATCH: i64 = 256;

/// Where a page starts: after this name and version.
pub struct Start {
    name: String,
    version: i64,
}

impl Start {
    /// Out of a page token.
    ///
    /// # Errors
    /// `InvalidNextToken`.
    pub fn parse(operation: &str, token: Option<&str>) -> ApiResult<Start> {
        match paging::start::<2>(operation, token)? {
            None => Ok(Start { name: String::new(), version: 0 }),
            Some([name, version]) => {
                let version = version.parse().map_err(|_| paging::invalid(operation))?;
                Ok(Start { name, version })
            }
        }
    }
}

/// A row's part of a page token.
pub fn key(row: &Row) -> Vec<String> {
    vec![row.name.clone(), row.version.to_string()]
}

/// Up to `limit` rows and one more, from the queries that `select` makes.
///
/// # Errors
/// `InternalServerError` when the store fails.
pub async fn rows(
    app: &App,
    select: impl Fn() -> Select,
    filters: &[Filter],
    start: Start,
    limit: i64,
) -> ApiResult<Vec<Row>> {
    let wanted = usize::try_from(limit).unwrap_or_default() + 1;
    let mut found: Vec<Row> = Vec::new();
    let mut after = start;
    while found.len() < wanted {
        let batch: Vec<Row> = select()
            // One comparison of both, which the index can answer.
            .and(
                "(v.name, v.version) > (?, ?)",
                [Bound::from(&after.name), Bound::from(after.version)],
            )
            .rows("ORDER BY v.name, v.version", Some(BATCH), &app.store.read)
            .await?;
        let Some(last) = batch.last() else { break };
        after = Start { name: last.name.clone(), version: last.version };
        let tags = tags_for(app, filters, &batch).await?;
        let passes = |row: &Row| {
            let tags = tags.get(&row.name).map(Vec::as_slice).unwrap_or_default();
            filters.iter().all(|filter| filter.matches(row, tags))
        };
        found.extend(batch.into_iter().filter(passes));
    }
    found.truncate(wanted);
    Ok(found)
}

async fn tags_for(
    app: &App,
    filters: &[Filter],
    batch: &[Row],
) -> ApiResult<HashMap<String, Vec<Tag>>> {
    if !filters.iter().any(Filter::needs_tags) {
        return Ok(HashMap::new());
    }
    tags::of_all(&app.store.read, PARAMETER, batch.iter().map(|row| &row.name)).await
}
