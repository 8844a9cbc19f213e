//! The hub: a control plane for small Linux devices with the AWS Systems Manager API.
mod app;
mod auth;
mod error;
mod nodes;
mod schedule;
mod store;
mod tools;

fn main() {}
