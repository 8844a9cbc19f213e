//! One call: from the target's name to who may make it and who answers.

use super::about;
use crate::app::{App, Caller};
use crate::auth::identity::{self, Identity};
use crate::auth::request::Request;
use crate::error::{ApiError, ApiResult};
use crate::{nodes, tools};
use serde_json::{Map, Value};
use stint_wire::time::Utc;
use stint_wire::{audit, ec2messages, ssm};

/// Errors of calls whose input doesn't fit the model, or was not held against it.
const UNFIT: [&str; 3] =
    ["ValidationException", "SerializationException", "UnknownOperationException"];

/// What became of a call, for the answer, the log and the metrics.
pub struct Outcome {
    /// The operation's name. Empty unless the caller proved who it is or the name is one of the
    /// few that need no proof, so that strangers can't fill the metrics with names.
    pub operation: String,
    /// The access key or the node's id; empty if nobody proved anything.
    pub caller: String,
    /// What an operator's call was about, by name; see [`about`].
    pub about: Option<String>,
    /// The answer's members, or the error.
    pub result: ApiResult<Value>,
}

impl Outcome {
    fn refused(error: ApiError) -> Outcome {
        Outcome::of("", "", Err(error))
    }

    /// That of a call that is only counted, and logged with who made it.
    pub fn of(operation: &str, caller: &str, result: ApiResult<Value>) -> Outcome {
        let (operation, caller) = (operation.to_owned(), caller.to_owned());
        Outcome { operation, caller, about: None, result }
    }

    /// Notes what an operator's call was about. Of an input that doesn't fit the model nothing is noted.
    pub fn about(mut self, input: &Value) -> Outcome {
        let text = match &self.result {
            Ok(answer) => about::about(input, answer),
            Err(error) if UNFIT.contains(&error.code) => String::new(),
            Err(_) => about::about(input, &Value::Null),
        };
        self.about = (!text.is_empty()).then_some(text);
        self
    }
}

/// Answers a request to `/`, received at `now` under the URL `endpoint`.
pub async fn answer(app: &App, request: &Request, endpoint: &str, now: Utc) -> Outcome {
    let target = request.header("x-amz-target").unwrap_or_default();
    // Boxed but for messages: a poll waits in this future, and would hold the room of all others as well.
    match target.split_once('.') {
        Some((ssm::TARGET_PREFIX, "RegisterManagedInstance")) => {
            Box::pin(register(app, request, now)).await
        }
        Some((
            ssm::TARGET_PREFIX,
            operation @ ("RequestManagedInstanceRoleToken" | "UpdateManagedInstancePublicKey"),
        )) => Box::pin(key_signed(app, request, operation, now)).await,
        Some((ssm::TARGET_PREFIX, operation)) => {
            Box::pin(systems_manager(app, request, operation, endpoint, now)).await
        }
        Some((audit::TARGET_PREFIX, operation)) => {
            Box::pin(own(app, request, operation, now)).await
        }
        Some((ec2messages::TARGET_PREFIX, operation)) => {
            messages(app, request, operation, endpoint, now).await
        }
        _ => Outcome::refused(ApiError::new(
            "UnknownOperationException",
            "The X-Amz-Target header names no service of this hub; use AmazonSSM.<operation>.",
        )),
    }
}

/// The one operation without a signature: the activation's code is the proof.
async fn register(app: &App, request: &Request, now: Utc) -> Outcome {
    let result = async {
        let input = parse(request)?;
        nodes::registration::register(app, &input, now).await
    };
    Outcome::of("RegisterManagedInstance", "", result.await)
}

async fn key_signed(app: &App, request: &Request, operation: &str, now: Utc) -> Outcome {
    let holder = match identity::by_node_key(app, request, now).await {
        Ok(holder) => holder,
        Err(error) => return Outcome::of(operation, "", Err(error)),
    };
    let result = async {
        let input = parse(request)?;
        if operation == "UpdateManagedInstancePublicKey" {
            nodes::rotation::rotate(app, &holder, &input).await
        } else {
            nodes::role_token::issue(app, &holder, &input, now).await
        }
    };
    Outcome::of(operation, &holder.id, result.await)
}

async fn systems_manager(
    app: &App,
    request: &Request,
    operation: &str,
    endpoint: &str,
    now: Utc,
) -> Outcome {
    match identity::by_secret(app, request, ssm::SERVICE, now).await {
        Err(error) => Outcome::refused(error),
        Ok(Identity::Node(node)) => {
            let result =
                async { nodes::call(app, &node, operation, &parse(request)?, endpoint).await };
            Outcome::of(operation, &node.id, result.await)
        }
        Ok(Identity::Operator(caller)) => {
            let caller = Caller { endpoint: endpoint.to_owned(), ..caller };
            if nodes::NODE_ONLY.contains(&operation) {
                let error = only_nodes(&caller.access_key, ssm::SERVICE, operation);
                return Outcome::of(operation, &caller.access_key, Err(error));
            }
            match parse(request) {
                Ok(input) => operate(app, &caller, operation, input).await,
                Err(error) => Outcome::of(operation, &caller.access_key, Err(error)),
            }
        }
    }
}

/// An operation in the name of an operator who has proved who it is.
async fn operate(app: &App, caller: &Caller, operation: &str, input: Value) -> Outcome {
    let result = tools::call(app, caller, operation, input.clone()).await;
    Outcome::of(operation, &caller.access_key, result).about(&input)
}

/// An operation that AWS doesn't have, and nodes call.
async fn own(app: &App, request: &Request, operation: &str, now: Utc) -> Outcome {
    match identity::by_secret(app, request, ssm::SERVICE, now).await {
        Err(error) => Outcome::refused(error),
        Ok(Identity::Operator(caller)) => {
            let error = only_nodes(&caller.access_key, audit::TARGET_PREFIX, operation);
            Outcome::of(operation, &caller.access_key, Err(error))
        }
        Ok(Identity::Node(node)) => {
            let result = async { nodes::call_own(app, &node, operation, &parse(request)?).await };
            Outcome::of(operation, &node.id, result.await)
        }
    }
}

async fn messages(
    app: &App,
    request: &Request,
    operation: &str,
    endpoint: &str,
    now: Utc,
) -> Outcome {
    match identity::by_secret(app, request, ec2messages::SERVICE, now).await {
        Err(error) => Outcome::refused(error),
        Ok(Identity::Operator(caller)) => {
            let error = only_nodes(&caller.access_key, ec2messages::SERVICE, operation);
            Outcome::of(operation, &caller.access_key, Err(error))
        }
        Ok(Identity::Node(node)) => {
            let result = async {
                let input = parse(request)?;
                nodes::messages::call(app, &node, operation, &input, endpoint).await
            };
            Outcome::of(operation, &node.id, result.await)
        }
    }
}

fn only_nodes(caller: &str, service: &str, operation: &str) -> ApiError {
    ApiError::access_denied(format!(
        "{caller} is an operator and is not authorized to perform: {service}:{operation}, which \
         only managed nodes call"
    ))
}

/// The body as an object. Clients send `{}` for no members; nothing at all means the same.
fn parse(request: &Request) -> ApiResult<Value> {
    if request.body.is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    let malformed = |what: String| ApiError::new("SerializationException", what);
    match serde_json::from_slice(&request.body) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err(malformed("The request body must be a JSON object.".to_owned())),
        Err(e) => Err(malformed(format!("The request body is no JSON: {e}."))),
    }
}

#[cfg(test)]
mod tests;
