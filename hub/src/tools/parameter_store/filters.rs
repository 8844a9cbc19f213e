//! The filters of DescribeParameters and GetParametersByPath.
//!
//! A parameter has to match every filter, and one of the values of each.

use super::name;
use super::rows::Row;
use crate::error::{ApiError, ApiResult};
use crate::tools::tags::Tag;
use serde::Deserialize;

/// One filter, as the request has it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StringFilter {
    key: String,
    option: Option<String>,
    values: Option<Vec<String>>,
}

/// One filter of DescribeParameters' older list.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct LegacyFilter {
    key: String,
    values: Vec<String>,
}

/// Who filters; not every key is good for both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum For {
    /// DescribeParameters.
    Describe,
    /// GetParametersByPath.
    ByPath,
}

/// What a filter looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Member {
    Name,
    Type,
    KeyId,
    Path,
    Label,
    Tier,
    DataType,
    Tag(String),
}

/// How it looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Equals,
    BeginsWith,
    Contains,
    OneLevel,
    Recursive,
}

/// A filter that is known to be meaningful.
#[derive(Debug, PartialEq, Eq)]
pub struct Filter {
    key: Member,
    how: How,
    values: Vec<String>,
}

/// The filters of a request.
///
/// # Errors
/// `InvalidFilterKey`, `InvalidFilterOption`, `InvalidFilterValue`, and `ValidationException` for
/// a path that is none.
pub fn parse(filters: Vec<StringFilter>, by: For) -> ApiResult<Vec<Filter>> {
    let mut parsed: Vec<Filter> = Vec::new();
    for filter in filters {
        let key = key(&filter.key, by)?;
        if parsed.iter().any(|other| other.key == key) {
            return Err(ApiError::new(
                "InvalidFilterKey",
                format!("The filter key {} is there twice; name it once.", filter.key),
            ));
        }
        let how = how(&key, by, filter.option.as_deref())?;
        parsed.push(Filter { values: values(&key, how, filter.values)?, key, how });
    }
    Ok(parsed)
}

/// The filters of the older list, where a name is matched by its beginning.
///
/// # Errors
/// As [`parse`].
pub fn parse_legacy(filters: Vec<LegacyFilter>) -> ApiResult<Vec<Filter>> {
    let modern = |filter: LegacyFilter| StringFilter {
        option: (filter.key == "Name").then(|| "BeginsWith".to_owned()),
        key: filter.key,
        values: Some(filter.values),
    };
    parse(filters.into_iter().map(modern).collect(), For::Describe)
}

fn key(text: &str, by: For) -> ApiResult<Member> {
    let (key, good) = match (text, by) {
        ("Type", _) => (Member::Type, true),
        ("KeyId", _) => (Member::KeyId, true),
        ("Label", For::ByPath) => (Member::Label, true),
        ("Name", For::Describe) => (Member::Name, true),
        ("Path", For::Describe) => (Member::Path, true),
        ("Tier", For::Describe) => (Member::Tier, true),
        ("DataType", For::Describe) => (Member::DataType, true),
        (other, For::Describe) => match other.strip_prefix("tag:") {
            Some(tag) if !tag.is_empty() => (Member::Tag(tag.to_owned()), true),
            _ => (Member::Name, false),
        },
        _ => (Member::Name, false),
    };
    if good {
        return Ok(key);
    }
    let known = match by {
        For::Describe => "Name, Type, KeyId, Path, Tier, DataType or tag:KEY",
        For::ByPath => "Type, KeyId or Label",
    };
    Err(ApiError::new(
        "InvalidFilterKey",
        format!("The filter key '{text}' isn't valid here. Use {known}."),
    ))
}

fn how(key: &Member, by: For, option: Option<&str>) -> ApiResult<How> {
    use How::{BeginsWith, Contains, Equals, OneLevel, Recursive};
    let (default, known): (How, &[(&str, How)]) = match (key, by) {
        (Member::Path, _) => (OneLevel, &[("OneLevel", OneLevel), ("Recursive", Recursive)]),
        (Member::Label, _) => (Equals, &[("Equals", Equals)]),
        (Member::Name, _) => {
            (Equals, &[("Equals", Equals), ("BeginsWith", BeginsWith), ("Contains", Contains)])
        }
        _ => (Equals, &[("Equals", Equals), ("BeginsWith", BeginsWith)]),
    };
    let Some(option) = option else { return Ok(default) };
    known.iter().find(|(name, _)| *name == option).map(|(_, how)| *how).ok_or_else(|| {
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        ApiError::new(
            "InvalidFilterOption",
            format!(
                "The filter option '{option}' isn't valid for this key. Use {}.",
                names.join(" or ")
            ),
        )
    })
}

