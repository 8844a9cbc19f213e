//! Parameter Store over a real store.

mod list;
mod manage;
mod nodes;
mod put;
mod read;

use crate::tools::testbed::Testbed;
use serde_json::{Value, json};

/// Puts a parameter; what else the request says comes in `more`.
async fn put(bed: &Testbed, name: &str, value: &str, more: Value) -> Value {
    bed.ok("PutParameter", request(name, value, more)).await
}

/// A PutParameter of a String unless `more` says otherwise.
fn request(name: &str, value: &str, more: Value) -> Value {
    let mut request = json!({"Name": name, "Value": value, "Type": "String"});
    for (member, value) in more.as_object().unwrap() {
        request[member] = value.clone();
    }
    request
}

/// Gives it a further version.
async fn overwrite(bed: &Testbed, name: &str, value: &str) -> Value {
    bed.ok("PutParameter", json!({"Name": name, "Value": value, "Overwrite": true})).await
}

/// The value that a reference leads to.
async fn value(bed: &Testbed, reference: &str) -> String {
    let answer = bed.ok("GetParameter", json!({"Name": reference, "WithDecryption": true})).await;
    answer["Parameter"]["Value"].as_str().unwrap().to_owned()
}

/// A SecureString's request members.
fn secure() -> Value {
    json!({"Type": "SecureString"})
}
