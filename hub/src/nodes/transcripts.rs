//! PutSessionTranscript: a node hands over what a session has printed, piece by piece. stint's own; AWS has no such
//! operation.

use super::input;
use crate::app::App;
use crate::auth::identity::NodeCaller;
use crate::error::{ApiError, ApiResult};
use crate::sessions::transcripts::{self, Piece};
use serde_json::{Value, json};
use stint_wire::text::from_base64;
use stint_wire::transcript::MAX_PIECE;

/// Characters of a piece in base64.
const MAX_DATA: usize = MAX_PIECE.div_ceil(3) * 4;

/// Answers the operation with where the next piece is to begin.
///
/// # Errors
/// `ValidationException` for a piece that is none, or is outside of the whole; and what [`transcripts::take`]
/// says.
pub async fn put(app: &App, node: &NodeCaller, input: &Value) -> ApiResult<Value> {
    let session = input::required(input, "SessionId", 1, 128)?;
    let data = input::required(input, "Data", 4, MAX_DATA)?;
    let number = |name: &str| {
        let number = input.get(name).and_then(Value::as_i64).filter(|number| *number >= 0);
        number.ok_or_else(|| ApiError::validation(format!("{name} must be a number of bytes")))
    };
    let (size, offset) = (number("Size")?, number("Offset")?);
    let bytes = from_base64(data);
    let bytes = bytes.ok_or_else(|| ApiError::validation("Data must be base64"))?;
    let end = offset.checked_add(bytes.len() as i64);
    if end.is_none_or(|end| end > size) {
        return Err(ApiError::validation("the piece ends behind the end of the whole"));
    }
    let piece = Piece { session, size, offset, bytes: &bytes };
    Ok(json!({"Offset": transcripts::take(app, &node.id, &piece).await?}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::testing;
    use crate::nodes::registration::testing::register_node;

    #[tokio::test]
    async fn what_is_no_piece_is_refused() {
        let (app, _dir) = testing::app().await;
        let node = register_node(&app).await;
        let good = json!({"SessionId": "s", "Size": 3, "Offset": 0, "Data": "YWJj"});
        let code = async |change: Value| {
            let mut input = good.clone();
            input.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            put(&app, &node, &input).await.unwrap_err().code
        };
        assert_eq!(code(json!({})).await, "DoesNotExistException");
        for change in [
            json!({"Data": ""}),
            json!({"Data": "a b c"}),
            json!({"Data": "A".repeat(MAX_DATA + 4)}),
            json!({"Size": 2}),
            json!({"Offset": -1}),
            json!({"Offset": i64::MAX}),
            json!({"Offset": "0"}),
            json!({"SessionId": ""}),
        ] {
            assert_eq!(code(change.clone()).await, "ValidationException", "{change}");
        }
    }
}