fn values(key: &Member, how: How, values: Option<Vec<String>>) -> ApiResult<Vec<String>> {
    let values = values.unwrap_or_default();
    let invalid = |what: String| Err(ApiError::new("InvalidFilterValue", what));
    if values.is_empty() && !matches!(key, Member::Tag(_)) {
        return invalid("A filter needs values; only tag:KEY may go without.".to_owned());
    }
    let words: &[&str] = match (key, how) {
        (Member::Type, How::Equals) => &["String", "StringList", "SecureString"],
        (Member::Tier, How::Equals) => &["Standard", "Advanced", "Intelligent-Tiering"],
        _ => &[],
    };
    for value in &values {
        if !words.is_empty() && !words.contains(&value.as_str()) {
            return invalid(format!("'{value}' isn't valid here. Use {}.", words.join(", ")));
        }
    }
    match key {
        Member::Path => values.iter().map(|value| name::path(value)).collect(),
        _ => Ok(values),
    }
}

impl Filter {
    /// Whether the parameter's tags have to be looked up.
    pub fn needs_tags(&self) -> bool {
        matches!(self.key, Member::Tag(_))
    }

    /// The labels asked for, if it is about them: they choose the version, and are looked at
    /// before anything else.
    pub fn labels(&self) -> Option<&[String]> {
        (self.key == Member::Label).then_some(self.values.as_slice())
    }

    /// Whether the parameter passes.
    pub fn matches(&self, row: &Row, tags: &[Tag]) -> bool {
        match &self.key {
            Member::Name | Member::Path => self.fits(&row.name),
            Member::Type => self.fits(&row.parameter_type),
            Member::KeyId => row.key_id.as_deref().is_some_and(|key| self.fits(key)),
            Member::Tier => self.fits(&row.tier),
            Member::DataType => self.fits(&row.data_type),
            Member::Label => true,
            Member::Tag(key) => tags
                .iter()
                .any(|tag| tag.key == *key && (self.values.is_empty() || self.fits(&tag.value))),
        }
    }

    fn fits(&self, text: &str) -> bool {
        self.values.iter().any(|value| match self.how {
            How::Equals => text == value,
            How::BeginsWith => text.starts_with(value.as_str()),
            How::Contains => text.contains(value.as_str()),
            How::Recursive => is_under(text, value, true),
            How::OneLevel => is_under(text, value, false),
        })
    }
}

