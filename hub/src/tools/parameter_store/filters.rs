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
mod tests;
