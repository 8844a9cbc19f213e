//! The device side: what amazon-ssm-agent and stint call.
pub mod wakeups;
