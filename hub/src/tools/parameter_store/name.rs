//! What a parameter may be called (botocore's model of PutParameter, and AWS's documentation).

use crate::error::{ApiError, ApiResult};

/// Levels of a hierarchy, the parameter's own name included.
const MOST_LEVELS: usize = 15;

/// Characters of an ARN of a parameter, the name included.
const LONGEST_ARN: usize = 1011;

/// Names can't begin so, in any case of letters: AWS keeps them for itself.
const RESERVED: [&str; 2] = ["aws", "ssm"];

/// The ARN of a parameter. A name of one level looks the same with its slash and without.
pub fn arn(region: &str, account: &str, name: &str) -> String {
    let path = name.strip_prefix('/').unwrap_or(name);
    format!("arn:aws:ssm:{region}:{account}:parameter/{path}")
}

/// A name as operations that change things take it: without the spaces around it, no ARN.
pub fn trimmed(name: &str) -> &str {
    name.trim_matches(' ')
}

/// Whether a new parameter may have this (trimmed) name.
///
/// # Errors
/// `ValidationException` for characters, form and length; `AccessDeniedException` for a path
/// under `/aws`; `HierarchyLevelLimitExceededException` for too many levels.
pub fn check(name: &str, region: &str, account: &str) -> ApiResult<()> {
    if !is_well_formed(name) {
        return Err(ApiError::validation(format!(
            "The parameter name '{name}' isn't valid. Use letters, digits and the symbols . - _ , \
             and slashes between levels; a name with slashes begins with one and doesn't end with \
             one."
        )));
    }
    check_reserved(name)?;
    let levels = levels(name);
    if levels > MOST_LEVELS {
        return Err(ApiError::new(
            "HierarchyLevelLimitExceededException",
            format!("{name} has {levels} levels; a hierarchy has at most {MOST_LEVELS}."),
        ));
    }
    let length = arn(region, account, name).len();
    if length > LONGEST_ARN {
        return Err(ApiError::validation(format!(
            "The parameter name is too long: with its ARN it has {length} characters; the most is \
             {LONGEST_ARN}."
        )));
    }
    Ok(())
}

fn check_reserved(name: &str) -> ApiResult<()> {
    let path = name.strip_prefix('/').unwrap_or(name);
    let begins =
        |word: &&&str| path.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word));
    match RESERVED.iter().find(begins) {
        Some(&"aws") if name.starts_with('/') && path.contains('/') => Err(
            ApiError::access_denied(format!("No access to the reserved parameter name {name}.")),
        ),
        Some(word) => Err(ApiError::validation(format!(
            "The parameter name {name} begins with {word}, which is reserved; choose another."
        ))),
        None => Ok(()),
    }
}

/// Whether a text could be a parameter's name, reserved or not.
pub fn is_well_formed(name: &str) -> bool {
    let parts = match name.strip_prefix('/') {
        Some(path) => path,
        None if name.contains('/') => return false,
        None => name,
    };
    parts.split('/').all(|part| !part.is_empty() && part.bytes().all(is_letter))
}

fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')
}

fn levels(name: &str) -> usize {
    name.strip_prefix('/').unwrap_or(name).split('/').count()
}

/// The hierarchy that an operation asks for, with one slash at its end.
///
/// # Errors
/// `ValidationException` for a path that isn't one.
pub fn path(text: &str) -> ApiResult<String> {
    let text = text.trim_matches(' ');
    let path = text.strip_suffix('/').unwrap_or(text);
    if path.is_empty() && text == "/" {
        return Ok("/".to_owned());
    }
    if !path.starts_with('/') || !is_well_formed(path) {
        return Err(ApiError::validation(format!(
            "The path '{text}' isn't valid. A path begins with a slash and has letters, digits and \
             the symbols . - _ between slashes, such as /fleet/berlin."
        )));
    }
    if levels(path) > MOST_LEVELS {
        return Err(ApiError::validation(format!(
            "The path has {} levels; a hierarchy has at most {MOST_LEVELS}.",
            levels(path)
        )));
    }
    Ok(format!("{path}/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn code(name: &str) -> &'static str {
        check(name, "eu-central-1", "123456789012").map_or_else(|e| e.code, |()| "")
    }

    #[test]
    fn each_bad_name_has_its_own_code() {
        let deep = |levels: usize| "/x".repeat(levels);
        let long = |length: usize| "x".repeat(length);
        for (name, expected) in [
            ("port", ""),
            ("/fleet/berlin/psk_1.old-2", ""),
            ("/x", ""),
            (&deep(15), ""),
            (&deep(16), "HierarchyLevelLimitExceededException"),
            // arn:aws:ssm:eu-central-1:123456789012:parameter/ has 48 characters.
            (&long(963), ""),
            (&long(964), "ValidationException"),
            ("a/b", "ValidationException"),
            ("/a//b", "ValidationException"),
            ("/a/b/", "ValidationException"),
            ("/", "ValidationException"),
            ("", "ValidationException"),
            ("a b", "ValidationException"),
            ("a:1", "ValidationException"),
            ("größe", "ValidationException"),
            ("/aws/service/x", "AccessDeniedException"),
            ("/AWS-x/y", "AccessDeniedException"),
            ("awsome", "ValidationException"),
            ("/aws", "ValidationException"),
            ("ssm-x", "ValidationException"),
            ("/SSM/x", "ValidationException"),
            ("/x/aws", ""),
        ] {
            assert_eq!(code(name), expected, "{name}");
        }
    }

    #[test]
    fn a_path_ends_with_one_slash() {
        assert_eq!(path("/a/b").unwrap(), "/a/b/");
        assert_eq!(path(" /a/b/ ").unwrap(), "/a/b/");
        assert_eq!(path("/").unwrap(), "/");
        for bad in ["a", "", "//", "/a//", "/a b", "/a:b", &"/x".repeat(16)] {
            assert_eq!(path(bad).unwrap_err().code, "ValidationException", "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_checks_panic(text: String) {
            let _ = check(&text, "r", "a");
            let _ = path(&text);
        }

        #[test]
        fn a_path_of_a_good_name_is_good(name in "(/[a-z0-9._-]{1,9}){1,15}") {
            prop_assert!(is_well_formed(&name));
            prop_assert_eq!(path(&name).unwrap(), name + "/");
        }
    }
}
