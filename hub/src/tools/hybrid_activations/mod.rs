//! Hybrid activations: the id and code with which a device becomes a managed node.
//!
//! Never here: the registration itself, which is the device's side, and the code, which is shown
//! once and kept as a hash only.

mod create;
mod describe;

pub use create::create;
pub use describe::describe;

use crate::app::App;
use crate::error::{ApiError, ApiResult};
use crate::tools::tags::ACTIVATION;
use serde::Deserialize;
use serde_json::{Value, json};

/// DeleteActivation's input.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Delete {
    activation_id: String,
}

/// DeleteActivation: nobody registers with it any more. Nodes that have stay.
///
/// # Errors
/// `InvalidActivation` when there is none of this id.
pub async fn delete(app: &App, input: Delete) -> ApiResult<Value> {
    let mut tx = app.store.begin().await?;
    let deleted = sqlx::query("DELETE FROM activation WHERE id = $1")
        .bind(&input.activation_id)
        .execute(&mut *tx)
        .await?;
    if deleted.rows_affected() == 0 {
        return Err(ApiError::new(
            "InvalidActivation",
            format!(
                "There is no activation {}: it might have been deleted already. \
                 DescribeActivations lists those there are.",
                input.activation_id
            ),
        ));
    }
    sqlx::query("DELETE FROM tag WHERE resource_type = $1 AND resource_id = $2")
        .bind(ACTIVATION)
        .bind(&input.activation_id)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(json!({}))
}

#[cfg(test)]
mod tests;
