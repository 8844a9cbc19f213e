//! Records of the audit log for a hub. AWS has no such operation.

use super::super::UplinkError;
use super::super::endpoint::Service;
use super::{CALL_TIMEOUT, Ssm};
use stint_wire::audit::PUT_AUDIT_RECORDS;
use stint_wire::json::{self, ObjectWriter};

impl Ssm {
    /// Hands lines of the audit log over.
    pub(super) fn send_audit(&self, lines: &[String]) -> Result<(), UplinkError> {
        let lines: Vec<String> = lines.iter().map(|line| json::quote(line)).collect();
        let body = ObjectWriter::new()
            .string("InstanceId", &self.node().instance_id)
            .raw("Records", &format!("[{}]", lines.join(",")))
            .finish();
        self.call(Service::Hub, PUT_AUDIT_RECORDS, &body, CALL_TIMEOUT).map(drop)
    }
}