/// Whether a parameter is under a path, which ends with a slash. Names without a slash are right
/// under the root.
fn is_under(name: &str, path: &str, recursive: bool) -> bool {
    let rest = match name.strip_prefix(path) {
        Some(rest) => rest,
        None if path == "/" => name,
        None => return false,
    };
    recursive || !rest.contains('/')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn filter(key: &str, option: &str, values: &[&str], by: For) -> ApiResult<Filter> {
        let filter = StringFilter {
            key: key.to_owned(),
            option: Some(option.to_owned()).filter(|o| !o.is_empty()),
            values: (!values.is_empty()).then(|| values.iter().map(|v| (*v).to_owned()).collect()),
        };
        parse(vec![filter], by).map(|mut filters| filters.remove(0))
    }

    fn row() -> Row {
        Row {
            name: "/fleet/berlin/psk".into(),
            version: 1,
            parameter_type: "SecureString".into(),
            value: String::new(),
            key_id: Some("alias/fleet".into()),
            tier: "Standard".into(),
            data_type: "text".into(),
            description: None,
            allowed_pattern: None,
            policies: "[]".into(),
            modified_at: 0,
            modified_by: String::new(),
        }
    }

    #[test]
    fn every_key_selects_what_it_names() {
        let tags = [Tag { key: "site".into(), value: "berlin".into() }];
        for (key, option, values, expected) in [
            ("Name", "", &["/fleet/berlin/psk"][..], true),
            ("Name", "Equals", &["/fleet"], false),
            ("Name", "BeginsWith", &["/x", "/fleet"], true),
            ("Name", "Contains", &["berlin"], true),
            ("Name", "Contains", &["bern"], false),
            ("Type", "", &["String", "SecureString"], true),
            ("Type", "Equals", &["String"], false),
            ("Type", "BeginsWith", &["Sec"], true),
            ("KeyId", "", &["alias/fleet"], true),
            ("KeyId", "BeginsWith", &["alias/aws"], false),
            ("Path", "Recursive", &["/fleet"], true),
            ("Path", "OneLevel", &["/fleet"], false),
            ("Path", "", &["/fleet/berlin/"], true),
            ("Path", "", &["/fleet/ber"], false),
            ("Path", "Recursive", &["/"], true),
            ("Tier", "", &["Advanced"], false),
            ("DataType", "", &["text"], true),
            ("tag:site", "", &["berlin"], true),
            ("tag:site", "", &[], true),
            ("tag:site", "BeginsWith", &["ber"], true),
            ("tag:role", "", &[], false),
        ] {
            let filter = filter(key, option, values, For::Describe).unwrap();
            assert_eq!(filter.matches(&row(), &tags), expected, "{key} {option} {values:?}");
        }
    }

    #[test]
    fn each_bad_filter_has_its_own_code() {
        for (key, option, values, by, code) in [
            ("Colour", "", &["red"][..], For::Describe, "InvalidFilterKey"),
            ("tag:", "", &["red"], For::Describe, "InvalidFilterKey"),
            ("Label", "", &["prod"], For::Describe, "InvalidFilterKey"),
            ("Name", "", &["x"], For::ByPath, "InvalidFilterKey"),
            ("tag:site", "", &["x"], For::ByPath, "InvalidFilterKey"),
            ("Name", "Recursive", &["x"], For::Describe, "InvalidFilterOption"),
            ("Type", "Contains", &["x"], For::Describe, "InvalidFilterOption"),
            ("Path", "Equals", &["/x"], For::Describe, "InvalidFilterOption"),
            ("Label", "BeginsWith", &["x"], For::ByPath, "InvalidFilterOption"),
            ("Type", "", &["Number"], For::Describe, "InvalidFilterValue"),
            ("Tier", "", &["Gold"], For::Describe, "InvalidFilterValue"),
            ("Name", "", &[], For::Describe, "InvalidFilterValue"),
            ("Path", "", &["fleet"], For::Describe, "ValidationException"),
        ] {
            let error = filter(key, option, values, by).unwrap_err();
            assert_eq!(error.code, code, "{key} {option} {values:?}");
        }
        let twice =
            || StringFilter { key: "Name".into(), option: None, values: Some(vec!["x".into()]) };
        let error = parse(vec![twice(), twice()], For::Describe).unwrap_err();
        assert_eq!(error.code, "InvalidFilterKey");
    }

    #[test]
    fn the_older_list_matches_names_by_their_beginning() {
        let legacy = |key: &str, value: &str| {
            let filter = LegacyFilter { key: key.into(), values: vec![value.into()] };
            parse_legacy(vec![filter]).unwrap().remove(0)
        };
        assert!(legacy("Name", "/fleet").matches(&row(), &[]));
        assert!(!legacy("KeyId", "alias").matches(&row(), &[]));
    }

    proptest! {
        #[test]
        fn no_filter_makes_the_reader_panic(
            key in "Name|Path|Type|tag:x|\\PC*", option in "Equals|BeginsWith|Recursive|\\PC*",
            value: String,
        ) {
            for by in [For::Describe, For::ByPath] {
                if let Ok(filter) = filter(&key, &option, &[&value], by) {
                    let _ = filter.matches(&row(), &[]);
                }
            }
        }

        #[test]
        fn what_is_right_under_a_path_is_under_it(
            path in "/([ab]/){0,3}", name in "(/[ab]{1,2}){1,4}",
        ) {
            prop_assert!(!is_under(&name, &path, false) || is_under(&name, &path, true));
            let right_under = format!("{path}x");
            prop_assert!(is_under(&right_under, &path, false));
        }
    }
}
