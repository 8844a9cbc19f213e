//! Page tokens: where the next page starts, opaque to clients.
//!
//! A token holds the sort key of the last row shown, not a number of rows, so that rows which
//! come or go between two pages neither repeat nor hide others. It names its operation, so that
//! one operation's token means nothing to another.

use crate::error::{ApiError, ApiResult};
use crate::store::select::{Bound, Select};
use serde_json::Value;
use sqlx::any::AnyRow;
use sqlx::{AnyPool, FromRow};
use stint_wire::text;

/// Changes when the content of tokens does; a token of an older hub is refused, not misread.
const TOKEN_FORM: &str = "1";

/// What can't be in a sort key: ids and numbers.
const SEPARATOR: char = '\n';

/// The page size when the client names none; the model's greatest everywhere.
pub const DEFAULT_PAGE: i64 = 50;

/// The token after a row with this sort key.
pub fn token(operation: &str, key: &[String]) -> String {
    let parts = [&[TOKEN_FORM.to_owned(), operation.to_owned()], key].concat();
    text::base64(parts.join("\n").as_bytes())
}

/// The sort key in a token: exactly `N` parts. No token, or an empty one, is the first page.
///
/// # Errors
/// `InvalidNextToken` for anything that this hub did not make for this operation.
pub fn start<const N: usize>(
    operation: &str,
    token: Option<&str>,
) -> ApiResult<Option<[String; N]>> {
    let Some(token) = token.filter(|t| !t.is_empty()) else { return Ok(None) };
    read(operation, token).map(Some).ok_or_else(|| invalid(operation))
}

/// A token that can't be used.
pub fn invalid(operation: &str) -> ApiError {
    ApiError::new(
        "InvalidNextToken",
        format!(
            "The specified token isn't valid: pass the NextToken of the last {operation} answer \
             as it came, or none to start again."
        ),
    )
}

/// A list that shows its newest rows first: by a column of moments, and by the id among those of one moment.
pub struct NewestFirst {
    /// What follows a row: two moments and an id are put in.
    after: &'static str,
    order: &'static str,
}

/// By `requested_at` and `id`.
pub const BY_REQUEST: NewestFirst = NewestFirst {
    after: "requested_at < ? OR (requested_at = ? AND id < ?)",
    order: "ORDER BY requested_at DESC, id DESC",
};

/// By `created_at` and `id`.
pub const BY_CREATION: NewestFirst = NewestFirst {
    after: "created_at < ? OR (created_at = ? AND id < ?)",
    order: "ORDER BY created_at DESC, id DESC",
};

/// What a request says of the page that it wants.
pub struct Wanted<'w> {
    operation: &'static str,
    token: Option<&'w str>,
    size: i64,
}

impl<'w> Wanted<'w> {
    /// The page of `operation` that comes after the answer with `token`, of so many rows at most.
    pub fn of(operation: &'static str, token: Option<&'w str>, size: Option<i64>) -> Wanted<'w> {
        Wanted { operation, token, size: size.unwrap_or(DEFAULT_PAGE) }
    }
}

impl NewestFirst {
    /// A page of what `select` leaves, and the token of the next if there is one. `key` says a row's moment and id.
    ///
    /// # Errors
    /// `InvalidNextToken`, and those of the database.
    pub async fn page<T>(
        &self,
        wanted: &Wanted<'_>,
        mut select: Select,
        pool: &AnyPool,
        key: impl Fn(&T) -> (i64, &str),
    ) -> ApiResult<(Vec<T>, Value)>
    where
        T: for<'r> FromRow<'r, AnyRow> + Send + Unpin,
    {
        let Wanted { operation, token, size } = *wanted;
        if let Some([at, id]) = start::<2>(operation, token)? {
            let at: i64 = at.parse().map_err(|_| invalid(operation))?;
            select = select.and(self.after, [at.into(), at.into(), Bound::from(&id)]);
        }
        let rows = select.rows(self.order, Some(size + 1), pool).await?;
        Ok(page(operation, rows, size, |row| {
            let (at, id) = key(row);
            vec![at.to_string(), id.to_owned()]
        }))
    }
}

fn read<const N: usize>(operation: &str, token: &str) -> Option<[String; N]> {
    let text = String::from_utf8(text::from_base64(token)?).ok()?;
    let mut parts = text.split(SEPARATOR);
    let ours = parts.next() == Some(TOKEN_FORM) && parts.next() == Some(operation);
    ours.then_some(())?;
    let key: Vec<String> = parts.map(str::to_owned).collect();
    key.try_into().ok()
}

/// The page made of rows fetched with one more than `limit`, and the token of the next page if
/// there is one.
pub fn page<T>(
    operation: &str,
    mut rows: Vec<T>,
    limit: i64,
    key: impl Fn(&T) -> Vec<String>,
) -> (Vec<T>, Value) {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|row| token(operation, &key(row)));
    (rows, next.map_or(Value::Null, Value::String))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_token_is_good_for_its_own_operation_only() {
        let token = token("ListCommands", &["7".into(), "c".into()]);
        let key = start::<2>("ListCommands", Some(&token)).unwrap();
        assert_eq!(key, Some(["7".to_owned(), "c".to_owned()]));
        for operation in ["ListCommandInvocations", "listcommands"] {
            assert_eq!(start::<2>(operation, Some(&token)).unwrap_err().code, "InvalidNextToken");
        }
        assert!(start::<3>("ListCommands", Some(&token)).is_err());
        assert_eq!(start::<2>("ListCommands", Some("")).unwrap(), None);
    }

    #[test]
    fn the_last_page_has_no_token() {
        let key = |n: &i32| vec![n.to_string()];
        assert_eq!(page("X", vec![1, 2], 2, key), (vec![1, 2], Value::Null));
        let (rows, token) = page("X", vec![1, 2, 3], 2, key);
        assert_eq!(rows, [1, 2]);
        assert_eq!(start::<1>("X", token.as_str()).unwrap(), Some(["2".to_owned()]));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_token_reader_panic(token: String, bytes: Vec<u8>) {
            let _ = start::<2>("X", Some(&token));
            let _ = start::<2>("X", Some(&text::base64(&bytes)));
        }
    }
}
