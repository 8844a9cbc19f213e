//! Judges a signed request: form, date, scope and coverage of the signature, then the HMAC.
//!
//! The codes and texts are the ones AWS answers, because clients print and match them.

use super::request::Request;
use crate::error::{ApiError, ApiResult};
use stint_wire::sigv4::{self, Authorization, Scope};
use stint_wire::text;
use stint_wire::time::Utc;
use subtle::ConstantTimeEq;

/// How far a client's clock may be off, minutes: AWS's own bound.
const SKEW_MINUTES: u64 = 5;
const MILLIS_PER_MINUTE: u64 = 60_000;

const DATE: &str = "x-amz-date";
const TOKEN: &str = "x-amz-security-token";
const CONTENT_HASH: &str = "x-amz-content-sha256";

/// A well-formed signed request, whose signature is still to be judged.
#[derive(Debug)]
pub struct Claim<'a> {
    /// The access key id, or the node's id when its own key signs.
    pub key: String,
    /// What the signature is good for.
    pub scope: Scope,
    /// The session token, if the request has one.
    pub token: Option<&'a str>,
    /// As the client gave it.
    pub signature: String,
    /// What was signed.
    pub string_to_sign: String,
}

/// Which headers a signature has to cover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// Every `X-Amz-…` header.
    All,
    /// Every one but `X-Amz-Content-Sha256`: amazon-ssm-agent adds it after it has signed with
    /// its own key. The body is in the signature all the same.
    AllButContentHash,
}

impl Claim<'_> {
    /// Whether this secret access key made the signature. Takes the same time for every wrong
    /// one.
    pub fn is_signed_with(&self, secret: &str) -> bool {
        let expected = sigv4::sign(secret, &self.scope, &self.string_to_sign);
        expected.as_bytes().ct_eq(self.signature.as_bytes()).into()
    }
}

/// The answer to a signature that doesn't match.
pub fn mismatch() -> ApiError {
    invalid(
        "The request signature we calculated does not match the signature you provided. Check \
         your AWS Secret Access Key and signing method. Consult the service documentation for \
         details.",
    )
}

/// Reads the claim of a request to `service`, received at `now`.
///
/// # Errors
/// `MissingAuthenticationTokenException` without an Authorization header,
/// `IncompleteSignatureException` if it is malformed, `InvalidSignatureException` if the date,
/// the scope, the signed headers or the body's digest are not right.
pub fn read<'a>(
    request: &'a Request,
    service: &str,
    coverage: Coverage,
    now: Utc,
) -> ApiResult<Claim<'a>> {
    let header = request.header("authorization").ok_or_else(|| {
        ApiError::new("MissingAuthenticationTokenException", "Missing Authentication Token")
    })?;
    let authorization = Authorization::parse(header).ok_or_else(|| {
        incomplete(
            "Authorization header requires 'Credential' parameter. Authorization header requires \
             'Signature' parameter. Authorization header requires 'SignedHeaders' parameter.",
        )
    })?;
    let date = request.header(DATE).ok_or_else(|| {
        incomplete("Authorization header requires existence of a 'X-Amz-Date' header.")
    })?;
    check_date(date, now)?;
    check_scope(&authorization.scope, date, service)?;
    check_coverage(request, &authorization.signed_headers, coverage)?;
    check_content_hash(request)?;
    let headers = signed_headers(request, &authorization.signed_headers)?;
    let string_to_sign = sigv4::Request {
        method: &request.method,
        path: &request.path,
        query: &request.query,
        headers: &headers,
        body: &request.body,
    }
    .string_to_sign(date, &authorization.scope);
    Ok(Claim {
        key: authorization.access_key,
        scope: authorization.scope,
        token: request.header(TOKEN),
        signature: authorization.signature,
        string_to_sign,
    })
}

fn check_date(date: &str, now: Utc) -> ApiResult<()> {
    let signed = Utc::parse_amz(date).ok_or_else(|| {
        incomplete(format!(
            "Date must be in ISO-8601 'basic format'. Got '{date}'. See \
             http://en.wikipedia.org/wiki/ISO_8601"
        ))
    })?;
    let skew = SKEW_MINUTES * MILLIS_PER_MINUTE;
    let (oldest, newest) = (Utc(now.0.saturating_sub(skew)), Utc(now.0.saturating_add(skew)));
    // The header has whole seconds, so a moment late in a second counts as its start.
    if signed.secs() < oldest.secs() {
        return Err(invalid(format!(
            "Signature expired: {date} is now earlier than {} ({} - {SKEW_MINUTES} min.)",
            oldest.amz(),
            now.amz()
        )));
    }
    if signed > newest {
        return Err(invalid(format!(
            "Signature not yet current: {date} is still later than {} ({} + {SKEW_MINUTES} min.)",
            newest.amz(),
            now.amz()
        )));
    }
    Ok(())
}

fn check_scope(scope: &Scope, date: &str, service: &str) -> ApiResult<()> {
    if scope.service != service {
        return Err(invalid(format!(
            "Credential should be scoped to correct service: '{service}'."
        )));
    }
    if text::head(date, scope.date.len()) != scope.date || scope.date.len() != 8 {
        return Err(invalid(format!(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from \
             HTTP: '{}' != '{}', from '{date}'.",
            scope.date,
            text::head(date, 8)
        )));
    }
    Ok(())
}

/// Whatever could change what a request means has to be signed.
fn check_coverage(request: &Request, signed: &[String], coverage: Coverage) -> ApiResult<()> {
    let is_signed = |name: &str| signed.iter().any(|header| header == name);
    for name in ["host", DATE] {
        if !is_signed(name) {
            return Err(invalid(format!(
                "'{name}' must be a 'SignedHeader' in the AWS Authorization."
            )));
        }
    }
    for (name, _) in &request.headers {
        let meaningful = name == "content-type" || name.starts_with("x-amz-");
        let exempt = name == CONTENT_HASH && coverage == Coverage::AllButContentHash;
        if meaningful && !exempt && !is_signed(name) {
            return Err(invalid(format!(
                "The header '{name}' is in the request and must be signed."
            )));
        }
    }
    Ok(())
}

fn check_content_hash(request: &Request) -> ApiResult<()> {
    match request.header(CONTENT_HASH) {
        Some(hash) if hash != text::sha256_hex(&request.body) => Err(invalid(
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
        )),
        _ => Ok(()),
    }
}

fn signed_headers<'a>(
    request: &'a Request,
    signed: &[String],
) -> ApiResult<Vec<(&'a str, &'a str)>> {
    for name in signed {
        if request.header(name).is_none() {
            return Err(invalid(format!("The signed header '{name}' is not in the request.")));
        }
    }
    Ok(request
        .headers
        .iter()
        .filter(|(name, _)| signed.contains(name))
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect())
}

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidSignatureException", message)
}

fn incomplete(message: impl Into<String>) -> ApiError {
    ApiError::new("IncompleteSignatureException", message)
}

#[cfg(test)]
mod tests;
