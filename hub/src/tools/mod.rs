//! The operator's side: one folder per Systems Manager tool, one file per operation or group of
//! operations that share their rules.
//!
//! Never here: HTTP, signatures, SQL dialects. An operation takes its validated input and the
//! store, and returns the members of its answer.

pub mod documents;
pub mod fleet_manager;
mod hybrid_activations;
pub mod inventory;
pub mod packages;
mod paging;
pub mod parameter_store;
pub mod run_command;
mod session_manager;
pub mod support;
pub mod tags;
#[cfg(test)]
pub mod testbed;

use crate::app::{App, Caller};
use crate::error::{ApiError, ApiResult};
use crate::{model, random};
use serde::de::DeserializeOwned;
use serde_json::Value;
use stint_wire::ids;

/// Answers one operation of the `ssm` service.
///
/// # Errors
/// `UnknownOperationException` for an operation the hub does not have, `ValidationException`
/// when the input breaks the service's model, and the operation's own errors.
pub async fn call(app: &App, caller: &Caller, operation: &str, input: Value) -> ApiResult<Value> {
    model::validate_input(operation, &input)?;
    let answer = dispatch(app, caller, operation, input).await?;
    if cfg!(debug_assertions) {
        let faults = model::check_output(operation, &answer);
        if !faults.is_empty() {
            return Err(ApiError::internal(faults.join("; ")));
        }
    }
    Ok(answer)
}

async fn dispatch(app: &App, caller: &Caller, operation: &str, input: Value) -> ApiResult<Value> {
    match operation {
        "CreateActivation" => hybrid_activations::create(app, parse(input)?).await,
        "DescribeActivations" => hybrid_activations::describe(app, parse(input)?).await,
        "DeleteActivation" => hybrid_activations::delete(app, parse(input)?).await,
        "DescribeInstanceInformation" => fleet_manager::describe(app, parse(input)?).await,
        "DeregisterManagedInstance" => fleet_manager::deregister(app, parse(input)?).await,
        "AddTagsToResource" => tags::add(app, parse(input)?).await,
        "ListTagsForResource" => tags::list(app, parse(input)?).await,
        "RemoveTagsFromResource" => tags::remove(app, parse(input)?).await,
        "SendCommand" => run_command::send(app, caller, parse(input)?).await,
        "ListCommands" => run_command::list_commands(app, parse(input)?).await,
        "ListCommandInvocations" => run_command::list_invocations(app, parse(input)?).await,
        "GetCommandInvocation" => run_command::get_invocation(app, parse(input)?).await,
        "CancelCommand" => run_command::cancel(app, parse(input)?).await,
        "StartSession" => session_manager::start(app, caller, parse(input)?).await,
        "ResumeSession" => session_manager::resume(app, caller, parse(input)?).await,
        "TerminateSession" => session_manager::terminate(app, caller, parse(input)?).await,
        "DescribeSessions" => session_manager::describe(app, caller, parse(input)?).await,
        "GetConnectionStatus" => session_manager::connection_status(app, parse(input)?).await,
        "PutInventory" => inventory::put(app, parse(input)?).await,
        "ListInventoryEntries" => inventory::list(app, parse(input)?).await,
        "GetInventory" => inventory::get(app, parse(input)?).await,
        "GetInventorySchema" => inventory::schema(app, parse(input)?).await,
        "CreateDocument" => documents::create(app, parse(input)?).await,
        "UpdateDocument" => documents::update(app, parse(input)?).await,
        "UpdateDocumentDefaultVersion" => documents::set_default(app, parse(input)?).await,
        "UpdateDocumentMetadata" => documents::update_metadata(app, caller, parse(input)?).await,
        "DeleteDocument" => documents::delete(app, parse(input)?).await,
        "GetDocument" => documents::get(app, &caller.endpoint, parse(input)?).await,
        "DescribeDocument" => documents::describe(app, parse(input)?).await,
        "ListDocuments" => documents::list(app, parse(input)?).await,
        "ListDocumentVersions" => documents::list_versions(app, parse(input)?).await,
        "ListDocumentMetadataHistory" => documents::history(app, parse(input)?).await,
        "DescribeDocumentPermission" => documents::describe_permission(app, parse(input)?).await,
        "ModifyDocumentPermission" => documents::modify_permission(app, parse(input)?).await,
        "PutParameter" => parameter_store::put(app, caller, parse(input)?).await,
        "GetParameterHistory" => parameter_store::history(app, parse(input)?).await,
        "DescribeParameters" => parameter_store::describe(app, caller, parse(input)?).await,
        "DeleteParameter" => parameter_store::delete(app, parse(input)?).await,
        "DeleteParameters" => parameter_store::delete_several(app, parse(input)?).await,
        "LabelParameterVersion" => parameter_store::label(app, parse(input)?).await,
        "UnlabelParameterVersion" => parameter_store::unlabel(app, parse(input)?).await,
        "GetParameter" | "GetParameters" | "GetParametersByPath" => {
            let reader = parameter_store::Reader { region: &caller.region, grants: None };
            parameter_store::read(app, &reader, operation, input).await
        }
        _ => Err(support::refusal(operation)),
    }
}

/// The input as the operation's own type; a member that is null is not there. The model has been
/// checked, so this fails only where the type asks for more than the model says.
fn parse<T: DeserializeOwned>(input: Value) -> ApiResult<T> {
    serde_json::from_value(present(input))
        .map_err(|error| ApiError::new("SerializationException", error.to_string()))
}

/// An answer without the members that are null: JSON 1.1 leaves out what is not there.
fn present(answer: Value) -> Value {
    match answer {
        Value::Object(members) => {
            Value::Object(members.into_iter().filter(|(_, v)| !v.is_null()).collect())
        }
        other => other,
    }
}

/// A version 4 UUID.
pub fn uuid() -> ApiResult<String> {
    Ok(ids::uuid(random::bytes()?))
}

/// A moment of the store as answers write it: seconds since 1970 with a fraction.
fn timestamp(millis: i64) -> Value {
    Value::from(millis as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::testbed::Testbed;
    use serde_json::json;

    #[tokio::test]
    async fn every_operation_of_the_support_table_is_answered() {
        let bed = Testbed::new().await;
        for operation in super::support::supported() {
            let code = bed.call(operation, json!({})).await.err().map(|e| e.code);
            assert_ne!(code, Some("UnknownOperationException"), "{operation}");
        }
    }

    #[tokio::test]
    async fn an_operation_the_hub_lacks_says_so_by_name() {
        let bed = Testbed::new().await;
        for operation in ["StartAccessRequest", "LaunchRocket"] {
            let error = bed.call(operation, json!({})).await.unwrap_err();
            assert_eq!(error.code, "UnknownOperationException");
            assert!(error.message.contains(operation), "{}", error.message);
        }
    }
}
