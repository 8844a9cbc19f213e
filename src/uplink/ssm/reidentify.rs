//! This device becomes a node of its own, because another one has the same key (decision 0034).
//!
//! A hub that has found that out says so in its answer to a health report, with an activation. The
//! new registration replaces the old one only when it is durable; the order comes with every
//! report until the hub has heard the new node.

use super::super::{Uplink, UplinkError};
use super::Ssm;
use super::register::{Activation, register};
use super::rotation::local;
use crate::identity::Registration;
use crate::identity::hardware::Hardware;
use crate::sys::faults;
use miniserde::json;
use std::sync::PoisonError;
use stint_wire::ssm::Heard;
use zeroize::Zeroizing;

impl Ssm {
    /// Takes in what a server answers to a health report.
    pub fn hear(&self, answer: String) {
        // It may hold a code.
        let answer = Zeroizing::new(answer);
        if self.run.is_none() {
            return;
        }
        let heard: Heard = json::from_str(&answer).unwrap_or_default();
        *self.order.lock().unwrap_or_else(PoisonError::into_inner) = heard.reidentify;
    }

    /// Registers as a node of its own, if that has been ordered.
    pub fn reidentify(&self) -> Result<(), UplinkError> {
        let order = self.order.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(order) = order else { return Ok(()) };
        let code = Zeroizing::new(order.activation_code);
        let activation = Activation { id: &order.activation_id, code: &code };
        let before = self.node();
        // Somebody may have put another registration there, which this one must not replace.
        before.check_is_current(&self.state).map_err(local)?;
        // The server has just taken a signature by this clock.
        let now = self.clock.now();
        let candidate = Registration::candidate(&self.state, before.key.kind(), now);
        let candidate = candidate.map_err(local)?;
        let (key, fingerprint) = (&candidate.key, &candidate.fingerprint);
        let instance_id = register(&self.http, &self.servers(), &activation, key, fingerprint)?;
        faults::point("reidentified");
        let node = Registration {
            instance_id,
            region: before.region.clone(),
            endpoint: before.endpoint.clone(),
            ca_file: before.ca_file.clone(),
            registered_at: now,
            hardware: Hardware::read().as_str().to_owned(),
            ..candidate
        };
        node.save(&self.state).map_err(local)?;
        log::warn!(
            "the server has found two devices that are {}; this one is {} from now on",
            before.instance_id,
            node.instance_id
        );
        self.become_node(node);
        self.keeper.forget_all();
        // Only when the new node has been heard is the order done with.
        self.ping()
    }
}
