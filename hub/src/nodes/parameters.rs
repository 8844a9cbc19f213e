//! Reading parameters: the same operations as the operators', within what the node's role allows.

use crate::app::App;
use crate::auth::identity::NodeCaller;
use crate::auth::roles::Grants;
use crate::error::ApiResult;
use crate::model;
use crate::tools::parameter_store::{self, Reader};
use serde_json::Value;

/// Answers one of the operations that read values.
///
/// # Errors
/// `AccessDeniedException` naming node, role and parameter; else those of the operation.
pub async fn read(
    app: &App,
    node: &NodeCaller,
    operation: &str,
    input: &Value,
) -> ApiResult<Value> {
    model::validate_input(operation, input)?;
    let grants = Grants::of(app, node).await?;
    let reader = Reader { region: &node.region, grants: Some(&grants) };
    parameter_store::read(app, &reader, operation, input.clone()).await
}
