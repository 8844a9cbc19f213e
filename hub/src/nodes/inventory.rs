//! PutInventory by a node: of itself.

use super::only_itself;
use crate::app::App;
use crate::auth::identity::NodeCaller;
use crate::error::{ApiError, ApiResult};
use crate::model;
use crate::tools::inventory::{self, Put};
use serde_json::Value;

/// Answers the operation.
///
/// # Errors
/// `AccessDeniedException` for another node's; else those of the operation.
pub async fn put(app: &App, node: &NodeCaller, input: &Value) -> ApiResult<Value> {
    model::validate_input("PutInventory", input)?;
    let put: Put = serde_json::from_value(input.clone())
        .map_err(|error| ApiError::new("SerializationException", error.to_string()))?;
    only_itself(node, &put.instance_id)?;
    inventory::put(app, put).await
}
