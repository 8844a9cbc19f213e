//! Page tokens: where the next page starts, opaque to clients.
//!
//! A token holds the sort key of the last row shown, not a number of rows, so that rows which
//! come or go between two pages neither repeat nor hide others. It names its operation, so that
//! one operation's token means nothing to another.

use crate::error::{ApiError, ApiResult};
use serde_json::Value;
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
