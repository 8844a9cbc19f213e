//! Documents of type ChangeCalendar: iCalendar texts (RFC 5545).

use super::problems::Problems;

/// Checks that the text is one calendar whose components are closed and whose events begin. If it
/// says whether it is open outside of its events, then in the words of Change Calendar.
pub fn check(text: &str, problems: &mut Problems) {
    let mut open: Vec<(String, usize, Vec<String>)> = Vec::new();
    let mut calendars = 0;
    for (number, line) in unfolded(text) {
        let place = format!("line {number}");
        let Some((name, value)) = line.split_once(':') else {
            problems.add(place, "has no colon between name and value");
            continue;
        };
        let name = name.split(';').next().unwrap_or_default().to_ascii_uppercase();
        let value = value.trim();
        match name.as_str() {
            "BEGIN" => {
                let component = value.to_ascii_uppercase();
                if open.is_empty() && component != "VCALENDAR" {
                    problems.add(&place, "stands outside of BEGIN:VCALENDAR");
                }
                calendars += usize::from(component == "VCALENDAR");
                open.push((component, number, Vec::new()));
            }
            "END" => match open.pop() {
                Some((component, from, names)) if component.eq_ignore_ascii_case(value) => {
                    component_ended(&component, from, &names, problems);
                }
                Some((component, from, _)) => problems
                    .add(&place, format!("ends {value}, but {component} of line {from} is open")),
                None => problems.add(&place, format!("ends {value}, which did not begin")),
            },
            _ if open.is_empty() => problems.add(&place, "stands outside of BEGIN:VCALENDAR"),
            "X-CALENDAR-TYPE" if !matches!(value, "DEFAULT_OPEN" | "DEFAULT_CLOSED") => {
                problems.add(&place, "has to be DEFAULT_OPEN or DEFAULT_CLOSED");
            }
            _ => {
                if let Some((_, _, names)) = open.last_mut() {
                    names.push(name);
                }
            }
        }
    }
    for (component, from, _) in open {
        problems.add(format!("line {from}"), format!("begins {component}, which does not end"));
    }
    if calendars != 1 {
        problems.add("the text", format!("has to hold one VCALENDAR, not {calendars}"));
    }
}

fn component_ended(component: &str, from: usize, names: &[String], problems: &mut Problems) {
    let needed: &[&str] = match component {
        "VCALENDAR" => &["VERSION", "PRODID"],
        "VEVENT" => &["DTSTART"],
        _ => &[],
    };
    for name in needed.iter().filter(|name| !names.iter().any(|n| n == *name)) {
        problems.add(format!("{component} of line {from}"), format!("has no {name}"));
    }
}

/// Lines with those that go on in the next, which begins with white space, put together.
fn unfolded(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    for (at, line) in text.lines().enumerate() {
        match (line.strip_prefix([' ', '\t']), lines.last_mut()) {
            (Some(more), Some((_, last))) => last.push_str(more),
            _ if line.trim().is_empty() => {}
            _ => lines.push((at + 1, line.to_owned())),
        }
    }
    lines
}
