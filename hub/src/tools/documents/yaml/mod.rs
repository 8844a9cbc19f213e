//! YAML as operators write documents, read as JSON and written from it.

mod read;
mod resolve;
mod write;

pub use read::{Read, read};
pub use write::block;
