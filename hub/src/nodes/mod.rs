//! The device side: what amazon-ssm-agent and stint call.
//!
//! Never here: whether a request is signed well (see [`crate::auth`]), what an operator may ask.
//! A node acts only as itself: every operation compares the node that signed with the node that
//! the input names.

pub mod associations;
pub mod audit;
pub mod bootagent;
pub mod channels;
pub mod health;
pub mod input;
mod inventory;
pub mod messages;
pub mod parameters;
pub mod registration;
pub mod reidentification;
pub mod role_token;
pub mod rotation;
pub mod sightings;
mod transcripts;
pub mod troubles;
pub mod wakeups;

use crate::app::App;
use crate::auth::identity::NodeCaller;
use crate::error::{ApiError, ApiResult};
use crate::model;
use crate::tools::{documents, fleet_manager};
use serde_json::Value;
use stint_wire::transcript::PUT_SESSION_TRANSCRIPT;

/// Operations of `ssm` that only nodes call with their temporary credentials. They are no part
/// of the public model, so operators get to hear that they may not.
pub const NODE_ONLY: [&str; 2] = ["UpdateInstanceInformation", "ListInstanceAssociations"];

/// Answers an operation of `ssm` that a node called at the URL `endpoint`.
///
/// # Errors
/// `AccessDeniedException` for what only operators may do; else the operation's own.
pub async fn call(
    app: &App,
    node: &NodeCaller,
    operation: &str,
    input: &Value,
    endpoint: &str,
) -> ApiResult<Value> {
    match operation {
        "UpdateInstanceInformation" => health::update(app, node, input).await,
        // A step downloads a document, or runs one inside its own.
        "GetDocument" => documents::get_for_node(app, node, endpoint, input).await,
        "DeregisterManagedInstance" => part(app, node, input).await,
        "ListInstanceAssociations" | "ListAssociations" => Ok(associations::none()),
        // A node reports its child agents, or anything else of its own.
        "PutInventory" => inventory::put(app, node, input).await,
        "GetParameter" | "GetParameters" | "GetParametersByPath" => {
            parameters::read(app, node, operation, input).await
        }
        _ => Err(ApiError::access_denied(format!(
            "{} is a managed node and is not authorized to perform: ssm:{operation}",
            node.id
        ))),
    }
}

/// DeregisterManagedInstance by a node: of itself.
async fn part(app: &App, node: &NodeCaller, input: &Value) -> ApiResult<Value> {
    model::validate_input("DeregisterManagedInstance", input)?;
    only_itself(node, input::required(input, "InstanceId", 10, 124)?)?;
    fleet_manager::deregister(app, fleet_manager::Deregister::of(&node.id)).await
}

/// Answers an operation that is stint's own.
///
/// # Errors
/// `UnknownOperationException`; else the operation's own.
pub async fn call_own(
    app: &App,
    node: &NodeCaller,
    operation: &str,
    input: &Value,
) -> ApiResult<Value> {
    match operation {
        stint_wire::audit::PUT_AUDIT_RECORDS => audit::put(app, node, input).await,
        PUT_SESSION_TRANSCRIPT => transcripts::put(app, node, input).await,
        _ => Err(ApiError::new(
            "UnknownOperationException",
            format!("this hub has no operation {operation} of its own"),
        )),
    }
}

/// Refuses a node that names another.
///
/// # Errors
/// `AccessDeniedException`.
fn only_itself(node: &NodeCaller, named: &str) -> ApiResult<()> {
    if node.id == named {
        return Ok(());
    }
    Err(ApiError::access_denied(format!("{} may not act as {named}", node.id)))
}
