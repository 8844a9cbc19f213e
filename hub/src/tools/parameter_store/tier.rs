//! Tiers: what a parameter may hold, and which tier it gets (botocore's model of PutParameter).

use crate::error::{ApiError, ApiResult};

/// The tier of small parameters.
pub const STANDARD: &str = "Standard";
/// The tier of larger ones, and of those with policies.
pub const ADVANCED: &str = "Advanced";
const INTELLIGENT: &str = "Intelligent-Tiering";

/// Bytes of a standard parameter's value.
const STANDARD_BYTES: usize = 4096;
/// Bytes of an advanced parameter's value.
const ADVANCED_BYTES: usize = 8192;
/// Standard parameters of a hub.
pub const MOST_STANDARD: i64 = 10_000;
/// Advanced parameters of a hub.
pub const MOST_ADVANCED: i64 = 100_000;

/// Data types whose values are advanced.
const ADVANCED_TYPES: [&str; 3] = ["json", "jsonc", "url"];

/// What decides on a parameter's tier.
pub struct Wanted<'a> {
    /// The request's Tier.
    pub asked: Option<&'a str>,
    /// The tier it has, if it is there.
    pub before: Option<&'a str>,
    /// Bytes of the value.
    pub bytes: usize,
    /// Whether it has policies.
    pub policies: bool,
    /// Its data type.
    pub data_type: &'a str,
    /// Whether a further standard parameter is one too many.
    pub standard_full: bool,
}

/// The tier that the parameter gets.
///
/// # Errors
/// `ValidationException` for what the tier can't hold, and for going back to the standard tier.
pub fn choose(wanted: &Wanted<'_>) -> ApiResult<&'static str> {
    if wanted.bytes > ADVANCED_BYTES {
        return Err(ApiError::validation(format!(
            "The value has {} bytes; a parameter of the advanced tier has at most {ADVANCED_BYTES}.",
            wanted.bytes
        )));
    }
    let stays = wanted.before == Some(ADVANCED);
    if stays && wanted.asked == Some(STANDARD) {
        return Err(ApiError::validation(
            "The parameter is of the advanced tier and can't go back to the standard tier. Delete \
             it and create it anew.",
        ));
    }
    let reason = reason_for_advanced(wanted);
    match (wanted.asked, reason) {
        (Some(ADVANCED), _) => Ok(ADVANCED),
        _ if stays => Ok(ADVANCED),
        (Some(INTELLIGENT), Some(_)) => Ok(ADVANCED),
        (Some(INTELLIGENT), None) if wanted.standard_full => Ok(ADVANCED),
        (_, None) => Ok(STANDARD),
        (_, Some(reason)) => Err(ApiError::validation(format!(
            "{reason}, which needs the advanced tier. Set Tier to Advanced or Intelligent-Tiering."
        ))),
    }
}

fn reason_for_advanced(wanted: &Wanted<'_>) -> Option<String> {
    if wanted.bytes > STANDARD_BYTES {
        return Some(format!(
            "The value has {} bytes, more than the {STANDARD_BYTES} of the standard tier",
            wanted.bytes
        ));
    }
    if wanted.policies {
        return Some("The parameter has policies".to_owned());
    }
    ADVANCED_TYPES
        .contains(&wanted.data_type)
        .then(|| format!("The parameter has the data type {}", wanted.data_type))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tier_follows_from_the_request_and_from_what_is_there() {
        let plain = || Wanted {
            asked: None,
            before: None,
            bytes: 10,
            policies: false,
            data_type: "text",
            standard_full: false,
        };
        let (intelligent, advanced) = (Some(INTELLIGENT), Some(ADVANCED));
        for (wanted, expected) in [
            (plain(), Some(STANDARD)),
            (Wanted { bytes: 4096, ..plain() }, Some(STANDARD)),
            (Wanted { bytes: 4097, ..plain() }, None),
            (Wanted { bytes: 4097, asked: advanced, ..plain() }, Some(ADVANCED)),
            (Wanted { bytes: 4097, asked: intelligent, ..plain() }, Some(ADVANCED)),
            (Wanted { bytes: 4097, before: advanced, ..plain() }, Some(ADVANCED)),
            (Wanted { bytes: 8193, asked: advanced, ..plain() }, None),
            (Wanted { asked: intelligent, ..plain() }, Some(STANDARD)),
            (Wanted { asked: intelligent, standard_full: true, ..plain() }, Some(ADVANCED)),
            (Wanted { asked: intelligent, policies: true, ..plain() }, Some(ADVANCED)),
            (Wanted { policies: true, ..plain() }, None),
            (Wanted { data_type: "json", ..plain() }, None),
            (Wanted { data_type: "json", asked: intelligent, ..plain() }, Some(ADVANCED)),
            (Wanted { before: advanced, asked: Some(STANDARD), ..plain() }, None),
            (Wanted { before: advanced, asked: intelligent, ..plain() }, Some(ADVANCED)),
            (Wanted { before: Some(STANDARD), asked: advanced, ..plain() }, Some(ADVANCED)),
        ] {
            assert_eq!(choose(&wanted).ok(), expected);
        }
    }
}
